// A canvas, a choice, a slider and a table of facts, for widgets that compute in the browser what they show.
function canvasOf(className, attributes) {
  const canvas = make("canvas", className, "", attributes);
  return { canvas, begin(width, height) {
    const dense = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.ceil(width * dense), Math.ceil(height * dense)];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    pen.imageSmoothingEnabled = false;
    pen.font = "12px system-ui, sans-serif";
    return pen;
  } };
}

function choice(name, options, at, go) {
  const label = make("label", "q35-choice", name), select = make("select", "q35-select", "", { "aria-label": name });
  select.append(...options.map((text, n) => make("option", "", text, { value: n })));
  select.value = at;
  select.addEventListener("change", () => go(+select.value));
  label.append(select);
  return { label, select };
}

function slide(name, min, max, step, go) {
  const label = make("label", "q35-slide", name), out = make("output", "q35-out");
  const input = make("input", "q35-range", "", { type: "range", min, max, step, "aria-label": name });
  input.addEventListener("input", () => go(+input.value));
  label.append(input, out);
  return { label, set(value, text) {
    input.value = value;
    out.textContent = text;
    input.setAttribute("aria-valuetext", text);
    input.style.setProperty("--share", `${100 * (value - min) / (max - min)}%`);
  } };
}

function table(rows) {
  const body = make("table", "q35-facts");
  body.append(...rows.map(([name, value, big]) => {
    const row = make("tr", big ? "q35-big" : "");
    row.append(make("th", "", name, { scope: "row" }), make("td", "", value));
    return row;
  }));
  return body;
}
