// What a model takes, added up as analysis/fit.py does, so that a move asks no kernel. A test holds the two equal.
const WEIGHTS = 3; // the first terms: text, vision, MTP

// bytes of every term, in the order of d.terms; at: places of the controls
function termsOf(d, at) {
  const m = d.models[at.model], n = at.context, texts = d.batches[at.batch], device = d.devices[at.device];
  return [...m.weights[at.precision], texts * m.kv * d.contexts[n], texts * m.state, texts * m.conv,
    texts * m.room[n], texts * m.work[n], device.count * d.runtime[device.kind]];
}
const sumOf = terms => terms.reduce((a, b) => a + b, 0);
const fitsAt = (d, at) => sumOf(termsOf(d, at)) <= d.devices[at.device].bytes;

// whether the article's number of gigabytes is enough, for everything but the runtime
function numberHolds(d, at, cell) {
  const terms = termsOf(d, { ...at, model: cell.model, precision: cell.precision });
  return sumOf(terms.slice(0, -1)) <= cell.gb * 1e9;
}

// 12,345,678 -> 12.3 MB, as memory.in_words writes it
function inWords(size) {
  const [factor, unit] = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]].find(([factor]) => size >= factor) ?? [1, "bytes"];
  return unit === "bytes" ? `${Math.round(size)} bytes` : `${+(size / factor).toPrecision(3)} ${unit}`;
}
