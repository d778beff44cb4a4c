// The stepper's parts that know nothing of each other: tool bar, time line, tree, equation, listing.
const GLYPHS = { linear_attention: "L", full_attention: "F" };
const KINDS = { linear_attention: "Gated DeltaNet", full_attention: "gated attention" };

// globs as Python's fnmatch reads them
function glob(pattern) {
  const parts = pattern.split(/(\*|\?|\[[^\]]+\])/).map((part, n) => {
    if (n % 2 === 0) return part.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    return part === "*" ? ".*" : part === "?" ? "." : part.replace("[!", "[^");
  });
  return new RegExp(`^${parts.join("")}$`, "s");
}

// an equation: single letters in italics, as mathematicians set them
function math(parts) {
  const found = document.createDocumentFragment();
  for (const part of parts) {
    if (typeof part === "string") {
      for (const piece of part.split(/(\p{L}+)/u)) {
        const letter = /^(\p{Script=Latin}|\p{Ll})$/u.test(piece);
        found.append(letter ? make("i", "", piece) : piece);
      }
    } else {
      const [[level, inside]] = Object.entries(part);
      const element = make(level);
      element.append(math(inside));
      found.append(element);
    }
  }
  return found;
}

// ---------------------------------------------------------------- where we are: toolbar and time line

function toolbar(d, act) {
  const bar = make("div", "q35-toolbar");
  const button = (text, label, action, title) => {
    const made = make("button", "q35-button", text, { type: "button", "aria-label": label, title });
    made.addEventListener("click", action);
    return made;
  };
  const group = (...buttons) => { const box = make("span", "q35-group"); box.append(...buttons); bar.append(box); };
  const buttons = {
    back: button("◂ step", "one step back", act.previous, "← or ↑"),
    next: button("step ▸", "one step on", act.next, "→ or ↓"),
    rewind: button("◂◂ back", "back to the breakpoint before", act.rewind, "Shift + c"),
    run: button("continue ▸▸", "continue to the next breakpoint", act.run, "c"),
  };
  group(buttons.back, buttons.next);
  group(buttons.rewind, buttons.run);
  if (d.against) {
    buttons.differ = button("≠ first difference", "go to the first difference", act.differ, "the earliest value, and the earliest token in it");
    group(buttons.differ);
  }
  const counter = make("span", "q35-counter");
  bar.append(counter);
  return { bar, buttons, counter };
}

// all stops from left to right, layers in the colour of their kind, marks above
function timeline(d, go) {
  const box = make("div", "q35-timeline"), marks = make("div", "q35-marks", "", { "aria-hidden": "true" });
  const band = make("div", "q35-band", "", { "aria-hidden": "true" });
  d.stops.forEach((stop, n) => {
    const part = make("span", `q35-${stop.kind ?? "outside"}`);
    if (n && stop.layer !== d.stops[n - 1].layer) part.classList.add("q35-starts");
    band.append(part);
    marks.append(make("span"));
  });
  const slider = make("input", "q35-range", "", { type: "range", min: 0, max: d.stops.length - 1, step: 1, "aria-label": "stop" });
  slider.addEventListener("input", () => go({ stop: +slider.value }));
  box.append(marks, band, slider);
  return { box, slider, marks: [...marks.children], parts: [...band.children] };
}

// patterns to stop at, with how many stops they match
function breakField(d, set) {
  const box = make("div", "q35-breaks");
  const field = make("input", "q35-field", "", { type: "text", spellcheck: "false", placeholder: "layers.*.mixer.beta", "aria-label": "breakpoints: names of taps, * stands for anything" });
  const said = make("span", "q35-said", "", { "aria-live": "polite" });
  field.addEventListener("change", () => set(field.value.split(/[\s,]+/).filter(Boolean)));
  box.append(make("span", "q35-dot q35-on"), make("span", "", "stop at"), field, said);
  return { box, show(breaks) {
    if (field.value.split(/[\s,]+/).filter(Boolean).join() !== breaks.join()) field.value = breaks.join(" ");
    const names = d.stops.map(stop => stop.name);
    const idle = breaks.find(pattern => !names.some(name => glob(pattern).test(name)));
    const hits = names.filter(name => breaks.some(pattern => glob(pattern).test(name))).length;
    said.textContent = idle ? `no stop is called ${idle}` : breaks.length ? `${hits} stop${hits === 1 ? "" : "s"}` : "no breakpoints";
    box.classList.toggle("q35-wrong", Boolean(idle));
  } };
}

// ---------------------------------------------------------------- the tree of the computation

function callTree(d, go, toggle) {
  const box = make("div", "q35-tree", "", { role: "tree", "aria-label": "the forward pass", tabindex: 0 });
  const rows = [], opened = new Set(), leaves = new Map();
  const mark = (row, name) => { const made = make("span", name); row.append(made); return made; };
  function add(node, level, parents) {
    const leaf = typeof node === "number", id = rows.length, stop = leaf ? d.stops[node] : null;
    const row = make("div", `q35-row ${leaf ? "q35-leaf" : "q35-branch"}`, "", { role: "treeitem", "aria-level": level });
    const entry = { row, parents, id, leaf, dot: mark(row, "q35-dot"), first: leaf ? node : 0 };
    row.style.setProperty("--level", level - 1);
    if (leaf) {
      const short = stop.name.replace(/^layers\.\d+\.(mixer\.|ffn\.)?/, "");
      row.append(make("span", "q35-label", short));
      entry.dot.title = "breakpoint";
      entry.dot.addEventListener("click", event => { event.stopPropagation(); toggle(node); });
      row.addEventListener("click", () => { go({ stop: node }); box.focus({ preventScroll: true }); });
      leaves.set(node, entry);
    } else {
      entry.twist = mark(row, "q35-twist");
      if (node.kind) row.append(make("span", `q35-glyph q35-${node.kind}`, GLYPHS[node.kind], { title: KINDS[node.kind] }));
      row.append(make("span", "q35-label", node.label));
      if (node.kind) row.append(make("span", "q35-kind", KINDS[node.kind]));
      row.addEventListener("click", () => { opened.has(id) ? opened.delete(id) : opened.add(id); draw(); });
    }
    entry.differs = mark(row, "q35-differ");
    rows.push(entry);
    box.append(row);
    if (!leaf) entry.inside = node.children.flatMap(child => add(child, level + 1, [...parents, id]));
    return leaf ? [node] : entry.inside;
  }
  add(d.tree, 1, []);
  opened.add(0);
  let here = 0, state = { breaks: [], differs: [] };
  function draw() {
    const path = leaves.get(here).parents;
    const open = id => opened.has(id) || path.includes(id);
    for (const entry of rows) {
      const { row, leaf, inside = [entry.first] } = entry;
      row.hidden = !entry.parents.every(open);
      const shut = leaf || !open(entry.id);
      row.classList.toggle("q35-here", leaf && entry.first === here);
      row.classList.toggle("q35-past", inside.at(-1) < here);
      entry.dot.classList.toggle("q35-on", shut && inside.some(n => state.breaks[n]));
      entry.differs.textContent = shut && inside.some(n => state.differs[n]) ? "≠" : "";
      if (leaf) row.setAttribute("aria-selected", entry.first === here);
      else { row.setAttribute("aria-expanded", !shut); entry.twist.textContent = shut ? "▸" : "▾"; }
    }
    const { row } = leaves.get(here), from = row.offsetTop - box.offsetTop;
    box.scrollTop = clamp(box.scrollTop, from + 60 - box.clientHeight, Math.max(0, from - 40));
  }
  const show = (stop, breaks, differs) => {
    here = stop;
    state = { breaks, differs };
    draw();
  };
  return { box, show };
}

// ---------------------------------------------------------------- what a stop shows

function listing(source, toggle) {
  const box = make("div", "q35-listing");
  box.append(make("div", "q35-file", `${source.file}:${source.line}`));
  const code = make("div", "q35-code", "", { role: "region", "aria-label": `source, line ${source.line} made this value`, tabindex: 0 });
  const indent = Math.min(...source.lines.filter(line => line.length).map(line => {
    const text = line.map(part => part[2]).join("");
    return text.trim() ? text.length - text.trimStart().length : 99;
  }));
  source.lines.forEach((line, n) => {
    const hot = source.first + n >= source.line && source.first + n <= source.last;
    const row = make("div", hot ? "q35-line q35-hot" : "q35-line");
    const gutter = make("span", "q35-gutter", source.first + n);
    if (hot) { gutter.title = "toggle a breakpoint here"; gutter.addEventListener("click", toggle); }
    const text = make("span", "q35-text");
    let cut = indent;
    for (const [colour, inCall, piece] of line) {
      const rest = piece.slice(cut);
      cut = Math.max(0, cut - piece.length);
      text.append(make("span", `${colour ? "q35-c-" + colour : ""} ${inCall ? "q35-call" : ""}`, rest));
    }
    row.append(gutter, text);
    code.append(row);
  });
  box.append(code);
  return box;
}
