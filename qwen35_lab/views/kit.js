// What our widgets share. No imports, no exports: Python puts this text before a widget's own (see widget.py).
const TYPES = { float32: Float32Array, int32: Int32Array, int8: Int8Array, uint8: Uint8Array };
const ALONG = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const percent = p => (100 * p).toFixed(1) + " %";
const minus = text => text.replaceAll("-", "−");
const number = x => {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "no value" : minus(x > 0 ? "∞" : "-∞");
  if (x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5)) return minus(x.toExponential(1));
  return minus(String(+x.toPrecision(3)));
};

// arrays travel as {type, shape, base64}: Colab loses binary messages
function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if ("base64" in value) {
    const bytes = Uint8Array.from(atob(value.base64), c => c.charCodeAt(0));
    const data = new TYPES[value.type](bytes.buffer), shape = value.shape;
    // the part at the given places of the first axes: a number if all are given
    return { data, shape, row: (...at) => {
      let n = 0;
      at.forEach((i, axis) => { n = n * shape[axis] + i; });
      const width = shape.slice(at.length).reduce((a, b) => a * b, 1);
      return at.length === shape.length ? data[n] : data.subarray(n * width, (n + 1) * width);
    } };
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item)]));
}

function make(tag, className = "", text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// the outermost element: colours as CSS variables, and no key of ours for JupyterLab, which listens for its one-letter
// shortcuts on the document ("d d" deletes the cell)
function makeRoot(className, label, colours) {
  const root = make("div", `q35 ${className}`, "", { role: "group", "aria-label": label });
  for (const [name, colour] of Object.entries(colours)) root.style.setProperty(`--q35-${name}`, colour);
  root.addEventListener("keydown", e => {
    const theirs = ["Escape", "Tab"].includes(e.key) || e.ctrlKey || e.metaKey || (e.key === "Enter" && e.shiftKey);
    if (!theirs) e.stopPropagation();
  });
  return root;
}

// where the numbers come from
function makeHead(d) {
  const head = make("div", "q35-head");
  head.append(make("b", "q35-badge", d.badge), make("span", "", d.provenance.slice(d.badge.length)));
  return head;
}

// a colour and how much of it, for a share of the largest value: theme.opacity, written again
const rgb = hex => [1, 3, 5].map(n => parseInt(hex.slice(n, n + 2), 16));
const opacity = share => Math.min(1, Math.abs(share)) ** 0.65;
const tint = (colours, share) => [...rgb(share < 0 ? colours.negative : colours.positive), opacity(share)];

// What is painted in the text's colour is painted anew when that changes, which a page tells nobody but a transition;
// JupyterLab hides its cells while it changes the theme, which cancels that.
function inItsColour(element, paint) {
  element.style.transition = "color 1ms";
  for (const end of ["transitionend", "transitioncancel"])
    element.addEventListener(end, e => { if (e.target === element && e.propertyName === "color") paint(); });
}

// one token can be chosen, by click or with the arrow keys
function tokenStrip(tokens, titles, choose) {
  const strip = make("div", "q35-tokens", "", { role: "radiogroup", "aria-label": "token" });
  const last = tokens.length - 1;
  const buttons = tokens.map((text, token) => {
    const button = make("button", "q35-token", text, { type: "button", role: "radio", title: titles[token] });
    button.addEventListener("click", () => choose(token));
    button.addEventListener("keydown", e => {
      const jumps = { Home: 0, End: last };
      if (!(e.key in ALONG) && !(e.key in jumps)) return;
      const to = jumps[e.key] ?? clamp(token + ALONG[e.key], 0, last);
      e.preventDefault();
      choose(to);
      buttons[to].focus();
    });
    return button;
  });
  strip.append(...buttons);
  let lit = null;
  const follow = () => {
    const [left, width] = [buttons[lit ?? 0].offsetLeft, buttons[lit ?? 0].offsetWidth];
    strip.scrollLeft = clamp(strip.scrollLeft, left + width - strip.clientWidth + 40, Math.max(0, left - 40));
  };
  new ResizeObserver(follow).observe(strip); // it has no width yet when it is made, and another one when a phone turns
  return { strip, buttons, show(token) {
    if (lit === null) buttons.forEach(button => { button.setAttribute("aria-checked", false); button.tabIndex = -1; });
    else { buttons[lit].setAttribute("aria-checked", false); buttons[lit].tabIndex = -1; }
    const chosen = buttons[lit = token];
    chosen.setAttribute("aria-checked", true);
    chosen.tabIndex = 0;
    follow();
  } };
}

// a bar with a name before it and numbers behind it
function bar(name, className) {
  const row = make("div", "q35-bar " + className);
  const parts = [make("span", "q35-name", name), make("span", "q35-track"), make("span", "q35-number")];
  const fill = make("span", "q35-fill");
  parts[1].append(fill);
  row.append(...parts);
  return { row, set(share, text, label) {
    row.hidden = false;
    fill.style.width = `${(100 * clamp(share, 0, 1)).toFixed(1)}%`;
    parts[2].textContent = text;
    if (label !== undefined) parts[0].textContent = label;
  } };
}

// Keeps `here` and the model's traits of the same names in step: `save` tells Python, a moment after the last change;
// `changed` hears what Python has set, and not what came from here.
function inStep(model, here, changed) {
  const names = Object.keys(here);
  let saving, ours = false;
  const follow = () => { if (!ours) changed(Object.fromEntries(names.map(name => [name, model.get(name)]))); };
  for (const name of names) model.on(`change:${name}`, follow);
  return {
    save() {
      clearTimeout(saving);
      saving = setTimeout(() => {
        ours = true;
        for (const name of names) model.set(name, here[name]);
        ours = false;
        model.save_changes();
      }, 150);
    },
    leave() { for (const name of names) model.off(`change:${name}`, follow); },
  };
}
