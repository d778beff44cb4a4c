// The prompt: a frame for each turn, a chip for each token with its id under it; a line ends where the text's own line ends.
function prompt(p) {
  const box = frameBox(p, "q35-prompt"), pages = make("div", "q35-turns"), headline = make("span", "q35-faint");
  box.querySelector(".q35-paneltitle").append("  ", headline);
  pages.dataset.q35Picture = ""; // a picture made of text: a test that watches pictures looks here
  const legend = make("div", "q35-legend q35-promptlegend");
  for (const [kind, text] of [["q35-special", "special token"], ["q35-fresh", "new in this step, or moved"]]) {
    const entry = make("span", "q35-entry");
    entry.append(make("span", `q35-word ${kind}`, "token"), ` ${text}`);
    legend.append(entry);
  }
  box.append(pages, legend);
  const flat = turns => turns.flatMap(turn => turn.tokens);
  return { box, title: p.title, draw(at) {
    const places = p.over.map(dial => at[dial]), turns = p.runs[places.length > 1 ? places[0] : 0][places.at(-1)];
    pages.replaceChildren(...turns.map(turn => {
      const frame = make("div", "q35-turn", "", { role: "group", "aria-label": turn.role });
      let line = make("div", "q35-textline");
      frame.append(make("div", "q35-role", turn.role), line);
      turn.tokens.forEach(([label, id, marks], n) => {
        const token = make("span", "q35-tokenbox"), word = make("span", "q35-word", label, { dir: "auto" });
        word.classList.toggle("q35-special", Boolean(marks & 1));
        word.classList.toggle("q35-fresh", Boolean(marks & 2));
        token.append(word, make("span", "q35-id", String(id)));
        line.append(token);
        if (marks & 4 && n < turn.tokens.length - 1) frame.append(line = make("div", "q35-textline"));
      });
      return frame;
    }));
    const tokens = flat(turns);
    headline.textContent = `${tokens.length} tokens, ${tokens.filter(t => t[2] & 1).length} special, ${tokens.filter(t => t[2] & 2).length} new`;
  }, point() {}, value: () => null };
}

PANELS.prompt = prompt;
