// What the panels of a deck share, and the map of cells. A panel is { box, draw(at), point(link) }: draw for the dials' places, point for what is hovered.
const SERIES = ["deltanet", "attention", "ffn", "stream"];
const DASHES = [[], [7, 3], [2, 3], [8, 3, 2, 3]];
const STEPS = 254, BLANK = 255;
const MINIMUM = 13; // pixels that a line of labels needs

const frameOf = (values, over, at) => values.row(...over.map(dial => at[dial]));
const key = axis => `${axis.name} ${axis.size}`;
const label = (axis, n) => axis.labels ? axis.labels[n] : String(n);
const longest = labels => Math.max(0, ...labels.map(name => name.length));
const unitOf = p => p.unit ? ` ${p.unit}` : "";

// place n of a frame: the number itself or what its byte stands for, NaN where there is none; and as text
function amount(p, now, n) {
  if (now instanceof Float32Array) return now[n];
  return now[n] === BLANK ? NaN : p.low + now[n] * (p.high - p.low) / STEPS;
}
function valueOf(p, now, n) {
  const value = amount(p, now, n), step = (p.high - p.low) / STEPS;
  if (now instanceof Float32Array || Number.isNaN(value)) return number(value);
  if (step < 1e-4) return number(+value.toPrecision(2));
  const text = value.toFixed(Math.max(0, Math.round(-Math.log10(step)))); // no more digits than a byte can tell
  return minus(+text === 0 ? "0" : text);
}

// the numbers of a map, cut at the same decimal: three digits of the largest, fewer where that is too wide, or none
function cellTexts(values, high, fits) {
  const least = -Math.floor(Math.log10(high)); // with fewer than this, nothing but zeros would be left
  for (let digits = clamp(least + 2, 1, 9); digits >= Math.max(0, least); digits--) {
    const texts = values.map(v => minus(digits ? v.toFixed(digits).replace(/\.?0+$/, "") : v.toFixed()).replace(/^−0$/, "0"));
    if (texts.every(fits)) return texts;
  }
  return [];
}

// byte -> pixel, in the order of canvas memory; the last two are the chequer of cells without a value
function palette(p, colours) {
  const pixels = new Uint32Array(257), bytes = new Uint8ClampedArray(pixels.buffer);
  for (let code = 0; code <= STEPS; code++) {
    const [r, g, b, a] = tint(colours, (p.low + (p.high - p.low) * code / STEPS) / p.high);
    bytes.set([r, g, b, 255 * a], 4 * code);
  }
  bytes.set([128, 128, 128, 22], 4 * BLANK);
  bytes.set([128, 128, 128, 48], 4 * 256);
  return pixels;
}

const codeOf = (p, v) => Number.isFinite(v) ? Math.round(clamp((v - p.low) / (p.high - p.low), 0, 1) * STEPS) : BLANK;

function frameBox(p, className) {
  const box = make("section", `q35-panel ${className}`, "", { "aria-label": p.title });
  const title = make("div", "q35-paneltitle", p.title);
  if (p.unit) title.append(make("span", "q35-faint", `  ${p.unit}`));
  if (p.title) box.append(title);
  return box;
}

// names along an axis, as many as fit
function ruler(axis, className) {
  const box = make("div", `q35-ruler ${className}`, "", { "aria-hidden": true });
  box.style.setProperty("--longest", longest(axis.labels ?? []));
  let shown = 0;
  return { box, lay(cell, room) {
    let every = Math.max(1, Math.ceil(room / cell));
    if (!axis.labels) every = 2 ** Math.ceil(Math.log2(every)); // as features and heads are counted
    if (every === shown) return;
    shown = every;
    box.replaceChildren();
    for (let n = 0; n < axis.size; n += every) {
      const name = make("span", "", label(axis, n));
      name.style.setProperty("--at", (n + 0.5) / axis.size);
      box.append(name);
    }
  } };
}

// what colours stand for
function scale(p, colours) {
  const box = make("div", "q35-scale"), canvas = make("canvas", "", "", { role: "img" });
  canvas.width = STEPS + 1;
  canvas.height = 1;
  const ink = canvas.getContext("2d"), image = ink.createImageData(STEPS + 1, 1);
  new Uint32Array(image.data.buffer).set(palette(p, colours).subarray(0, STEPS + 1));
  ink.putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", `colours from ${number(p.low)} to ${number(p.high)}${unitOf(p)}`);
  box.append(make("span", "", number(p.low)), canvas, make("span", "", number(p.high)));
  if (p.most !== null) box.append(make("span", "q35-faint", `clipped; the largest is ${number(p.most)}`));
  return box;
}

// pointer and arrow keys over a plot of cells: `link` is told the cell that is read, `choose`, if any, the one that is taken
function handle(plot, rows, columns, deck, link, choose) {
  let focus = null;
  const under = e => {
    const r = plot.getBoundingClientRect(), part = (x, low, length, count) => clamp(Math.floor((x - low) / length * count), 0, count - 1);
    return [part(e.clientY, r.top, r.height, rows.size), part(e.clientX, r.left, r.width, columns.size)];
  };
  plot.addEventListener("pointermove", e => link(...(focus = under(e))));
  plot.addEventListener("pointerdown", e => choose?.(...under(e)));
  plot.addEventListener("pointerleave", () => deck.link(null));
  plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) link(...(focus ??= [0, 0])); });
  plot.addEventListener("blur", () => deck.link(null));
  plot.addEventListener("keydown", e => {
    const [row, column] = focus ?? [0, 0], taken = choose && [" ", "Enter"].includes(e.key) && !e.shiftKey;
    const to = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [row, 0], End: [row, columns.size - 1] }[e.key];
    if (taken || to) e.preventDefault();
    if (taken) choose(row, column);
    if (to) link(...(focus = [clamp(to[0], 0, rows.size - 1), clamp(to[1], 0, columns.size - 1)]));
  });
}

function heat(p, deck) {
  const { rows, columns } = p;
  const box = frameBox(p, "q35-heat");
  box.classList.toggle("q35-wide", columns.size > 2.5 * rows.size && columns.size > 24);
  const grid = make("div", "q35-grid"), plot = make("div", "q35-plot", "", {
    tabindex: 0, role: "application", "aria-roledescription": "heat map",
    "aria-label": `${p.title}: ${rows.size} ${rows.name} by ${columns.size} ${columns.name}; arrow keys read cells${p.choose ? ", Enter chooses" : ""}`,
  });
  const [canvas, glyphs] = [make("canvas", "q35-cells"), make("canvas", "q35-glyphs")];
  const marks = ["q35-row", "q35-column", "q35-cell"].map(c => make("div", c));
  marks.forEach(mark => { mark.hidden = true; });
  [canvas.width, canvas.height] = [columns.size, rows.size];
  const [side, foot] = [ruler(rows, "q35-side"), ruler(columns, "q35-foot")];
  grid.style.setProperty("--ratio", columns.size / rows.size);
  grid.style.setProperty("--widest", `${46 * columns.size}px`);
  grid.classList.toggle("q35-named", Boolean(rows.labels));
  grid.style.setProperty("--longest", longest(rows.labels ?? []));
  const picked = make("div", "q35-picked");
  plot.append(canvas, glyphs, ...p.choose ? [picked] : [], ...marks);
  grid.append(side.box, plot, foot.box);
  const legend = make("div", "q35-legend");
  legend.append(make("span", "q35-faint", `${rows.name} ↓   ${columns.name} →`), scale(p, deck.colours));
  box.append(grid, legend);

  const ink = canvas.getContext("2d"), image = ink.createImageData(columns.size, rows.size);
  const pixels = new Uint32Array(image.data.buffer), inks = palette(p, deck.colours);
  let now, size = { width: 0, height: 0 };
  function draw(at) {
    now = frameOf(p.values, p.over, at);
    const coded = now instanceof Uint8Array;
    for (let n = 0; n < pixels.length; n++) {
      const code = coded ? now[n] : codeOf(p, now[n]);
      pixels[n] = inks[code === BLANK ? BLANK + (Math.floor(n / columns.size) + n % columns.size) % 2 : code];
    }
    ink.putImageData(image, 0, 0);
    if (p.choose) put(picked, ...p.choose.map(n => at[n]));
    write();
  }
  function put(mark, row, column) {
    for (const [name, n, count] of [["row", row, rows.size], ["column", column, columns.size]])
      for (const end of ["", "size"]) mark.style.setProperty(`--${name}${end}`, `${100 * (end ? 1 : n) / count}%`);
  }
  // numbers, or signs, where cells are large enough
  function write() {
    const w = size.width / columns.size, h = size.height / rows.size;
    const worth = Math.min(w, h) >= 15 && (p.text || p.signed);
    glyphs.hidden = !worth;
    if (!worth || !now) return;
    const dense = window.devicePixelRatio || 1;
    [glyphs.width, glyphs.height] = [size.width * dense, size.height * dense];
    const pen = glyphs.getContext("2d");
    pen.scale(dense, dense);
    pen.font = "10.5px system-ui, sans-serif";
    [pen.textAlign, pen.textBaseline] = ["center", "middle"];
    const paper = getComputedStyle(box).color;
    const values = Array.from(now, (_, n) => amount(p, now, n));
    const texts = p.text && w >= 30 ? cellTexts(values, p.high, text => pen.measureText(text).width <= w - 4) : [];
    for (let n = 0; n < now.length; n++) {
      const value = values[n];
      if (!Number.isFinite(value)) continue;
      pen.fillStyle = Math.abs(value) > 0.55 * p.high ? "white" : paper;
      pen.fillText(texts[n] || (value < -0.02 * p.high ? "−" : ""), (n % columns.size + 0.5) * w, (Math.floor(n / columns.size) + 0.5) * h);
    }
  }
  new ResizeObserver(([entry]) => {
    size = entry.contentRect;
    side.lay(size.height / rows.size, MINIMUM);
    foot.box.classList.toggle("q35-turned", longest(columns.labels ?? []) * 6.5 > size.width / columns.size);
    foot.lay(size.width / columns.size, columns.labels ? MINIMUM : 26);
    write();
  }).observe(plot);
  inItsColour(box, write);

  const read = (row, column) => p.reading.replace("{row}", label(rows, row)).replace("{column}", label(columns, column));
  const link = (row, column) => deck.link({ panel: me, rows: key(rows), columns: key(columns), row, column, text: read(row, column) });
  handle(plot, rows, columns, deck, link, p.choose && ((...cell) => cell.forEach((place, n) => deck.go(p.choose[n], place))));

  // which rows and columns a hovered cell means, by the axes' names and sizes
  function places(found) {
    const row = found?.rows === key(rows) ? found.row : found?.columns === key(rows) ? found.column : null;
    const column = found?.columns === key(columns) ? found.column : found?.rows === key(columns) ? found.row : null;
    return [row, column];
  }
  const me = { box, draw, title: p.title, point(found) {
    const [row, column] = places(found);
    const [band, post, cell] = marks;
    [band.hidden, post.hidden, cell.hidden] = [row === null, column === null, row === null || column === null];
    for (const mark of marks) put(mark, row, column);
  }, value(found) {
    const [row, column] = places(found);
    return row === null || column === null ? null : valueOf(p, now, row * columns.size + column) + unitOf(p);
  } };
  return me;
}
