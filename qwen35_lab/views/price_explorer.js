// What a workload costs a month, offer by offer, the cheapest on top. Nothing asks the kernel.
const count = n => Math.round(n).toLocaleString("en-US");
const dollars = x => `$${x >= 100 ? count(x) : +x.toPrecision(3)}`;
const millions = n => n >= 1e8 ? count(n / 1e6) : number(n / 1e6);
const KNOBS = ["requests", "prompt", "cached", "thinking", "language"];

function render({ model, el }) {
  const d = JSON.parse(model.get("payload")), root = makeRoot("q35-price_explorer", "price explorer", d.colours);
  const here = Object.fromEntries(KNOBS.map(name => [name, model.get(name)]));
  const state = inStep(model, here, to => go(to, false)), began = { ...here };
  const places = name => d[name].length - 1;
  const slides = Object.fromEntries([["requests", "requests a day"], ["prompt", "tokens of prompt"],
    ["cached", "from the cache"], ["thinking", "tokens of thinking"]].map(([name, text]) =>
    [name, slide(text, 0, places(name), 1, n => go({ [name]: n }))]));
  const tongue = choice("language", d.language.map(l => `${l.name} × ${l.factor.toFixed(2)}`), here.language, n => go({ language: n }));
  const reset = make("button", "q35-button", "Reset", { type: "button" });
  reset.addEventListener("click", () => go(began));
  const knobs = make("div", "q35-knobs"), rows = make("div", "q35-rows", "", { role: "list" }), told = make("div", "q35-told", "", { "aria-live": "polite" });
  rows.dataset.q35Picture = ""; // a picture made of text: a test that watches pictures looks here
  knobs.append(...Object.values(slides).map(s => s.label), tongue.label, reset);
  const heading = bar("offer", "q35-offer q35-heading"); // units once, and not in every line
  heading.set(0, "US$ a month");
  heading.row.setAttribute("aria-hidden", true);
  root.append(makeHead(d), knobs, told, heading.row, rows, make("div", "q35-caption", d.caption));
  el.append(root);
  const bars = d.offers.map(() => {
    const made = bar("", "q35-offer");
    made.row.setAttribute("role", "listitem");
    made.tag = made.row.appendChild(make("span", "q35-tag"));
    return made;
  });
  rows.append(...bars.map(b => b.row));

  function go(to, ours = true) {
    Object.assign(here, to);
    for (const name of KNOBS) here[name] = clamp(here[name], 0, places(name));
    show();
    if (ours) state.save();
  }

  function show() {
    const at = name => d[name][here[name]];
    const work = { requests: at("requests"), prompt: at("prompt"), cached: at("cached") / 100, thinking: at("thinking"),
      language: at("language").factor, answer: d.answer };
    slides.requests.set(here.requests, count(work.requests));
    slides.prompt.set(here.prompt, count(work.prompt));
    slides.cached.set(here.cached, `${at("cached")} %`);
    slides.thinking.set(here.thinking, count(work.thinking));
    tongue.select.value = here.language;
    const found = byCost(d.offers.map(offer => ({ offer, ...(offer.month === null ? monthOf(offer, work, d.days) : { usd: offer.month, above: false }) })));
    const most = Math.max(...found.map(f => f.usd ?? 0), 1e-9);
    found.forEach(({ offer, usd, above }, n) => {
      bars[n].set((usd ?? 0) / most, usd === null ? "does not fit" : dollars(usd), offer.name);
      bars[n].row.children[2].setAttribute("aria-label", usd === null ? "does not fit" : `${dollars(usd)} a month`);
      bars[n].row.classList.toggle("q35-own", offer.month !== null);
      bars[n].row.title = `${offer.name}: ${offer.told}`;
      bars[n].tag.textContent = usd === null ? `context ${count(offer.context)}` : above ? `above ${count(offer.above)}: dearer`
        : offer.cached === null && offer.month === null && work.cached > 0 ? "no price for the cache" : "";
    });
    const [fresh, cached, out] = tokensOf(work), all = d.days * work.requests;
    told.textContent = `A month of ${d.days} days: ${millions(all * fresh)} million tokens of input, `
      + `${millions(all * cached)} million from the cache, ${millions(all * out)} million of output.`;
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }

  show();
  return () => state.leave();
}

export default { render };
