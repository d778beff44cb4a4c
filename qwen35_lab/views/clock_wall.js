// The clock wall: a clock for every rotated pair, run to a position, with YaRN or without. Nothing asks the kernel.
const SECONDS = 14; // that a run from position 0 to the end takes
const NEAR = 64, COLUMNS = 180, PROBES = 8; // distances of the short chart; columns of the long one, distances in each
const count = n => n.toLocaleString("en-US");
const shorten = n => n >= 1e6 ? `${+(n / 1e6).toPrecision(3)}M` : n >= 1e4 ? `${+(n / 1e3).toPrecision(3)}k` : count(n);
const rounds = x => x >= 100 ? count(Math.round(x)) : x.toFixed(x < 10 ? 2 : 1);

function drawWall(pen, clocks, position, factor, width, ink, colours) {
  const columns = clamp(Math.floor(width / 74), 4, 8), wide = Math.min(width / columns, 96), radius = Math.min(0.34 * wide, 30);
  const high = 2 * radius + 38, said = [];
  clocks.forEach((clock, n) => {
    const x = (n % columns + 0.5) * wide, y = Math.floor(n / columns) * high + radius + 5;
    const at = clock.speed * position / TURN, fresh = isUnseen(clock, position), top = -TURN / 4;
    const ring = (to, colour, thick, dash = []) => {
      [pen.strokeStyle, pen.lineWidth] = [colour, thick];
      pen.setLineDash(dash);
      pen.beginPath();
      pen.arc(x, y, radius, top, top + to);
      pen.stroke();
      pen.setLineDash([]);
    };
    ring(TURN, "rgba(128,128,128,0.4)", 1);
    ring(TURN * Math.min(1, clock.turns), colours.deltanet, 4); // where the hand has been in training
    [pen.strokeStyle, pen.fillStyle, pen.lineWidth] = [fresh ? colours.attention : ink, fresh ? colours.attention : ink, 2.2];
    const [tx, ty] = [x + 0.82 * radius * Math.sin(TURN * at), y - 0.82 * radius * Math.cos(TURN * at)];
    pen.setLineDash(fresh ? [4, 2.5] : []);
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(tx, ty);
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    pen.arc(x, y, 2.4, 0, TURN);
    pen.fill();
    const by = clock.did === "divided" ? factor : (clock.own / clock.speed).toFixed(2);
    said.push([fresh, fresh ? "unseen!" : `${rounds(at)} turns`, x, y + radius + 14]);
    said.push([null, `${n}${factor > 1 && clock.did !== "left" ? ` ÷ ${by}` : ""}`, x, y + radius + 26]);
  });
  pen.textAlign = "center"; // a change of font is slow: one after the other
  for (const [kind, font, colour] of [[false, "11px", ink], [true, "bold 11px", colours.attention], [null, "10.5px", ink]]) {
    [pen.font, pen.fillStyle] = [`${font} system-ui, sans-serif`, colour];
    for (const [own, text, x, y] of said) if (own === kind) pen.fillText(text, x, y);
  }
}

// one of the two charts: where on the canvas, how a distance becomes x, and what is drawn
function axes(pen, box, title, ticks, x, ink) {
  const y = v => box.top + (1.4 - v) / 1.65 * box.high; // from −0.25 to 1.4
  pen.font = "11px system-ui, sans-serif";
  [pen.fillStyle, pen.textAlign, pen.strokeStyle, pen.lineWidth] = [ink, "left", "rgba(128,128,128,0.35)", 1];
  pen.fillText(title, box.left, box.top - 6);
  pen.textAlign = "right";
  for (const v of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(box.left, y(v));
    pen.lineTo(box.left + box.wide, y(v));
    pen.stroke();
    pen.fillText(minus(String(v)), box.left - 5, y(v) + 4);
  }
  pen.textAlign = "center";
  for (const [d, name] of ticks) pen.fillText(name, x(d), box.top + box.high + 14);
  return y;
}

function curve(pen, points, colour, thick, dash) {
  [pen.strokeStyle, pen.lineWidth] = [colour, thick];
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([x, y], n) => pen[n ? "lineTo" : "moveTo"](x, y));
  pen.stroke();
  pen.setLineDash([]);
}

// the mean of the kernel in each column of the long chart, whose distances grow by a factor
function longMeans(clocks, temperature, end) {
  const step = Math.log(end) / COLUMNS;
  return Array.from({ length: COLUMNS }, (_, n) => {
    let sum = 0;
    for (let k = 0; k < PROBES; k++) sum += kernelOf(clocks, temperature, Math.round(Math.exp(step * (n + (k + 0.5) / PROBES))));
    return sum / PROBES;
  });
}

function render({ model, el }) {
  const d = decode(JSON.parse(model.get("payload"))), root = makeRoot("q35-clock_wall", "clock wall", d.colours);
  const here = Object.fromEntries(["kind", "factor", "place"].map(name => [name, model.get(name)]));
  const state = inStep(model, here, to => go(to, false)), began = JSON.parse(model.get("start")), trained = new Map();
  let kept = "";

  const kinds = choice("clocks of", d.kinds.map(k => k.name), here.kind, kind => go({ kind }));
  const where = slide("position", 0, PLACES, 1, place => { stop(); go({ place }); });
  const stretch = slide("YaRN factor", 0, d.factors.length - 1, 1, factor => go({ factor }));
  const play = make("button", "q35-button q35-play", "▶", { type: "button", "aria-label": "play position" });
  const reset = make("button", "q35-button", "Reset", { type: "button" });
  reset.addEventListener("click", () => { stop(); go(began); });
  let playing = 0;
  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "▶";
    play.setAttribute("aria-label", "play position");
  }
  play.addEventListener("click", () => {
    if (playing) return stop();
    if (here.place === PLACES) go({ place: 0 });
    const from = here.place;
    let since = null;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "pause position");
    const step = time => {
      since ??= time;
      const place = Math.min(PLACES, from + Math.floor((time - since) / 1000 * PLACES / SECONDS));
      if (place !== here.place) go({ place });
      if (place === PLACES || !root.isConnected) stop();
      else playing = requestAnimationFrame(step);
    };
    playing = requestAnimationFrame(step);
  });
  const knobs = make("div", "q35-knobs");
  const run = make("div", "q35-run");
  run.append(where.label, play);
  if (d.kinds.length > 1) knobs.append(kinds.label);
  knobs.append(run, stretch.label, reset);

  const wall = canvasOf("q35-wall", { role: "img" }), chart = canvasOf("q35-kernel", { role: "img" }), paper = canvasOf("", {});
  const left = make("div", "q35-left"), facts = make("div", "q35-right"), body = make("div", "q35-body");
  const told = make("div", "q35-told", "", { "aria-live": "polite" }), heading = make("div", "q35-heading", d.heading);
  left.append(wall.canvas, make("div", "q35-key", d.key));
  body.append(left, facts);
  root.append(makeHead(d), knobs, body, told, heading, chart.canvas, make("div", "q35-key", d.legend), make("div", "q35-caption", d.caption));
  el.append(root);
  inItsColour(root, show);

  function go(to, ours = true) {
    Object.assign(here, to);
    here.kind = clamp(here.kind, 0, d.kinds.length - 1);
    here.factor = clamp(here.factor, 0, d.factors.length - 1);
    here.place = clamp(here.place, 0, PLACES);
    show();
    if (ours) state.save();
  }

  function show() {
    const kind = d.kinds[here.kind], factor = d.factors[here.factor], ink = getComputedStyle(root).color;
    const clocks = clocksOf(kind, factor).map((clock, n) => ({ ...clock, own: kind.own[n] }));
    const position = positionOf(here.place, kind.native), fresh = clocks.filter(clock => isUnseen(clock, position)).length;
    const of = did => clocks.filter(clock => clock.did === did).length, temperature = attentionFactor(factor) ** 2;
    kinds.select.value = here.kind;
    where.set(here.place, count(position));
    stretch.set(here.factor, `× ${factor}`);
    const slowest = clocks.filter(clock => clock.turns < 1).length;
    facts.replaceChildren(table([
      ["position", count(position), true],
      [`of the ${count(kind.native)} in training`, `${(position / kind.native).toPrecision(3)} ×`],
      ["clocks that had not once been round", `${slowest} of ${clocks.length}`],
      ["hands where they never stood", `${fresh}`, true],
      ["left alone, blended, divided by the factor", ["left", "blended", "divided"].map(of).join(", ")],
      ["attention factor, on cos and sin", attentionFactor(factor).toFixed(4)],
      ["q·k of rotated features", `× ${temperature.toFixed(3)}`, true],
    ]));
    told.textContent = fresh
      ? `At position ${count(position)} ${fresh} hands stand at angles that training never showed them.`
      : `At position ${count(position)} every hand stands where training has seen it.`;
    const room = Math.max(240, left.clientWidth), columns = clamp(Math.floor(room / 74), 4, 8);
    const high = 2 * Math.min(0.34 * Math.min(room / columns, 96), 30) + 38;
    drawWall(wall.begin(room, Math.ceil(clocks.length / columns) * high + 4), clocks, position, factor, room, ink, d.colours);
    wall.canvas.setAttribute("aria-label", `${clocks.length} clocks at position ${count(position)}, factor ${factor}: ${told.textContent}`);
    drawCharts(kind, factor, clocks, temperature, position, ink);
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }

  // the charts change with the factor only, and are kept; the position is a line over them
  function drawCharts(kind, factor, clocks, temperature, position, ink) {
    const room = Math.max(240, root.clientWidth), beside = room >= 620, wide = (beside ? room / 2 : room) - 46;
    const high = beside ? 192 : 384, end = REACH * kind.native, log = Math.log(end);
    const boxes = [{ left: 34, top: 22, wide, high: 140 }, { left: beside ? room / 2 + 34 : 34, top: beside ? 22 : 214, wide, high: 140 }];
    const x0 = v => boxes[0].left + v / NEAR * wide, x1 = v => boxes[1].left + Math.log(Math.max(1, v)) / log * wide;
    const key = [here.kind, factor, room, ink].join();
    if (key !== kept) {
      kept = key;
      const pen = paper.begin(room, high), own = clocksOf(kind, 1);
      const y0 = axes(pen, boxes[0], `a short text: distance 0 to ${NEAR}`, [0, 16, 32, 48, 64].map(v => [v, v]), x0, ink);
      const powers = Array.from({ length: Math.floor(Math.log10(end)) + 1 }, (_, n) => [10 ** n, shorten(10 ** n)]);
      const y1 = axes(pen, boxes[1], `a long one: distance 1 to ${shorten(end)}, log scale`, powers, x1, ink);
      curve(pen, [[x1(kind.native), boxes[1].top], [x1(kind.native), y1(-0.25)]], d.colours.deltanet, 1.2, [2, 2]);
      if (!trained.has(kind)) trained.set(kind, longMeans(own, 1, end));
      const near = Array.from({ length: NEAR + 1 }, (_, v) => v), middle = n => boxes[1].left + (n + 0.5) / COLUMNS * wide;
      for (const [which, scale, long, colour, dash] of [
        [own, 1, trained.get(kind), "rgba(128,128,128,1)", [5, 3]], [clocks, temperature, longMeans(clocks, temperature, end), d.colours.ffn, []],
      ]) {
        curve(pen, near.map(v => [x0(v), y0(kernelOf(which, scale, v))]), colour, 1.9, dash);
        curve(pen, long.map((v, n) => [middle(n), y1(v)]), colour, 1.9, dash);
      }
      chart.canvas.setAttribute("aria-label", `q·k of the rotated features: at distance 0 ${temperature.toFixed(3)}, at 16 `
        + `${kernelOf(clocks, temperature, 16).toFixed(3)} (as trained ${kernelOf(own, 1, 16).toFixed(3)})`);
    }
    const pen = chart.begin(room, high), at = x1(position);
    pen.drawImage(paper.canvas, 0, 0, room, high);
    if (position > 0) curve(pen, [[at, boxes[1].top], [at, boxes[1].top + boxes[1].high]], d.colours.attention, 1.5, []);
  }

  const watcher = new ResizeObserver(() => show());
  watcher.observe(root);
  show();
  return () => { watcher.disconnect(); stop(); state.leave(); };
}

export default { render };
