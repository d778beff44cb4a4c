// The switch between light and dark, and the search through what search.js holds.
{
  const root = document.documentElement, button = document.getElementById("theme");
  const show = () => button.setAttribute("aria-pressed", root.dataset.theme === "dark");
  button.addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.q35theme = root.dataset.theme; } catch { /* then it holds for this page alone */ }
    show();
  });
  show();
}
{
  const field = document.getElementById("search"), list = document.getElementById("found"), MOST = 12;
  const fold = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const entries = window.SEARCH.map(e => ({ ...e, head: fold(e.heading), body: fold(`${e.title} ${e.text}`) }));

  // Every word must be there; one in a heading counts most, and most of all where the heading begins with it.
  const score = (entry, words) => words.reduce((sum, word) => {
    const value = entry.head.startsWith(word) ? 9 : entry.head.includes(word) ? 5 : entry.body.includes(word) ? 1 : -1e9;
    return sum + value;
  }, -entry.head.length / 1e3);

  const around = (text, word) => {
    const at = Math.max(0, fold(text).indexOf(word) - 40);
    return (at ? "… " : "") + text.slice(at, at + 120);
  };

  const close = () => { list.hidden = true; field.setAttribute("aria-expanded", false); choose(-1); };
  let chosen = -1;
  const choose = n => {
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", i === n));
    if (list.children[n]) field.setAttribute("aria-activedescendant", list.children[n].id);
    else field.removeAttribute("aria-activedescendant");
    list.children[n]?.scrollIntoView({ block: "nearest" });
    chosen = n;
  };

  const find = () => {
    const words = fold(field.value).split(/\s+/).filter(Boolean);
    if (!words.length) return close();
    const found = entries.map(e => [score(e, words), e]).filter(([s]) => s > -1e6).sort((a, b) => b[0] - a[0]);
    list.replaceChildren(...found.slice(0, MOST).map(([, e], n) => {
      const item = document.createElement("li"), head = document.createElement("b"), text = document.createElement("span");
      item.id = `found-${n}`;
      item.setAttribute("role", "option");
      item.dataset.href = `${field.dataset.root}${e.page}#${e.anchor}`;
      head.textContent = e.heading;
      text.textContent = `${e.title}: ${around(e.text, words[0])}`;
      item.append(head, text);
      item.addEventListener("mousedown", () => { location.href = item.dataset.href; });
      return item;
    }));
    if (!found.length) {
      const none = document.createElement("li");
      none.setAttribute("role", "option");
      none.textContent = "Nothing found";
      list.append(none);
    }
    list.hidden = false;
    field.setAttribute("aria-expanded", true);
    choose(found.length ? 0 : -1);
  };

  field.addEventListener("input", find);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", event => {
    const last = list.children.length - 1;
    if (event.key === "ArrowDown") choose(Math.min(last, chosen + 1));
    else if (event.key === "ArrowUp") choose(Math.max(0, chosen - 1));
    else if (event.key === "Enter" && list.children[chosen]) location.href = list.children[chosen].dataset.href;
    else if (event.key === "Escape") { field.value = ""; close(); } else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", event => {
    const writing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); field.focus(); }
  });
}

// What scrolls sideways must scroll by key, too.
for (const each of document.querySelectorAll("pre, .jp-OutputArea-output, .wide, [style*=overflow-x]")) {
  if (each.scrollWidth > each.clientWidth + 1 && !each.querySelector("a[href], button, input, [tabindex]")) each.tabIndex = 0;
}
