// The layer elevator. Everything arrives once, as text; a step redraws in the browser and asks nobody.
const LETTERS = { linear_attention: "L", full_attention: "F" };
const NAMES = { linear_attention: "Gated DeltaNet", full_attention: "gated attention" };
const UP = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };

// the shaft: a native slider beside one row per floor, the embedding at the bottom
function shaft(d, floors, go) {
  const box = make("div", "q35-shaft");
  const pitch = clamp(Math.round(440 / floors), 12, 36);
  box.style.setProperty("--pitch", `${pitch}px`);
  const slider = make("input", "q35-slider", "", { type: "range", min: 0, max: floors - 1, step: 1, "aria-label": "layer" });
  slider.setAttribute("aria-orientation", "vertical");
  const list = make("div", "q35-floors");
  const rows = Array.from({ length: floors }, (_, floor) => {
    const kind = floor ? d.kinds[floor - 1] : "embedding";
    const row = make("div", `q35-floor q35-${kind}`, "", { title: floor ? `layer ${floor - 1}, ${NAMES[kind]}` : "embedding" });
    row.append(make("span", "q35-glyph", LETTERS[kind] ?? "E"), make("span", "q35-index", floor ? floor - 1 : ""), make("span", "q35-guess"));
    row.addEventListener("click", () => { go({ floor }); slider.focus(); });
    return row;
  });
  list.append(...rows.slice().reverse());
  box.append(slider, list);
  slider.addEventListener("input", () => go({ floor: +slider.value }));
  slider.addEventListener("keydown", e => {
    if (!(e.key in UP)) return;
    e.preventDefault();
    go({ floor: +slider.value + UP[e.key] });
  });
  return { box, slider, rows };
}

// one tap: its name, shape and statistics, and the chosen token's values as a strip of colours
function tapRow(d) {
  const row = make("div", "q35-tap");
  const [name, shape, numbers] = ["q35-tapname", "q35-shape", "q35-stats"].map(c => make("span", c));
  const canvas = make("canvas", "q35-strip", "", { role: "img" });
  canvas.height = 1;
  row.append(name, shape, numbers, canvas);
  return { row, set(tap, token) {
    name.textContent = tap.name;
    shape.textContent = tap.axes.map((axis, n) => `${axis}: ${tap.shape[n]}`).join(" × ");
    numbers.textContent = `${number(tap.min)} … mean ${number(tap.mean)} … ${number(tap.max)}`;
    const cells = tap.strip.row(token);
    canvas.width = cells.length;
    const ink = canvas.getContext("2d"), image = ink.createImageData(cells.length, 1);
    cells.forEach((v, n) => {
      const [r, g, b, a] = tint(d.colours, v / 127);
      image.data.set([r, g, b, Math.round(255 * a)], 4 * n);
    });
    ink.putImageData(image, 0, 0);
    const exact = tap.values ? ": " + [...tap.values.row(token)].map(number).join("  ") : "";
    canvas.title = `${tap.name} of this token${exact}; full colour is ±${number(tap.limit)}`;
    canvas.setAttribute("aria-label", canvas.title);
    if (tap.values) numbers.textContent = `this token${exact}`;
  } };
}

function render({ model, el }) {
  const d = decode(JSON.parse(model.get("payload")));
  const floors = d.floors.length, tokens = d.tokens.length;
  const root = makeRoot("q35-elevator", "layer elevator", d.colours);

  const here = { floor: clamp(model.get("floor"), 0, floors - 1), token: clamp(model.get("token"), 0, tokens - 1) };
  const state = inStep(model, here, go);
  function go(to) {
    here.floor = clamp(to.floor ?? here.floor, 0, floors - 1);
    here.token = clamp(to.token ?? here.token, 0, tokens - 1);
    show();
    state.save();
  }

  const head = makeHead(d);
  const tokenTitles = d.tokens.map((_, n) => `token ${n}, id ${d.ids[n]}`);
  const { strip, show: showToken } = tokenStrip(d.tokens, tokenTitles, n => go({ token: n }));
  const lift = shaft(d, floors, go);
  const view = make("div", "q35-view");
  const title = make("div", "q35-title", "", { "aria-live": "polite" });
  const norms = [["enters", "q35-stream"], ["mixer adds", "q35-mixer"], ["feed-forward adds", "q35-ffn"], ["leaves", "q35-stream"]].map(([n, c]) => bar(n, c));
  const guesses = Array.from({ length: d.lens.shape[2] }, () => bar("", "q35-lens"));
  const taps = make("div", "q35-taps");
  const tapRows = Array.from({ length: Math.max(...d.floors.map(f => f.length)) }, () => tapRow(d));
  taps.append(...tapRows.map(t => t.row));
  view.append(title,
    make("div", "q35-heading", "Residual stream, norm"), ...norms.map(b => b.row),
    make("div", "q35-heading", "Logit lens: the next token, if the model stopped here"), ...guesses.map(b => b.row),
    make("div", "q35-heading", "Taps: minimum … mean … maximum over all tokens; the strip is the chosen token"), taps,
    make("div", "q35-note", "cos: between what is added and the stream it is added to. Strips: blue is positive, orange negative, colourless zero. A cell is the value of largest magnitude of those it stands for; full colour is the largest value of the median token, or more."));
  const body = make("div", "q35-body");
  body.append(lift.box, view);
  root.append(head, strip, body);
  el.append(root);

  function show() {
    const { floor, token } = here, layer = floor - 1, kind = d.kinds[layer];
    const place = floor ? `After layer ${layer} · ${NAMES[kind]}` : "Embedding, before layer 0";
    title.textContent = `${place} · token ${token} “${d.tokens[token]}”`;
    root.dataset.kind = kind ?? "embedding";
    lift.rows.forEach((row, n) => {
      row.classList.toggle("q35-lit", n === floor);
      row.lastChild.textContent = d.words[d.lens.row(n, token)[0]];
      row.lastChild.style.opacity = 0.66 + 0.34 * d.probabilities.row(n, token)[0];
    });
    showToken(token);

    const most = Math.max(...Array.from({ length: floors }, (_, n) => d.stream.row(n, token)),
      ...Array.from({ length: floors - 1 }, (_, n) => Math.max(d.mixer.row(n, token), d.ffn.row(n, token)))) || 1;
    const leaves = d.stream.row(floor, token);
    norms.slice(0, 3).forEach(b => { b.row.hidden = !floor; });
    if (floor) {
      norms[0].set(d.stream.row(layer, token) / most, number(d.stream.row(layer, token)));
      norms[1].set(d.mixer.row(layer, token) / most, `${number(d.mixer.row(layer, token))}   cos ${number(d.mixerCosine.row(layer, token))}`);
      norms[2].set(d.ffn.row(layer, token) / most, `${number(d.ffn.row(layer, token))}   cos ${number(d.ffnCosine.row(layer, token))}`);
    }
    norms[3].set(leaves / most, number(leaves));

    const ids = d.lens.row(floor, token), ps = d.probabilities.row(floor, token);
    guesses.forEach((guess, n) => {
      const comes = d.wordIds[ids[n]] === d.ids[token + 1];
      guess.set(ps[n], percent(ps[n]) + (comes ? "  ◂ next in the text" : ""), d.words[ids[n]]);
    });
    tapRows.forEach((tap, n) => {
      tap.row.hidden = n >= d.floors[floor].length;
      if (!tap.row.hidden) tap.set(d.floors[floor][n], token);
    });
    lift.slider.value = floor;
    lift.slider.setAttribute("aria-valuetext", `${title.textContent}. Norm ${number(leaves)}. Lens: ${d.words[ids[0]]} ${percent(ps[0])}`);
  }
  show();
  return state.leave;
}

export default { render };
