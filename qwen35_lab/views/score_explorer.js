// Published scores as they were printed: filters, settings marked, gaps left as gaps. Nothing asks the kernel.
const MOST = 60; // rows that are drawn at once
const FILTERS = ["table", "category", "benchmark", "ours", "theirs"];
const LETTERS = "abcdefghijklm";

function picker(name, go) {
  const label = make("label", "q35-choice", name), select = make("select", "q35-select", "", { "aria-label": name });
  select.addEventListener("change", () => go(select.value));
  label.append(select);
  return { label, set(values, value, all) {
    const options = all ? [["", all], ...values.map(v => [v, v])] : values.map(v => [v, v]);
    select.replaceChildren(...options.map(([v, text]) => make("option", "", text, { value: v })));
    select.value = value;
  } };
}

function render({ model, el }) {
  const d = JSON.parse(model.get("payload")), root = makeRoot("q35-score_explorer", "published scores", d.colours);
  const here = Object.fromEntries(FILTERS.map(name => [name, model.get(name)]));
  const state = inStep(model, here, to => go(to, false)), began = { ...here };
  const titles = { table: "source", category: "category", benchmark: "benchmark", ours: "compare", theirs: "with" };
  const pick = Object.fromEntries(FILTERS.map(name => [name, picker(titles[name], value => go({ [name]: value }))]));
  const reset = make("button", "q35-button", "Reset", { type: "button" });
  reset.addEventListener("click", () => go(began));
  const knobs = make("div", "q35-knobs"), told = make("div", "q35-tally", "", { "aria-live": "polite" });
  const box = make("div", "q35-scroll", "", { tabindex: 0, role: "region", "aria-label": "table of scores" }), legend = make("div", "q35-legend");
  knobs.append(...FILTERS.map(name => pick[name].label), reset);
  root.append(makeHead(d), knobs, told, box, legend, make("div", "q35-caption", d.caption));
  el.append(root);
  const unique = (rows, key) => [...new Set(rows.map(row => row[key]))];

  function go(to, ours = true) {
    Object.assign(here, to);
    show();
    if (ours) state.save();
  }

  function show() {
    const inTable = keptRows(d, { table: here.table });
    if (!inTable.some(row => row.category === here.category)) here.category = "";
    const inCategory = inTable.filter(row => !here.category || row.category === here.category);
    if (!inCategory.some(row => row.benchmark === here.benchmark)) here.benchmark = "";
    const rows = keptRows(d, here), models = modelsIn(d, rows);
    if (!models.includes(here.ours)) here.ours = models.filter(m => m.startsWith("Qwen3.5")).at(0) ?? models[0];
    if (!models.includes(here.theirs) || here.theirs === here.ours) here.theirs = models.find(m => m !== here.ours) ?? models[0];
    pick.table.set(unique(d.rows, "table"), here.table, "all sources");
    pick.category.set(unique(inTable, "category"), here.category, "all categories");
    pick.benchmark.set(unique(inCategory, "benchmark"), here.benchmark, "all benchmarks");
    pick.ours.set(models, here.ours);
    pick.theirs.set(models, here.theirs);
    const t = tallyOf(d, rows, here.ours, here.theirs), share = t.compared ? ` (${Math.round(100 * t.won / t.compared)} %)` : "";
    told.textContent = `${here.ours} matches or beats ${here.theirs} in ${t.won} of ${t.compared} rows${share}; `
      + `in ${t.rows - t.compared} more at least one of them has no number.`;
    draw(rows, [here.ours, here.theirs, ...models.filter(m => m !== here.ours && m !== here.theirs)]);
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }

  function draw(rows, models) {
    const settings = [], table = make("table", "q35-scores"), head = make("tr");
    head.append(make("th", "", "benchmark", { scope: "col" }), ...models.map((m, n) => make("th", n < 2 ? "q35-pair" : "", m, { scope: "col" })));
    table.append(head);
    for (const row of rows.slice(0, MOST)) {
      const line = make("tr"), best = Math.max(...models.map(m => bestOf(d.cells[row.n][m])).filter(Number.isFinite));
      line.append(make("th", "", here.table ? row.benchmark : `${row.benchmark} · ${row.table}`, { scope: "row", title: row.source }));
      for (const m of models) {
        const cell = d.cells[row.n][m], box = make("td", cell ? "" : "q35-gap", cell ? "" : "gap");
        (cell ?? []).forEach(([score, setting, note], n) => {
          if (n) box.append(" / ");
          box.append(make(score === best ? "b" : "span", "", String(score)));
          if (setting && !settings.includes(setting)) settings.push(setting);
          if (setting) box.append(make("sup", "", LETTERS[settings.indexOf(setting)]));
          if (note) { box.append("*"); box.title = note; }
        });
        line.append(box);
      }
      table.append(line);
    }
    box.replaceChildren(table);
    const more = rows.length > MOST ? `The first ${MOST} of ${rows.length} rows. ` : "", from = [...new Set(rows.map(r => `${r.source}, ${r.date}`))];
    legend.textContent = more + settings.map((s, n) => `${LETTERS[n]}: ${s}. `).join("") + "Bold: the highest of a row. gap: no number was printed. "
      + `Source: ${from.join("; ")}.`;
  }

  show();
  return () => state.leave();
}

export default { render };
