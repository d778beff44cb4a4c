// The text ruler: the tokens of a text under two vocabularies. Samples are all here; a text of the reader's own is counted by the kernel.
const WAIT = 150, PATIENCE = 600, WORRY = 6000; // milliseconds after the last key, until an answer is awaited, until it is doubted
const grouped = n => n.toLocaleString("en-US");
const digits = (x, n) => x >= 1000 ? grouped(Math.round(x)) : String(+x.toPrecision(n));

// all tokens of one side; hovering or the arrow keys read one
function strip(name, read) {
  const box = make("section", "q35-side"), title = make("div", "q35-heading"), more = make("span", "q35-faint");
  const flow = make("div", "q35-flow", "", { tabindex: 0, role: "application", "aria-label": `tokens of ${name}`, "aria-roledescription": "tokens" });
  flow.dataset.q35Picture = "";
  box.append(title, flow, more);
  let chips = [], at = -1, side;
  const light = n => {
    chips[at]?.classList.remove("q35-lit");
    at = n;
    chips[at]?.classList.add("q35-lit");
    read(at < 0 ? null : { name, place: at, of: side.tokens, chip: side.chips[at] });
  };
  flow.addEventListener("pointerover", e => { const n = chips.indexOf(e.target); if (n >= 0) light(n); });
  flow.addEventListener("pointerleave", () => light(-1));
  flow.addEventListener("blur", () => light(-1));
  flow.addEventListener("keydown", e => {
    const jumps = { Home: 0, End: chips.length - 1 };
    if (!(e.key in ALONG) && !(e.key in jumps)) return;
    e.preventDefault();
    light(jumps[e.key] ?? clamp(at + ALONG[e.key], 0, chips.length - 1));
    chips[at].scrollIntoView({ block: "nearest" });
  });
  return { box, show(counted, given, full) {
    side = given;
    at = -1;
    title.textContent = `${name}: ${grouped(side.tokens)} tokens`;
    chips = side.chips.map(([label, , size, part]) => {
      const chip = make("span", part ? "q35-chip q35-part" : "q35-chip", label, { dir: "auto" });
      chip.style.setProperty("--share", `${6 + 44 * Math.min(1, size / full)}%`);
      return chip;
    });
    flow.dir = counted.rtl ? "rtl" : "ltr";
    flow.replaceChildren(...chips);
    more.textContent = side.tokens > chips.length ? `… and ${grouped(side.tokens - chips.length)} more` : "";
  } };
}

function render({ model, el }) {
  const d = decode(JSON.parse(model.get("payload"))), root = makeRoot("q35-text_ruler", "text ruler", d.colours);
  const here = Object.fromEntries(["sample", "price", "window"].map(name => [name, model.get(name)]));
  const state = inStep(model, here, to => go(to, false));
  let own = null, asked = 0, typing, waiting, doubting;

  const names = d.vocabularies.map(each => each.name);
  const samples = choice("sample", [...d.samples.map(each => each.name), "your own text"], 0, n => { go({ sample: n }); if (n === d.samples.length) area.focus(); });
  const prices = choice("price", d.prices.map(p => `$${p.usd.toFixed(2)} a million, ${p.name}`), 0, n => go({ price: n }));
  const windows = choice("window", d.windows.map(w => `${grouped(w.tokens)}, ${w.name}`), 0, n => go({ window: n }));
  const knobs = make("div", "q35-knobs"), busy = make("span", "q35-faint", "", { role: "status" });
  knobs.append(samples.label, prices.label, windows.label);
  const area = make("textarea", "q35-area", "", { rows: 4, "aria-label": "text", spellcheck: false, dir: "auto", maxlength: 100000 });
  const problem = make("div", "q35-problem", "", { role: "alert" });
  problem.hidden = true;
  if (model.still) {
    area.readOnly = true;
    busy.textContent = "A text of your own needs a running kernel; the samples do not.";
  }
  const told = make("div", "q35-readout q35-faint"), said = make("div", "q35-said", "", { "aria-live": "polite" });
  const HINT = "Point at a token, or go to it with Tab and use the arrow keys, to read its id and its bytes.";
  told.textContent = HINT;
  const strips = names.map(name => strip(name, found => {
    told.classList.toggle("q35-faint", !found);
    if (!found) { told.textContent = HINT; return; }
    const [label, id, size, part] = found.chip;
    told.textContent = `${found.name}, token ${found.place + 1} of ${grouped(found.of)}: “${label}”, id ${grouped(id)}, ${size} byte${size > 1 ? "s" : ""}${part ? ", part of a character" : ""}`;
  }));
  const sides = make("div", "q35-sides"), table = make("table", "q35-facts");
  sides.append(...strips.map(each => each.box));
  const key = make("div", "q35-key");
  key.append("bytes of a token: ", ...[1, 3, 6, 9, 12].map(n => {
    const chip = make("span", "q35-chip", n === 12 ? "12 and more" : String(n));
    chip.style.setProperty("--share", `${6 + 44 * Math.min(1, n / d.full)}%`);
    return chip;
  }), make("span", "q35-chip q35-part", "E0 A4"), " part of a character, in hexadecimal");
  root.append(makeHead(d), knobs, area, busy, problem, sides, key, told, table, said, make("div", "q35-caption", d.caption));
  el.append(root);

  const counted = () => here.sample < d.samples.length ? d.samples[here.sample].counted : own ?? d.samples[0].counted;
  function go(to, ours = true) {
    Object.assign(here, to);
    if ("sample" in to) area.value = counted().text;
    show();
    if (ours) state.save();
  }
  function show() {
    const now = counted(), tokens = now.sides.map(side => side.tokens), usd = d.prices[here.price].usd, window = d.windows[here.window].tokens;
    [samples.select.value, prices.select.value, windows.select.value] = [here.sample, here.price, here.window];
    strips.forEach((each, n) => each.show(now, now.sides[n], d.full));
    const row = (what, values, kind = "td") => {
      const line = make("tr", what === "tokens" ? "q35-big" : "");
      line.append(make("th", "", what, { scope: "row" }), ...values.map(value => make(kind, "", value, kind === "th" ? { scope: "col" } : {})));
      return line;
    };
    table.replaceChildren(
      row("", names, "th"),
      row("tokens", tokens.map(grouped)),
      row("bytes a token", tokens.map(n => digits(now.bytes / n, 3))),
      row("tokens a word", tokens.map(n => now.words ? digits(n / now.words, 3) : "–")),
      row(`${grouped(d.texts)} such texts`, tokens.map(n => `$${+(n * d.texts * usd / 1e6).toPrecision(3)}`)),
      row(`of a window of ${grouped(window)}`, tokens.map(n => `${digits(+(100 * n / window).toPrecision(2), 2)} %`)),
    );
    const [old, fresh] = tokens, change = `${Math.round(100 * Math.abs(1 - fresh / old))}% ${fresh < old ? "fewer" : "more"}`;
    said.textContent = `${names[1]} needs ${grouped(fresh)} tokens where ${names[0]} needs ${grouped(old)}: ${fresh === old ? "as many" : change}.`;
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }

  function ask() {
    if (!area.value) return;
    asked = Math.max(asked, JSON.parse(model.get("answer") || '{"count": 0}').count) + 1;
    model.set("ask", JSON.stringify({ count: asked, text: area.value }));
    model.save_changes();
    if (waiting) return;
    waiting = setTimeout(() => { busy.textContent = "counting …"; }, PATIENCE);
    doubting = setTimeout(() => { busy.textContent = "waiting for the kernel; a text of your own needs a running one"; }, WORRY);
  }
  area.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(ask, WAIT);
  });
  function answered() {
    const found = JSON.parse(model.get("answer") || "null");
    if (!found || found.count < asked) return;
    [waiting, doubting].forEach(clearTimeout);
    [waiting, doubting] = [null, null];
    if (!model.still) busy.textContent = "";
    [problem.hidden, problem.textContent] = [!found.error, found.error];
    if (found.error) return;
    own = found.counted;
    here.sample = d.samples.length; // what is typed stays as it is
    if (document.activeElement !== area) area.value = own.text;
    show();
    state.save();
  }
  model.on("change:answer", answered);
  if (here.sample >= d.samples.length) answered();
  area.value = counted().text;
  show();
  // see deck.js: an answered message makes the kernel listen beside a running cell
  let greetings = 2;
  const greet = () => { if (greetings-- > 0) model.send({ ready: true }); };
  if (!model.still) {
    model.on("msg:custom", greet);
    greet();
  }
  return () => {
    [typing, waiting, doubting].forEach(clearTimeout);
    model.off("change:answer", answered);
    model.off("msg:custom", greet);
    state.leave();
  };
}

export default { render };
