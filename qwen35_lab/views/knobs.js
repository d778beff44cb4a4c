// Controls that our widgets build in the browser: a list to choose from, and a slider with its value behind it.
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
