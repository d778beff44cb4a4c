// The sums and the drawing of the cost explorer: what a mix costs at every length, and one chart of it as SVG.
const SIZE = { wide: 440, high: 232, left: 62, right: 12, top: 12, bottom: 34 };
const LOOK = {
  "this mix": ["positive", "", 3], "this mix's cache": ["positive", "", 3], "all attention": ["attention", "7 3", 1.8],
  "all DeltaNet": ["ffn", "2 3", 1.8], "its states": ["ffn", "2 3", 1.8], weights: ["stream", "8 3 2 3", 1.8],
};
const OTHERS = ["all attention", "all DeltaNet"];
const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const three = x => x >= 1000 && x < 1e6 ? Math.round(x).toLocaleString("en-US") : number(x);
const size = bytes => {
  const [unit, name] = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]].find(([unit]) => bytes >= unit) ?? [1, "B"];
  return `${three(bytes / unit)} ${name}`;
};
const power = x => { // an axis label: 10 k, 1 M, 10¹⁵
  const digits = String(Math.round(Math.log10(x))).replace("-", "⁻").replace(/\d/g, d => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]);
  const unit = UNITS.find(([size]) => x >= size * 0.999 && x < size * 999);
  return unit ? `${Math.round(x / unit[0])} ${unit[1]}` : x < 1e3 && x >= 1e-3 ? String(+x.toPrecision(1)) : `10${digits}`;
};

// [part, length] of one layer each -> so many layers of each kind, and what is there once
const total = (rows, counts, n) => counts[0] * rows(0)[n] + counts[1] * rows(1)[n] + rows(2)[n];

function costs(d, here, mix) {
  const m = d.models[here.model], counts = m.mixes[mix], texts = d.batches[here.batch], hour = d.machines[here.machine].usd;
  const every = f => d.contexts.map((tokens, n) => f(n, tokens)), each = tokens => here.view ? texts : texts * tokens;
  const seconds = every(n => total(part => m.seconds.row(here.machine, here.view, here.batch, part), counts, n));
  return {
    each, weights: every(() => m.weights[mix]), states: every(() => texts * counts[0] * m.state),
    keys: every((n, tokens) => texts * counts[1] * m.kv * tokens),
    cache: every((n, tokens) => texts * (counts[0] * (m.state + m.conv) + counts[1] * m.kv * tokens)),
    seen: every(n => texts * total(part => m.flops.row(here.view, 0, part), counts, n)),
    unseen: every(n => texts * total(part => m.flops.row(here.view, 1, part), counts, n)), seconds,
    dollars: every((n, tokens) => 1e6 * seconds[n] * hour / 3600 / each(tokens)),
  };
}

// where a reaches b, straight lines on logarithmic axes between the lengths; null if it does not, or a cost is 0
function meeting(x, a, b) {
  if (Math.min(...a, ...b) <= 0) return null;
  for (let n = 0; n + 1 < x.length; n++) {
    const before = Math.log(a[n] / b[n]), after = Math.log(a[n + 1] / b[n + 1]);
    if (before === after || before * after > 0 || !after) continue;
    return Math.exp(Math.log(x[n]) + before / (before - after) * Math.log(x[n + 1] / x[n]));
  }
  return null;
}

function panelsOf(d, here) {
  const mine = costs(d, here, here.mix), [full, linear] = OTHERS.map(name => costs(d, here, d.mixes.indexOf(name)));
  const seen = c => c.seen.map((value, n) => value / c.each(d.contexts[n]));
  const flops = c => c.seen.map((value, n) => (value + c.unseen[n]) / c.each(d.contexts[n])), both = (f, own = f(mine)) => ({ "this mix": own, "all attention": f(full), "all DeltaNet": f(linear) });
  const cross = (name, a, b) => { const x = meeting(d.contexts, a, b); return x === null ? null : { name, x }; };
  return { mine, full, list: [
    { title: "bytes held", lines: { "this mix's cache": mine.cache, "its states": mine.states, "all attention": full.keys, weights: mine.weights },
      mark: cross("break-even", mine.keys, mine.states) },
    { title: "FLOPs for each token", lines: both(flops), mark: cross("crossover", flops(full), flops(linear)), hatch: [seen(mine), flops(mine)] },
    { title: `seconds, ${d.machines[here.machine].name}`, lines: both(c => c.seconds), mark: cross("crossover", full.seconds, linear.seconds) },
    { title: "$ for a million tokens", lines: both(c => c.dollars), mark: null },
  ] };
}

const shape = (name, attributes, text = "") =>
  `<${name} ${Object.entries(attributes).map(([key, value]) => `${key}="${value}"`).join(" ")}>${text}</${name}>`;

// the ends of a logarithmic axis and its ticks
function axisOf(values) {
  const found = values.filter(v => v > 0);
  if (!found.length) return null;
  let low = Math.floor(Math.log10(Math.min(...found)) + 1e-6), high = Math.ceil(Math.log10(Math.max(...found)) - 1e-6);
  if (low === high) high++;
  const step = Math.ceil((high - low) / 6), ticks = [];
  for (let n = low; n <= high; n += step) ticks.push(n);
  return { low, high, ticks };
}

function chart(d, panel, now) {
  const { wide, high, left, right, top, bottom } = SIZE, w = wide - left - right, h = high - top - bottom;
  const axis = axisOf(Object.values(panel.lines).flat()), parts = [];
  const ends = [Math.log(d.contexts[0]), Math.log(d.contexts.at(-1))];
  const across = tokens => left + (Math.log(tokens) - ends[0]) / (ends[1] - ends[0]) * w;
  if (!axis) return shape("text", { x: left, y: 60, class: "q35-tick" }, "nothing to draw: the price is 0");
  const up = v => top + h - clamp((Math.log10(Math.max(v, 1e-300)) - axis.low) / (axis.high - axis.low), 0, 1) * h;
  for (const tick of axis.ticks) {
    parts.push(shape("line", { x1: left, x2: left + w, y1: up(10 ** tick), y2: up(10 ** tick), class: "q35-grid" }));
    parts.push(shape("text", { x: left - 6, y: up(10 ** tick) + 4, class: "q35-tick", "text-anchor": "end" }, power(10 ** tick)));
  }
  for (let tokens = d.contexts[0]; tokens <= d.contexts.at(-1); tokens *= 16) {
    const name = tokens < 1024 ? tokens : tokens < 2 ** 20 ? `${tokens / 1024}K` : `${tokens / 2 ** 20}M`;
    parts.push(shape("text", { x: across(tokens), y: top + h + 15, class: "q35-tick", "text-anchor": "middle" }, name));
  }
  parts.push(shape("text", { x: left + w / 2, y: high - 4, class: "q35-tick", "text-anchor": "middle" }, "tokens"));
  if (panel.hatch) {
    const lines = d.contexts.slice(0, -1).flatMap((tokens, n) => [0, 0.33, 0.67].map(share => {
      const x = across(tokens) + share * w / (d.contexts.length - 1), mix = pair => pair[n] * (pair[n + 1] / pair[n]) ** share;
      return `M${x.toFixed(1)} ${up(mix(panel.hatch[0])).toFixed(1)}V${up(mix(panel.hatch[1])).toFixed(1)}`;
    }));
    parts.push(shape("path", { d: lines.join(""), class: "q35-hatch" }));
  }
  for (const [name, values] of Object.entries(panel.lines).reverse()) {
    const [ink, dash, thick] = LOOK[name], kept = values.map((v, n) => [v, n]).filter(([v]) => v > 0);
    const points = kept.map(([v, n]) => `${across(d.contexts[n]).toFixed(1)},${up(v).toFixed(1)}`).join(" ");
    parts.push(shape("polyline", { points, fill: "none", stroke: `var(--q35-${ink})`, "stroke-width": thick, "stroke-dasharray": dash }));
  }
  if (panel.mark) {
    const x = across(panel.mark.x), right = x > left + w * 0.6;
    parts.push(shape("line", { x1: x, x2: x, y1: top, y2: top + h, class: "q35-mark" }));
    parts.push(shape("text", { x: x + (right ? -5 : 5), y: top + 10, class: "q35-told", "text-anchor": right ? "end" : "start" },
      `${panel.mark.name} ${three(panel.mark.x)}`));
  }
  const x = across(d.contexts[now]), main = Object.values(panel.lines)[0][now];
  parts.push(shape("line", { x1: x, x2: x, y1: top, y2: top + h, class: "q35-now" }));
  if (main > 0) parts.push(shape("circle", { cx: x, cy: up(main), r: 4.5, class: "q35-dot" }));
  return parts.join("");
}

function legend(panel) {
  return Object.keys(panel.lines).map(name => {
    const [ink, dash, thick] = LOOK[name];
    const line = shape("line", { x1: 0, x2: 26, y1: 6, y2: 6, stroke: `var(--q35-${ink})`, "stroke-width": thick, "stroke-dasharray": dash });
    return `<span class="q35-entry">${shape("svg", { width: 26, height: 12, "aria-hidden": "true" }, line)}${name}</span>`;
  }).concat(panel.hatch ? ['<span class="q35-entry"><span class="q35-swatch"></span>unseen by a counter</span>'] : []).join("");
}
