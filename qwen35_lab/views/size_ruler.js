// The ruler: what a picture or a film of a size costs, and where each of its tokens stands. Nothing asks the kernel.
const STAGE = 480, HIGH = 420, LARGEST = 4096, SMALLEST = 32; // of the stage, and of edges, in pixels
const AXES = ["time", "height", "width"], INKS = ["deltanet", "attention", "ffn"];
const count = n => n.toLocaleString("en-US");
const dollars = x => `$${x >= 100 ? count(Math.round(x)) : x.toPrecision(3)}`;

// pixels [height, width, 3] as something that can be drawn
function photoOf(data, width, height) {
  const canvas = make("canvas"), ink = Object.assign(canvas, { width, height }).getContext("2d");
  const image = ink.createImageData(width, height);
  for (let n = 0; n < width * height; n++) image.data.set([data[3 * n], data[3 * n + 1], data[3 * n + 2], 255], 4 * n);
  ink.putImageData(image, 0, 0);
  return canvas;
}

// the longest edge grows with its fourth root, so that small and large pictures both fit; the shape is kept
function shown(width, height) {
  const longest = Math.max(width, height), scale = STAGE * (longest / LARGEST) ** 0.25 / longest;
  return Math.min(scale, HIGH / height, STAGE / width);
}

// a clock for every rotated pair: its ring tells whose position it follows, its hand the angle
function clocks(pen, kind, where, ink, colours, width) {
  const each = Math.min(44, width / Math.min(16, kind.turns.length)), radius = each * 0.38;
  kind.turns.forEach((turn, n) => {
    const x = (n % 16 + 0.5) * each, y = Math.floor(n / 16) * (each + 16) + each / 2 + 1, axis = kind.axes[n];
    [pen.strokeStyle, pen.lineWidth] = [colours[INKS[axis]], 3];
    pen.setLineDash([[], [5, 2.5], [1.5, 2]][axis]);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
    pen.setLineDash([]);
    [pen.strokeStyle, pen.lineWidth] = [ink, 1.8];
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x + radius * 0.8 * Math.sin(turn * where[axis]), y - radius * 0.8 * Math.cos(turn * where[axis]));
    pen.stroke();
    [pen.fillStyle, pen.textAlign] = [ink, "center"];
    pen.fillText("thw"[axis], x, y + radius + 12);
  });
  return Math.ceil(kind.turns.length / 16) * (each + 16) + 2;
}

function render({ model, el }) {
  const d = decode(JSON.parse(model.get("payload"))), root = makeRoot("q35-size_ruler", "picture ruler", d.colours);
  const names = ["view", "picture", "kind", "price", "width", "height", "cell", "length", "rate"];
  const here = Object.fromEntries(names.map(name => [name, model.get(name)]));
  const state = inStep(model, here, to => go(to, false));
  const photos = d.pictures.map(p => photoOf(p.pixels.data, p.pixels.shape[1], p.pixels.shape[0]));
  const film = Array.from({ length: d.film.shape[0] }, (_, n) => photoOf(d.film.row(n), d.film.shape[2], d.film.shape[1]));
  let own = null;

  const tabs = make("div", "q35-tabs", "", { role: "radiogroup", "aria-label": "what is measured" });
  const buttons = ["Picture", "Film"].map((text, n) => {
    const button = make("button", "q35-tab", text, { type: "button", role: "radio" });
    button.addEventListener("click", () => go({ view: n }));
    return button;
  });
  tabs.append(...buttons);
  const pick = choice("picture", d.pictures.map(p => p.name), here.picture, n =>
    go(n < photos.length ? { picture: n, width: d.pictures[n].width, height: d.pictures[n].height } : { picture: n }));
  const upload = make("button", "q35-button", "your own …", { type: "button", "data-q35-quiet": "" });
  upload.addEventListener("click", () => file.click());
  const file = make("input", "q35-hidden", "", { type: "file", accept: "image/*", tabindex: -1, "aria-label": "a picture of your own" });
  const kinds = choice("settings", d.kinds.map(k => k.name), here.kind, n => go({ kind: n, cell: 0 }));
  const prices = choice("price", d.prices.map(p => `$${p.usd.toFixed(2)} a million, ${p.name}`), here.price, n => go({ price: n }));
  const wide = slide("width", SMALLEST, LARGEST, 32, width => go({ width }));
  const high = slide("height", SMALLEST, LARGEST, 32, height => go({ height }));
  const long = slide("length", 0, d.lengths.length - 1, 1, length => go({ length }));
  const often = slide("frames a second", 0, d.rates.length - 1, 1, rate => go({ rate }));
  const reset = make("button", "q35-button", "Reset", { type: "button" });
  const began = JSON.parse(model.get("start"));
  reset.addEventListener("click", () => go({ ...began, view: here.view }));
  const knobs = make("div", "q35-knobs");
  knobs.append(pick.label, upload, file, kinds.label, prices.label, wide.label, high.label, long.label, often.label, reset);

  const stage = canvasOf("q35-stage", { tabindex: 0, role: "application", "aria-roledescription": "picture" });
  const dial = canvasOf("q35-clocks", { role: "img" });
  const left = make("div", "q35-left"), facts = make("div", "q35-right"), told = make("div", "q35-told", "", { "aria-live": "polite" });
  const below = make("div", "q35-below"), title = make("div", "q35-heading");
  left.append(stage.canvas);
  below.append(title, dial.canvas, told);
  const body = make("div", "q35-body");
  body.append(left, facts);
  root.append(makeHead(d), tabs, knobs, body, below, make("div", "q35-caption", d.caption), make("div", "q35-unseen", d.alt));
  el.append(root);
  inItsColour(root, show);

  const kind = () => d.kinds[here.kind];
  const photo = () => own && here.picture === photos.length ? own : photos[Math.min(here.picture, photos.length - 1)];
  const grid = () => imageSize(here.height, here.width, kind().image).map(side => side / kind().image.factor);
  function go(to, ours = true) {
    Object.assign(here, to);
    here.width = clamp(here.width, SMALLEST, LARGEST);
    here.height = clamp(here.height, SMALLEST, LARGEST);
    const [rows, columns] = grid();
    here.cell = clamp(here.cell, 0, rows * columns - 1);
    show();
    if (ours) state.save();
  }

  function show() {
    buttons.forEach((button, n) => { button.setAttribute("aria-checked", n === here.view); button.tabIndex = n === here.view ? 0 : -1; });
    [pick.label.hidden, upload.hidden] = [here.view === 1, here.view === 1];
    [long.label.hidden, often.label.hidden] = [here.view === 0, here.view === 0];
    [kinds.select.value, prices.select.value] = [here.kind, here.price];
    pick.select.value = Math.min(here.picture, pick.select.length - 1);
    wide.set(here.width, `${count(here.width)} px`);
    high.set(here.height, `${count(here.height)} px`);
    long.set(here.length, d.lengths[here.length] < 60 ? `${d.lengths[here.length]} s` : `${d.lengths[here.length] / 60} min`);
    often.set(here.rate, `${d.rates[here.rate]}`);
    if (here.view) showFilm(); else showPicture();
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }

  const money = (tokens, times) => dollars(tokens * times * d.prices[here.price].usd / 1e6);
  function showPicture() {
    const k = kind(), s = k.image, [rows, columns] = grid(), ink = getComputedStyle(root).color;
    const [height, width] = [rows * s.factor, columns * s.factor], scale = shown(width, height), side = s.factor * scale;
    const pen = stage.begin(STAGE + 14, Math.max(height * scale, 60) + 14);
    pen.drawImage(photo(), 0, 0, width * scale, height * scale);
    const line = (n, step, other, down) => { const at = n * step; down ? pen.strokeRect(at, 0, 0, other) : pen.strokeRect(0, at, other, 0); };
    for (const [step, size, colour] of [[side / k.merge, 5, "rgba(190,190,190,0.5)"], [side, 3.5, "rgba(255,255,255,0.9)"]]) {
      if (step < size) continue;
      [pen.strokeStyle, pen.lineWidth] = [colour, step === side ? 1.2 : 0.5];
      for (let n = 1; n * step < width * scale - 0.5; n++) line(n, step, height * scale, true);
      for (let n = 1; n * step < height * scale - 0.5; n++) line(n, step, width * scale, false);
    }
    const [row, column] = [Math.floor(here.cell / columns), here.cell % columns];
    for (const [colour, thick] of [["black", 5], ["#ffd23f", 2.5]]) {
      [pen.strokeStyle, pen.lineWidth] = [colour, thick];
      pen.strokeRect(column * side + 1, row * side + 1, side - 2, side - 2);
    }
    pen.fillStyle = ink;
    pen.fillRect(width * scale - 4, height * scale - 4, 12, 12); // the handle
    const tokens = rows * columns, where = [d.before, d.before + row, d.before + column];
    facts.replaceChildren(table([
      ["comes with", `${count(here.width)} × ${count(here.height)} pixels`],
      ["is resized to", `${count(width)} × ${count(height)}`],
      ["patches", `${columns * k.merge} × ${rows * k.merge} of ${s.factor / k.merge} pixels`],
      ["cells", `${columns} × ${rows} of ${k.merge} × ${k.merge} patches`],
      ["tokens", count(tokens), true],
      [`of a context of ${count(k.context)}`, `${(100 * tokens / k.context).toPrecision(3)} %`],
      ["1,000 such pictures", money(tokens, 1000)],
    ]));
    title.textContent = `Row ${row}, column ${column}: time ${where[0]}, height ${where[1]}, width ${where[2]}`;
    told.textContent = `Before the picture stand ${d.before} tokens of text. What comes behind it goes on at position `
      + `${d.before} + max(${rows}, ${columns}) = ${d.before + Math.max(rows, columns)}. Each clock is a rotated pair of features; `
      + "its ring says whether it follows time (whole), height (dashed) or width (dotted).";
    const room = Math.min(720, Math.max(240, root.clientWidth));
    const tall = Math.ceil(k.turns.length / 16) * (Math.min(44, room / Math.min(16, k.turns.length)) + 16) + 4;
    clocks(dial.begin(room, tall), k, where, ink, d.colours, room);
    dial.canvas.setAttribute("aria-label", title.textContent);
    stage.canvas.setAttribute("aria-label", `${rows} rows of ${columns} cells, ${tokens} tokens; arrow keys choose a cell`);
  }

  function showFilm() {
    const k = kind(), s = k.film, seconds = d.lengths[here.length], ink = getComputedStyle(root).color;
    const f = filmOf(seconds, d.fps, d.rates[here.rate], here.height, here.width, s), most = Math.min(8, f.chosen.length);
    const cellWide = 116, ratio = Math.min(1.6, f.rows / f.columns), tall = Math.min(108, 112 * ratio), across = tall / (f.rows / f.columns);
    const pen = stage.begin(STAGE, Math.ceil(most / 4) * (tall + 44) + 8);
    for (let n = 0; n < most; n++) {
      const [x, y] = [(n % 4) * (cellWide + 3), Math.floor(n / 4) * (tall + 44)];
      const at = Math.round(n / Math.max(1, most - 1) * (film.length - 1));
      pen.drawImage(film[at], x, y, Math.min(across, 112), tall);
      const steps = [f.columns / s.factor, f.rows / s.factor], size = [Math.min(across, 112), tall];
      [pen.strokeStyle, pen.lineWidth] = ["rgba(255,255,255,0.75)", 0.6];
      if (size[0] / steps[0] > 8) for (let c = 1; c < steps[0]; c++) pen.strokeRect(x + c * size[0] / steps[0], y, 0, tall);
      if (size[1] / steps[1] > 8) for (let c = 1; c < steps[1]; c++) pen.strokeRect(x, y + c * size[1] / steps[1], size[0], 0);
      [pen.fillStyle, pen.textAlign] = [ink, "center"];
      pen.fillText(`${(f.chosen[n] / d.fps).toFixed(2)} s`, x + size[0] / 2, y + tall + 13);
      if (n % s.pair === 0) {
        const end = Math.min(most - 1, n + s.pair - 1), wide = (end - n) * (cellWide + 3) + size[0];
        [pen.strokeStyle, pen.lineWidth] = [d.colours.deltanet, 2];
        pen.strokeRect(x, y + tall + 18, wide, 0);
        pen.fillText(`<${stamp(f.times[Math.floor(n / s.pair)])} seconds>`, x + wide / 2, y + tall + 33);
      }
    }
    const shownOf = f.chosen.length > most ? `, the first ${most} of them shown` : "";
    facts.replaceChildren(table([
      ["the film has", `${count(f.total)} frames, ${d.fps} a second`],
      ["looked at", `${count(f.chosen.length)} frames${shownOf}`],
      ["moments", `${count(f.times.length)}, two frames each`],
      ["every frame is resized to", `${count(f.columns)} × ${count(f.rows)}`],
      ["tokens a moment", count(f.cells)],
      ["tokens", count(f.tokens), true],
      ["tokens a second", number(f.tokens / seconds), true],
      ["an hour of such films", money(f.tokens / seconds, 3600)],
    ]));
    title.textContent = "Tokens a second, for films of every length";
    told.textContent = "Time stamps and two marks for every moment come on top. A film has one budget of pixels: what is long is seen less often, and smaller.";
    curve(f.tokens / seconds, ink);
  }

  function curve(value, ink) {
    const room = Math.min(720, Math.max(240, root.clientWidth)), pen = dial.begin(room, 150), last = d.lengths.length - 1;
    const all = d.lengths.map(t => filmOf(t, d.fps, d.rates[here.rate], here.height, here.width, kind().film).tokens / t);
    const top = Math.max(...all), x = n => 50 + n / last * (room - 80), y = v => 118 - v / top * 100;
    pen.fillStyle = ink;
    [pen.strokeStyle, pen.lineWidth] = ["rgba(128,128,128,0.5)", 1];
    for (const share of [0, 0.5, 1]) {
      pen.strokeRect(50, y(share * top), room - 80, 0);
      pen.textAlign = "right";
      pen.fillText(count(Math.round(share * top)), 45, y(share * top) + 4);
    }
    [pen.strokeStyle, pen.lineWidth] = [d.colours.deltanet, 2];
    pen.beginPath();
    all.forEach((v, n) => pen[n ? "lineTo" : "moveTo"](x(n), y(v)));
    pen.stroke();
    pen.textAlign = "center";
    d.lengths.forEach((t, n) => pen.fillText(t < 60 ? `${t} s` : `${t / 60} min`, x(n), 136));
    pen.fillStyle = d.colours.attention;
    pen.beginPath();
    pen.arc(x(here.length), y(value), 6, 0, 2 * Math.PI);
    pen.fill();
    dial.canvas.setAttribute("aria-label", `${value.toPrecision(4)} tokens a second`);
  }

  // the mouse: drag the handle, or choose a cell
  let dragging = false;
  const place = e => { const r = stage.canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
  const edges = () => { const [rows, columns] = grid(), side = kind().image.factor * shown(columns * kind().image.factor, rows * kind().image.factor); return [columns * side, rows * side, side, rows, columns]; };
  stage.canvas.addEventListener("pointerdown", e => {
    if (here.view) return;
    const [x, y] = place(e), [width, height, side, rows, columns] = edges();
    dragging = Math.hypot(x - width, y - height) < 18;
    if (dragging) stage.canvas.setPointerCapture(e.pointerId);
    else if (x < width && y < height) go({ cell: clamp(Math.floor(y / side), 0, rows - 1) * columns + clamp(Math.floor(x / side), 0, columns - 1) });
  });
  stage.canvas.addEventListener("pointermove", e => {
    const [x, y] = place(e), [width, height] = edges();
    stage.canvas.style.cursor = here.view ? "default" : dragging || Math.hypot(x - width, y - height) < 18 ? "nwse-resize" : "pointer";
    if (!dragging) return;
    const longest = clamp(Math.max(x, y), 20, STAGE), whole = LARGEST * (longest / STAGE) ** 4;
    const to = v => clamp(Math.round(Math.max(v, 1) / longest * whole / 32) * 32, SMALLEST, LARGEST);
    go({ width: to(x), height: to(y) });
  });
  stage.canvas.addEventListener("pointerup", () => { dragging = false; });
  stage.canvas.addEventListener("keydown", e => {
    const columns = grid()[1], to = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[e.key];
    if (here.view || !to) return;
    e.preventDefault();
    const [rows] = grid(), next = here.cell + to;
    if (next >= 0 && next < rows * columns) go({ cell: next });
  });
  // a picture of one's own stays in this browser
  async function take(chosen) {
    if (!chosen?.type.startsWith("image/")) return;
    if (!own) pick.select.append(make("option", "", "your own", { value: photos.length }));
    const bitmap = await createImageBitmap(chosen), scale = Math.min(1, 800 / Math.max(bitmap.width, bitmap.height));
    own = Object.assign(make("canvas"), { width: Math.ceil(bitmap.width * scale), height: Math.ceil(bitmap.height * scale) });
    own.getContext("2d").drawImage(bitmap, 0, 0, own.width, own.height);
    const fit = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
    go({ view: 0, picture: photos.length, width: Math.round(bitmap.width * fit), height: Math.round(bitmap.height * fit) });
  }
  file.addEventListener("change", () => take(file.files[0]));
  root.addEventListener("dragover", e => e.preventDefault());
  root.addEventListener("drop", e => { e.preventDefault(); take(e.dataTransfer.files[0]); });

  const watcher = new ResizeObserver(() => show());
  watcher.observe(root);
  show();
  return () => { watcher.disconnect(); state.leave(); };
}

export default { render };
