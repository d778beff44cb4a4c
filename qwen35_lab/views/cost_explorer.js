// The cost explorer: one slider over the length of the text, four charts that follow. Nothing asks the kernel.
const dollars = x => `$${x >= 100 && x < 1e6 ? Math.round(x).toLocaleString("en-US") : number(x)}`;

function render({ model, el }) {
  const d = decode(JSON.parse(model.get("payload"))), root = makeRoot("q35-cost_explorer", "cost explorer", d.colours);
  const names = ["view", "context", "model", "mix", "batch", "machine"];
  const here = Object.fromEntries(names.map(name => [name, model.get(name)]));
  const began = JSON.parse(model.get("start")), state = inStep(model, here, to => go(to, false));

  const tabs = make("div", "q35-tabs", "", { role: "radiogroup", "aria-label": "what is done" });
  const buttons = d.views.map((text, n) => {
    const button = make("button", "q35-tab", text, { type: "button", role: "radio" });
    button.addEventListener("click", () => go({ view: n }));
    button.addEventListener("keydown", e => {
      if (!(e.key in ALONG)) return;
      e.preventDefault();
      const to = clamp(n + ALONG[e.key], 0, buttons.length - 1);
      go({ view: to });
      buttons[to].focus();
    });
    return button;
  });
  tabs.append(...buttons);
  const slide = make("label", "q35-slide", "tokens"), out = make("output", "q35-out");
  const range = make("input", "q35-range", "", { type: "range", min: 0, max: d.contexts.length - 1, step: 1, "aria-label": "tokens of context" });
  range.addEventListener("input", () => go({ context: +range.value }));
  slide.append(range, out);
  const knobs = {
    model: choice("model", d.models.map(m => m.name.replace("Qwen3.5-", "")), here.model, n => go({ model: n })),
    mix: choice("DeltaNet : attention", d.mixes, here.mix, n => go({ mix: n })),
    batch: choice("texts at a time", d.batches, here.batch, n => go({ batch: n })),
    machine: choice("machine", d.machines.map(m => m.name), here.machine, n => go({ machine: n })),
  };
  const reset = make("button", "q35-button", "Reset", { type: "button" });
  reset.addEventListener("click", () => go(began));
  const row = make("div", "q35-knobs");
  row.append(slide, ...Object.values(knobs).map(k => k.label), reset);

  const title = make("div", "q35-heading", "", { "aria-live": "polite" }), facts = make("table", "q35-facts");
  const charts = make("div", "q35-charts"), boxes = Array.from({ length: 4 }, () => {
    const box = make("figure", "q35-chart"), head = make("figcaption", "q35-charttitle"), key = make("div", "q35-legend");
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    picture.setAttribute("viewBox", `0 0 ${SIZE.wide} ${SIZE.high}`);
    picture.setAttribute("role", "img");
    box.append(head, picture, key);
    charts.append(box);
    return { head, picture, key };
  });
  root.append(makeHead(d), tabs, row, title, facts, charts, make("div", "q35-caption", d.caption));
  el.append(root);

  function go(to, ours = true) {
    Object.assign(here, to);
    here.context = clamp(here.context, 0, d.contexts.length - 1);
    show();
    if (ours) state.save();
  }

  function heading() {
    const texts = d.batches[here.batch], many = texts === 1 ? "one text" : `${texts} texts`;
    return `${here.view ? "Writing one more token of" : "Reading"} ${many} of ${d.contexts[here.context].toLocaleString("en-US")} tokens, `
      + `${d.models[here.model].name}, ${d.mixes[here.mix]}.`;
  }

  function show() {
    const { mine, full, list } = panelsOf(d, here), n = here.context, machine = d.machines[here.machine];
    buttons.forEach((button, k) => { button.setAttribute("aria-checked", k === here.view); button.tabIndex = k === here.view ? 0 : -1; });
    for (const [name, each] of Object.entries(knobs)) each.select.value = here[name];
    range.value = n;
    out.textContent = d.contexts[n].toLocaleString("en-US");
    range.setAttribute("aria-valuetext", `${out.textContent} tokens`);
    range.style.setProperty("--share", `${100 * n / (d.contexts.length - 1)}%`);
    title.textContent = heading();
    const cache = c => c.cache[n], flops = c => c.seen[n] + c.unseen[n], times = f => f(mine) ? `× ${three(f(full) / f(mine))}` : "from nothing";
    const rows = [
      ["weights", size(mine.weights[n])],
      ["cache", `${size(cache(mine))} (all attention: ${times(cache)})`],
      ["share of the memory", `${(100 * (mine.weights[n] + cache(mine)) / machine.memory).toFixed(0)}% of ${size(machine.memory)}`],
      ["FLOPs", `${number(flops(mine))} (all attention: ${times(flops)}), ${(100 * mine.unseen[n] / flops(mine)).toFixed(1)}% unseen by a counter`],
      ["seconds, predicted", `${three(mine.seconds[n])} (all attention: ${times(c => c.seconds[n])})`],
      ["a million tokens", dollars(mine.dollars[n])],
    ];
    facts.replaceChildren(...rows.map(([name, value]) => {
      const line = make("tr");
      line.append(make("th", "", name, { scope: "row" }), make("td", "", value));
      return line;
    }));
    list.forEach((panel, k) => {
      boxes[k].head.textContent = panel.title;
      boxes[k].picture.innerHTML = chart(d, panel, n);
      const crossing = panel.mark ? `; ${panel.mark.name} at ${three(panel.mark.x)} tokens` : "";
      boxes[k].picture.setAttribute("aria-label", `${panel.title} against tokens: `
        + Object.entries(panel.lines).map(([name, values]) => `${name} ${number(values[n])}`).join(", ") + crossing);
      boxes[k].key.innerHTML = legend(panel);
    });
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }

  show();
  return () => state.leave();
}

export default { render };
