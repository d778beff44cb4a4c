// One token's values as a heat map, whatever their axes: a strip, heads by features, or a panel for every head.
const WRAP = 64; // a long row of features is folded into rows of so many
const ROOMY = 48; // so few cells show their numbers

const exactly = x => (Number.isFinite(x) ? minus(String(+x.toPrecision(6))) : number(x));

// numbers travel in float32, or in bfloat16, the upper half of it
function unpack(picture, exact) {
  if (!picture) return;
  const { data } = picture.numbers;
  picture.flat = exact ? data : new Float32Array(Uint32Array.from(new Uint16Array(data.buffer), bits => bits << 16).buffer);
}

// how a token's values lie in panels of rows and columns; `at` gives the place in the array, or -1
function layout(d, stop, token, { cells, sizes }) {
  const span = (axis, n) => {
    const [low, high] = [n, n + 1].map(i => Math.round(i * sizes[axis] / cells[axis]));
    return `${stop.own[axis] ?? ""} ${high - low > 1 ? `${low}–${high - 1}` : low}`;
  };
  const size = cells.reduce((a, b) => a * b, 1), start = token * size;
  if (stop.map) {
    const [panels, columns] = cells;
    return { panels, rows: d.tokens.length, columns, map: true, axes: ["query ↓", `${stop.own[1]} →`],
      at: (p, r, c) => (r * panels + p) * columns + c, panel: p => span(0, p),
      name: (p, r, c) => `${span(0, p)} · query ${r} “${d.tokens[r]}” · ${span(1, c)}${cells[1] === d.tokens.length ? ` “${d.tokens[c]}”` : ""}` };
  }
  if (cells.length === 1) {
    const columns = size > 2 * WRAP ? WRAP : size;
    return { panels: 1, rows: Math.ceil(size / columns), columns, axes: size > columns ? [`${columns} a row`, `${stop.own[0]} →`] : ["", `${stop.own[0] ?? "value"} →`],
      at: (p, r, c) => (r * columns + c < size ? start + r * columns + c : -1), name: (p, r, c) => span(0, r * columns + c) };
  }
  const [panels, rows, columns] = cells.length === 2 ? [1, ...cells] : cells, first = cells.length - 2;
  return { panels, rows, columns, square: cells.length === 3, axes: [`${stop.own[first]} ↓`, `${stop.own[first + 1]} →`],
    at: (p, r, c) => start + (p * rows + r) * columns + c, panel: cells.length === 3 ? p => span(0, p) : undefined,
    name: (p, r, c) => [...(cells.length === 3 ? [span(0, p)] : []), span(first, r), span(first + 1, c)].join(" · ") };
}

function paint(canvas, plan, panel, picture, colours) {
  canvas.width = plan.columns;
  canvas.height = plan.rows;
  const ink = canvas.getContext("2d"), image = ink.createImageData(plan.columns, plan.rows);
  for (let r = 0; r < plan.rows; r++) {
    for (let c = 0; c < plan.columns; c++) {
      const value = picture.flat[plan.at(panel, r, c)];
      if (!Number.isFinite(value)) continue;
      const [red, green, blue, alpha] = tint(colours, value / picture.limit);
      image.data.set([red, green, blue, 255 * alpha], 4 * (r * plan.columns + c));
    }
  }
  ink.putImageData(image, 0, 0);
}

// one panel: colours, their numbers where there is room, and the frame under the pointer; `read` is told the cell
function panel(plan, p, picture, { colours, label, token, roomy, read, choose }) {
  const box = make("div", "q35-panel"), frame = make("div", "q35-frame"), ring = make("div", "q35-ring");
  const canvas = make("canvas", "q35-canvas", "", { role: "img", "aria-label": `${label}${plan.panel ? ", " + plan.panel(p) : ""}` });
  const place = (element, r, c, columns = 1) => Object.assign(element.style, {
    top: `${100 * r / plan.rows}%`, height: `${100 / plan.rows}%`,
    left: `${100 * c / plan.columns}%`, width: `${100 * columns / plan.columns}%` });
  paint(canvas, plan, p, picture, colours);
  frame.style.setProperty("--rows", plan.rows);
  frame.style.setProperty("--columns", plan.columns);
  frame.append(canvas);
  if (plan.columns <= (plan.square || plan.map ? 16 : 64) && plan.rows <= 32) frame.append(make("div", "q35-mesh"));
  if (roomy) {
    const grid = make("div", "q35-numbers");
    for (let n = 0; n < plan.rows * plan.columns; n++) grid.append(make("span", "", number(picture.flat[plan.at(p, Math.floor(n / plan.columns), n % plan.columns)])));
    frame.append(grid);
  }
  if (plan.map) { const row = make("div", "q35-chosen"); place(row, token, 0, plan.columns); frame.append(row); }
  ring.hidden = true;
  frame.append(ring);
  const under = event => {
    const bounds = frame.getBoundingClientRect();
    return [clamp(Math.floor((event.clientY - bounds.top) / bounds.height * plan.rows), 0, plan.rows - 1),
      clamp(Math.floor((event.clientX - bounds.left) / bounds.width * plan.columns), 0, plan.columns - 1)];
  };
  frame.addEventListener("pointermove", event => {
    const [r, c] = under(event), at = plan.at(p, r, c);
    ring.hidden = at < 0;
    if (at >= 0) { place(ring, r, c); read(plan.name(p, r, c), picture.flat[at]); }
  });
  frame.addEventListener("pointerleave", () => { ring.hidden = true; read(null); });
  if (plan.map) frame.addEventListener("click", event => choose(under(event)[0]));
  if (plan.panel) box.append(make("div", "q35-panelname", plan.panel(p)));
  box.append(frame);
  return box;
}

// the heat map of one value; the pointer reads a number from it
function heat(d, label, go) {
  const box = make("div", "q35-heat"), axes = make("div", "q35-axes"), panels = make("div", "q35-panels");
  const readout = make("div", "q35-readout");
  box.append(axes, panels, readout);
  return { box, set(stop, token, picture) {
    const plan = layout(d, stop, token, picture), whole = picture.cells.join() === picture.sizes.join();
    const roomy = whole && plan.panels * plan.rows * plan.columns <= ROOMY && plan.columns <= 12;
    const rest = `full colour is ±${number(picture.limit)}${whole ? "" : "; a cell is the largest of those it stands for"}${d.exact ? "" : "; three digits"}`;
    const read = (name, value) => {
      if (name === null) readout.textContent = rest;
      else readout.replaceChildren(`${name}  `, make("b", "", (d.exact ? "" : "≈ ") + exactly(value)));
    };
    const options = { colours: d.colours, label: `${label} of ${stop.name}`, token, roomy, read, choose: row => go({ token: row }) };
    read(null);
    axes.replaceChildren(make("b", "", label), ...plan.axes.map(axis => make("span", "", axis)));
    panels.className = `q35-panels ${plan.square || plan.map ? "q35-square" : "q35-flat"} ${roomy ? "q35-roomy" : ""}`;
    panels.replaceChildren(...Array.from({ length: plan.panels }, (_, p) => panel(plan, p, picture, options)));
  } };
}
