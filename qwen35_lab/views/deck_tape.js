// The tape: a text as speculative decoding writes it, one frame for every pass of the model. What stays stands above, what was refused below.
function tape(p) {
  const box = frameBox(p, "q35-tape"), flow = make("div", "q35-flow"), headline = make("span", "q35-faint");
  box.querySelector(".q35-paneltitle").append("  ", headline);
  flow.dataset.q35Picture = ""; // a picture made of text: a test that watches pictures looks here
  flow.setAttribute("role", "img");
  const chips = (texts, kind) => texts.map(text => make("span", `q35-chip q35-${kind}`, text));
  const before = make("span", "q35-before");
  before.append(...chips(p.prompt, "read"));
  const runs = p.runs.map(run => run.map(pass => {
    const group = make("span", "q35-pass"), kept = make("span", "q35-kept"), fork = make("span", "q35-fork");
    const [own, refused] = [make("span", "q35-owns"), make("span", "q35-rejects")];
    own.append(...chips(pass.own, "own"));
    refused.append(...chips(pass.refused, "refused"));
    kept.append(...chips(pass.kept, "accepted"));
    fork.append(own, refused);
    group.append(kept, fork);
    return group;
  }));
  const legend = make("div", "q35-legend q35-tapelegend");
  for (const [kind, name] of [["accepted", "draft, accepted"], ["own", "the model's own token"], ["refused", "draft, refused"]]) {
    const entry = make("span", "q35-entry");
    entry.append(make("span", `q35-chip q35-${kind}`, "token"), ` ${name}`);
    legend.append(entry);
  }
  legend.append(make("span", "q35-faint", "one frame is one pass of the model"));
  box.append(flow, legend);

  const written = passes => passes.reduce((sum, pass) => sum + pass.kept.length + pass.own.length, 0);
  function told(run, place) {
    const done = p.runs[run].slice(0, place + 1), tokens = written(done), last = done.at(-1);
    if (place >= p.runs[run].length)
      return `finished in ${done.length} passes: ${tokens} tokens, and ${place + 1 - done.length} passes fewer than the dial says`;
    const drafted = last.kept.length + last.refused.length;
    const drafts = drafted ? `${drafted} drafted, ${last.kept.length} accepted` : "nothing drafted";
    return `pass ${place + 1}: ${drafts}; ${tokens} tokens so far, ${(tokens / done.length).toFixed(2)} a pass`;
  }
  return { box, title: p.title, draw(at) {
    const [run, place] = p.over.map(dial => at[dial]);
    const done = runs[run].slice(0, place + 1), finished = place >= runs[run].length;
    flow.replaceChildren(before, ...done);
    done.forEach((group, n) => group.classList.toggle("q35-latest", !finished && n === place));
    headline.textContent = told(run, place);
    flow.dataset.said = headline.textContent; // the passes that are saved are part of the picture
    const text = p.runs[run].slice(0, place + 1).map(pass => [...pass.kept, ...pass.own].join(" ")).join(" ");
    flow.setAttribute("aria-label", `${headline.textContent}. ${text}`);
  }, point() {}, value: () => null };
}

PANELS.tape = tape;
