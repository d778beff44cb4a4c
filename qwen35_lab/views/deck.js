// The deck: dials, and panels that follow them. All frames arrive once, as text; only a live dial asks the kernel.
const RATES = [2, 4, 8, 15, 30, 60]; // frames a second
const PATIENCE = 300, WORRY = 6000; // milliseconds until an answer is said to be awaited, and until it is doubted

// a slider with its name, its label, and perhaps a Play button
function makeDial(d, still, go) {
  const row = make("div", "q35-dial"), last = d.labels.length - 1;
  const name = make("label", "q35-dialname", d.name);
  const slider = make("input", "q35-range", "", { type: "range", min: 0, max: last, step: 1, "aria-label": d.name });
  const out = make("output", "q35-out"), note = make("div", "q35-dialnote");
  out.style.setProperty("--longest", longest(d.labels) + 1);
  name.append(slider);
  row.append(name);
  slider.addEventListener("input", () => { stop(); go(+slider.value); });

  const play = make("button", "q35-button q35-play", "▶", { type: "button", "aria-label": `play ${d.name}`, "aria-pressed": false });
  const speed = make("select", "q35-speed", "", { "aria-label": `frames a second of ${d.name}` });
  speed.append(...RATES.map(rate => make("option", "", `${rate}/s`, { value: rate })));
  speed.value = RATES.find(rate => last / rate <= 10) ?? RATES.at(-1);
  let playing = 0;
  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "▶";
    play.setAttribute("aria-label", `play ${d.name}`);
    play.setAttribute("aria-pressed", false);
  }
  function start() {
    if (+slider.value === last) go(0);
    let [from, since] = [+slider.value, null];
    play.textContent = "❚❚";
    play.setAttribute("aria-label", `pause ${d.name}`);
    play.setAttribute("aria-pressed", true);
    const step = time => {
      since ??= time;
      const to = Math.min(last, from + Math.floor((time - since) / 1000 * speed.value));
      if (to !== +slider.value) go(to);
      if (to === last || !row.isConnected) stop();
      else playing = requestAnimationFrame(step);
    };
    speed.onchange = () => { [from, since] = [+slider.value, null]; };
    playing = requestAnimationFrame(step);
  }
  play.addEventListener("click", () => playing ? stop() : start());
  if (d.play) {
    slider.addEventListener("keydown", e => { if (e.key === " ") { e.preventDefault(); play.click(); } });
    row.append(out, play, speed);
  } else row.append(out);
  if (d.notes) row.append(note);
  if (d.live && still) {
    slider.disabled = true;
    row.append(make("div", "q35-dialnote", "needs a running kernel"));
  }
  return { row, slider, stop, show(n) {
    slider.value = n;
    slider.style.setProperty("--share", `${100 * n / Math.max(1, last)}%`);
    out.textContent = d.labels[n];
    slider.setAttribute("aria-valuetext", `${d.labels[n]}, ${n + 1} of ${last + 1}`);
    if (d.notes) note.textContent = d.notes[n];
  } };
}

// what is hovered, in words: the panel under the pointer first, the others that know this place behind it
function readout(panels, found) {
  const own = found.panel.value(found);
  const rest = panels.filter(panel => panel !== found.panel).map(panel => [panel.title, panel.value(found)]);
  const others = rest.filter(([, value]) => value !== null).map(([title, value]) => `${title} ${value}`.trim());
  return `${found.text}${own === null ? "" : `: ${own}`}${others.length ? ` (${others.join(", ")})` : ""}`;
}

function render({ model, el }) {
  let d = decode(JSON.parse(model.get("payload")));
  const root = makeRoot("q35-deck", d.caption || "deck", d.colours);
  const at = d.dials.map((dial, n) => clamp(model.get("at")[n] ?? dial.start, 0, dial.labels.length - 1));
  let panels = [], hovered = null, saving, waiting, doubting, asked = 0;

  const deck = { colours: d.colours, go, link(found) {
    hovered = found;
    panels.forEach(panel => panel.point(found));
    told.textContent = found ? readout(panels, found) : HINT;
    told.classList.toggle("q35-faint", !found);
  } };
  const HINT = "Point at a picture, or go to it with Tab and use the arrow keys, to read its numbers.";
  const knobs = make("div", "q35-dials"), board = make("div", "q35-board");
  const told = make("div", "q35-readout q35-faint", HINT, { role: "status", "aria-live": "polite" });
  const problem = make("div", "q35-problem", "", { role: "alert" }), busy = make("span", "q35-busy", "computing …", { role: "status" });
  [problem.hidden, busy.hidden] = [true, true];
  const dials = d.dials.map((dial, n) => makeDial(dial, model.still, place => go(n, place)));
  const reset = make("button", "q35-button", "Reset", { type: "button" });
  reset.addEventListener("click", () => {
    dials.forEach(dial => dial.stop());
    move(d.dials.map((dial, n) => dials[n].slider.disabled ? at[n] : dial.start));
  });
  const tools = make("div", "q35-tools");
  tools.append(...d.dials.length ? [reset, busy] : [busy]);
  knobs.append(...dials.map(dial => dial.row), tools);
  const caption = make("div", "q35-caption", d.caption), words = make("div", "q35-hidden", d.alt);
  root.append(makeHead(d), knobs, problem, board, told, caption, words);

  function build() {
    panels = d.panels.map(p => PANELS[p.kind](p, deck));
    board.replaceChildren(...panels.map(panel => panel.box));
  }
  function show() {
    const began = performance.now();
    panels.forEach(panel => panel.draw(at));
    dials.forEach((dial, n) => dial.show(at[n]));
    if (hovered) deck.link(hovered);
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true, detail: { at: [...at], ms: performance.now() - began } }));
  }
  function go(dial, place) { move(at.map((n, k) => k === dial ? clamp(place, 0, d.dials[k].labels.length - 1) : n)); }
  function move(to) {
    const live = d.dials.some((dial, n) => dial.live && to[n] !== at[n]);
    to.forEach((place, n) => { at[n] = place; });
    show();
    if (live && !model.still) ask();
    clearTimeout(saving);
    saving = setTimeout(() => { model.set("at", [...at]); model.save_changes(); }, 150);
  }
  function ask() {
    asked = Math.max(asked, d.said) + 1;
    model.set("ask", JSON.stringify({ count: asked, at }));
    model.save_changes();
    if (waiting) return;
    waiting = setTimeout(() => { busy.hidden = false; root.setAttribute("aria-busy", true); }, PATIENCE);
    doubting = setTimeout(() => { busy.textContent = "waiting for the kernel; this dial needs a running one"; }, WORRY);
  }
  function answered() {
    [waiting, doubting].forEach(clearTimeout);
    [waiting, doubting] = [null, null];
    busy.hidden = true;
    busy.textContent = "computing …";
    root.removeAttribute("aria-busy");
  }
  // the same panels with other numbers keep the keyboard where it is
  function renew() {
    d = decode(JSON.parse(model.get("payload")));
    if (d.said >= asked) answered();
    problem.hidden = !d.error;
    problem.textContent = d.error;
    board.classList.toggle("q35-stale", Boolean(d.error));
    const focused = [...board.querySelectorAll("[tabindex]")].indexOf(document.activeElement);
    hovered = null;
    build();
    show();
    board.querySelectorAll("[tabindex]")[focused]?.focus();
  }
  const follow = () => {
    const given = model.get("at");
    if (given.join() === at.join()) return;
    given.forEach((place, n) => { at[n] = place; });
    show();
  };
  model.on("change:at", follow);
  model.on("change:payload", renew);
  build();
  el.append(root);
  show();
  // ipykernel answers a widget beside a running cell only once it has answered it before (see deck.py): begin now, so
  // that the reader's first move does not wait. Twice: the first message may leave before its thread is there.
  let greetings = 2;
  const greet = () => { if (greetings-- > 0) model.send({ ready: true }); };
  if (d.dials.some(dial => dial.live) && !model.still) {
    model.on("msg:custom", greet);
    greet();
  }
  return () => {
    dials.forEach(dial => dial.stop());
    [saving, waiting, doubting].forEach(clearTimeout);
    model.off("change:at", follow);
    model.off("change:payload", renew);
    model.off("msg:custom", greet);
  };
}

export default { render };
