// The stepper: a debugger for a forward pass that has already happened. Everything arrived once; no step asks a kernel.
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

// the smallest and largest place of each layer's stops, so that a page key moves by one layer
function otherLayer(d, stop, by) {
  const layer = d.stops[stop].layer, last = d.stops.length - 1;
  const begins = n => n === 0 || d.stops[n].layer !== d.stops[n - 1].layer;
  let n = stop;
  if (by < 0 && d.stops[n - 1]?.layer === layer) { while (!begins(n)) n--; return n; }
  do n += by; while (n > 0 && n < last && !begins(n));
  return clamp(n, 0, last);
}

// a pane: equation, meaning, what it reads, source, numbers; `show` fills it
function inspector(d, go, toggle) {
  const pane = make("div", "q35-pane"), title = make("div", "q35-title", "", { "aria-live": "polite" });
  const equation = make("div", "q35-equation"), meaning = make("div", "q35-meaning"), reads = make("div", "q35-reads");
  const source = make("div"), shape = make("div", "q35-chips"), stats = make("div", "q35-stats"), versus = make("div", "q35-versus");
  const values = heat(d, "values", go), difference = d.against ? heat(d, "this pass − the other", go) : null;
  pane.append(title, equation, meaning, reads, source, shape, stats, values.box, versus);
  const listings = d.sources.map(found => listing(found, () => toggle()));
  const tile = (name, text) => { const box = make("span", "q35-tile"); box.append(make("small", "", name), make("b", "", text)); return box; };
  return { pane, title, show(n, token, broken) {
    const stop = d.stops[n];
    const part = stop.name.split(".")[2], inLayer = { mixer: KINDS[stop.kind], ffn: "feed-forward" }[part] ?? "residual stream";
    pane.dataset.kind = part === "mixer" ? stop.kind : part ?? "outside";
    title.replaceChildren(make("span", "q35-tap", stop.name), make("span", "q35-where", stop.kind ? inLayer : ""));
    equation.replaceChildren(math(stop.equation));
    meaning.replaceChildren(stop.meaning, ...(stop.where.length ? [make("span", "q35-legend")] : []));
    if (stop.where.length) meaning.lastChild.append(math(stop.where));
    reads.hidden = !stop.reads.length;
    reads.replaceChildren("reads ", ...stop.reads.map(from => {
      const chip = make("button", "q35-chip", d.stops[from].name.replace(/^layers\.\d+\./, m => (d.stops[from].layer === stop.layer ? "" : m)), { type: "button", title: `go to ${d.stops[from].name}` });
      chip.addEventListener("click", () => go({ stop: from }));
      return chip;
    }));
    source.replaceChildren(listings[stop.source]);
    source.classList.toggle("q35-broken", broken);
    shape.replaceChildren(...stop.axes.flatMap((axis, i) => [...(i ? ["×"] : []), tile(`${axis}:`, stop.shape[i])]), tile("dtype:", stop.dtype));
    const numbers = stop.stats.row(token);
    stats.replaceChildren(make("span", "q35-of", `token ${token} “${d.tokens[token]}”`), ...["min", "mean", "max", "norm"].map((name, i) => tile(name, number(numbers[i]))));
    values.set(stop, token, stop.values);
    versus.hidden = !d.against;
    if (d.against) compare(stop, token);
  } };
  function compare(stop, token) {
    const gap = stop.gaps?.row(token), differs = stop.gaps && !(gap <= d.above);
    const text = !stop.gaps ? "was not recorded there" : stop.otherShape ? `is ${stop.otherShape} there` : differs ? `differs by up to ${number(gap)} of the largest value` : `is the same up to rounding (${number(gap)} of the largest value)`;
    const line = make("div", differs ? "q35-verdict q35-apart" : "q35-verdict");
    line.append(make("b", "", differs ? "≠ " : "= "), `against ${d.against}: this token ${text}`);
    versus.replaceChildren(line);
    if (differs && stop.difference) { versus.append(difference.box); difference.set(stop, token, stop.difference); }
  }
}

function render({ model, el }) {
  const d = decode(JSON.parse(model.get("payload"))), last = d.stops.length - 1, tokens = d.tokens.length;
  d.stops.forEach(stop => { unpack(stop.values, d.exact); unpack(stop.difference, d.exact); });
  const root = makeRoot("q35-stepper", "stepper", d.colours);
  const differs = d.stops.map(stop => Boolean(stop.gaps) && !stop.gaps.data.every(gap => gap <= d.above));
  const here = { stop: clamp(model.get("stop"), 0, last), token: clamp(model.get("token"), 0, tokens - 1), breakpoints: model.get("breakpoints") };
  const matches = n => here.breakpoints.some(pattern => glob(pattern).test(d.stops[n].name));
  let hits = [];
  const state = inStep(model, here, go);

  function go(to) {
    if (to.breakpoints) { here.breakpoints = to.breakpoints; arm(); }
    here.stop = clamp(to.stop ?? here.stop, 0, last);
    here.token = clamp(to.token ?? here.token, 0, tokens - 1);
    show();
    state.save();
  }
  // a stop that a glob matches is taken out by naming the others that it matches
  function toggle(stop = here.stop) {
    const { name } = d.stops[stop];
    const without = pattern => (glob(pattern).test(name) ? d.stops.map(s => s.name).filter(other => other !== name && glob(pattern).test(other)) : [pattern]);
    go({ breakpoints: matches(stop) ? [...new Set(here.breakpoints.flatMap(without))] : [...here.breakpoints, name] });
  }
  const jump = by => { for (let n = here.stop + by; n >= 0 && n <= last; n += by) if (hits[n]) return go({ stop: n }); };
  const act = {
    previous: () => go({ stop: here.stop - 1 }), next: () => go({ stop: here.stop + 1 }),
    rewind: () => jump(-1), run: () => jump(1), toggle: () => toggle(),
    differ: () => go({ stop: d.apart[0], token: d.apart[1] }),
  };

  const strip = tokenStrip(d.tokens, d.tokens.map((_, n) => `token ${n}, id ${d.ids[n]}`), token => go({ token }));
  const bar = toolbar(d, act), line = timeline(d, go), field = breakField(d, breakpoints => go({ breakpoints }));
  const tree = callTree(d, go, toggle), view = inspector(d, go, toggle), body = make("div", "q35-body");
  body.append(tree.box, view.pane);
  root.append(makeHead(d), bar.bar, line.box, field.box, strip.strip, body);
  if (d.note) root.append(make("div", "q35-note", d.note));
  root.append(make("div", "q35-note", "Keys: arrows step, Page Up and Down go to the next layer, Home and End to the ends, c continues, b sets a breakpoint. Blue is positive, orange negative, colourless zero."));
  el.append(root);

  root.addEventListener("keydown", event => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input") || target.closest(".q35-tokens")) return;
    const keys = { Home: () => go({ stop: 0 }), End: () => go({ stop: last }), PageDown: () => go({ stop: otherLayer(d, here.stop, 1) }),
      PageUp: () => go({ stop: otherLayer(d, here.stop, -1) }), c: act.run, C: act.rewind, b: act.toggle };
    const action = key in STEPS ? () => go({ stop: here.stop + STEPS[key] }) : keys[key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // what depends on the breakpoints alone
  function arm() {
    hits = d.stops.map((_, n) => matches(n));
    line.marks.forEach((mark, n) => { mark.className = `${hits[n] ? "q35-on" : ""} ${differs[n] ? "q35-apart" : ""}`; });
    field.show(here.breakpoints);
  }
  function show() {
    const { stop, token } = here, at = d.stops[stop];
    strip.show(token);
    strip.buttons.forEach((button, n) => button.classList.toggle("q35-differs", Boolean(at.gaps) && !(at.gaps.row(n) <= d.above)));
    bar.counter.textContent = `stop ${stop + 1} of ${last + 1}`;
    bar.buttons.back.disabled = stop === 0;
    bar.buttons.next.disabled = stop === last;
    bar.buttons.rewind.disabled = !hits.slice(0, stop).includes(true);
    bar.buttons.run.disabled = !hits.slice(stop + 1).includes(true);
    if (bar.buttons.differ) bar.buttons.differ.disabled = !d.apart;
    line.slider.value = stop;
    line.slider.setAttribute("aria-valuetext", `stop ${stop + 1} of ${last + 1}: ${at.name}. ${at.meaning}`);
    line.parts.forEach((part, n) => part.classList.toggle("q35-ahead", n > stop));
    tree.show(stop, hits, differs);
    view.show(stop, token, hits[stop]);
  }
  arm();
  show();
  return state.leave;
}

export default { render };
