// Will it fit? A stacked bar against the line of a device, and the article's table. Nothing asks the kernel.
const KNOBS = ["model", "precision", "context", "batch", "device"];
const mark = holds => (holds ? "✓" : "✗");

function render({ model, el }) {
  const d = JSON.parse(model.get("payload")), root = makeRoot("q35-fit_explorer", "will it fit?", d.colours);
  const here = Object.fromEntries(KNOBS.map(name => [name, model.get(name)])), began = JSON.parse(model.get("start"));
  const state = inStep(model, here, to => go(to, false));
  const knobs = {
    model: choice("model", d.models.map(m => m.name.replace("Qwen3.5-", "")), here.model, n => go({ model: n })),
    precision: choice("precision", d.precisions, here.precision, n => go({ precision: n })),
    batch: choice("texts at a time", d.batches, here.batch, n => go({ batch: n })),
    device: choice("device", d.devices.map(v => `${v.name}, ${inWords(v.bytes)}`), here.device, n => go({ device: n })),
  };
  const long = slide("tokens", 0, d.contexts.length - 1, 1, n => go({ context: n }));
  const reset = make("button", "q35-button", "Reset", { type: "button" });
  reset.addEventListener("click", () => go(began));
  const row = make("div", "q35-knobs");
  row.append(knobs.model.label, knobs.precision.label, knobs.batch.label, knobs.device.label, long.label, reset);

  const title = make("div", "q35-heading"), verdict = make("div", "q35-verdict", "", { "aria-live": "polite" });
  const track = make("div", "q35-stack", "", { role: "img" }), line = make("span", "q35-line"), told = make("span", "q35-linetext");
  track.dataset.q35Picture = ""; // a picture made of boxes: a test that watches pictures looks here
  const parts = d.terms.map((_, n) => make("span", `q35-part q35-look${n}`));
  track.append(...parts, line);
  const scale = make("div", "q35-scale");
  scale.append(told);
  const key = make("div", "q35-legend"), entries = d.terms.map((name, n) => {
    const entry = make("div", "q35-entry"), size = make("span", "q35-size");
    entry.append(make("span", `q35-swatch q35-look${n}`), make("span", "", name), size);
    key.append(entry);
    return size;
  });
  const { body, cells } = articleTable();
  root.append(makeHead(d), row, title, verdict, track, scale, key, body, make("div", "q35-caption", d.caption));
  el.append(root);

  // each cell is a button that goes to what it claims
  function articleTable() {
    const body = make("table", "q35-article"), cells = [];
    body.append(make("caption", "", d.asked), make("tr"));
    for (const text of ["model", "BF16", "4-bit", "what you'd run it on"]) body.lastChild.append(make("th", "", text, { scope: "col" }));
    for (const line of d.rows) {
      const tr = make("tr");
      tr.append(make("th", "", d.models[line.model].name.replace("Qwen3.5-", ""), { scope: "row" }));
      for (const cell of line.cells) {
        const td = make("td");
        for (const each of cell) {
          const button = make("button", "q35-cell", "", { type: "button" });
          button.addEventListener("click", () => go({ model: line.model, ..."gb" in each ? { precision: each.precision } : { device: each.device } }));
          td.append(button);
          cells.push({ each: { ...each, model: line.model }, button });
        }
        tr.append(td);
      }
      body.append(tr);
    }
    return { body, cells };
  }

  function go(to, ours = true) {
    Object.assign(here, to);
    const most = { model: d.models, precision: d.precisions, context: d.contexts, batch: d.batches, device: d.devices };
    for (const name of KNOBS) here[name] = clamp(here[name], 0, most[name].length - 1);
    show();
    if (ours) state.save();
  }

  function show() {
    const terms = termsOf(d, here), total = sumOf(terms), device = d.devices[here.device], m = d.models[here.model];
    const tokens = d.contexts[here.context], texts = d.batches[here.batch], fits = total <= device.bytes;
    for (const [name, each] of Object.entries(knobs)) each.select.value = here[name];
    long.set(here.context, tokens.toLocaleString("en-US"));
    const beyond = tokens > m.native ? `, beyond the ${m.native.toLocaleString("en-US")} it was trained for` : "";
    title.textContent = `${m.name} in ${d.precisions[here.precision]}, ${texts === 1 ? "a text" : `${texts} texts`} of `
      + `${tokens.toLocaleString("en-US")} tokens${beyond}: ${inWords(total)}`;
    verdict.textContent = `${mark(fits)} ${fits ? "fits" : "does not fit"}: ${device.name}, ${inWords(device.bytes)}, `
      + `${inWords(Math.abs(device.bytes - total))} ${fits ? "to spare" : "too much"}`;
    const full = 1.04 * Math.max(total, device.bytes), at = 100 * device.bytes / full;
    terms.forEach((size, n) => {
      parts[n].style.width = `${100 * size / full}%`;
      parts[n].title = `${d.terms[n]}: ${inWords(size)}`;
      entries[n].textContent = size ? inWords(size) : "none";
    });
    line.style.left = `${at}%`;
    told.textContent = `${device.name} ends here`;
    Object.assign(told.style, at > 50 ? { right: `${100 - at}%`, left: "auto" } : { left: `${at}%`, right: "auto" });
    track.setAttribute("aria-label", `${verdict.textContent}. ` + d.terms.map((name, n) => `${name} ${inWords(terms[n])}`).join(", "));
    for (const { each, button } of cells) {
      const isNumber = "gb" in each, holds = isNumber ? numberHolds(d, here, each) : fitsAt(d, { ...here, ...each });
      const now = each.model === here.model && (isNumber ? each.precision === here.precision : each.device === here.device);
      const text = isNumber ? `${each.gb} GB` : d.devices[each.device].name;
      button.textContent = `${mark(holds)} ${text}`;
      button.classList.toggle("q35-wrong", !holds);
      button.setAttribute("aria-pressed", now);
      button.setAttribute("aria-label", `${d.models[each.model].name}, ${text}: ${holds ? "right" : "wrong"}`);
    }
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }

  show();
  return () => state.leave();
}

export default { render };
