// A conversation: questions, answers in two lanes, a stop button. The kernel does the talking and sends all there is to show.
const WIDEST = 768; // pixels of a picture's longer edge, before it is sent

function render({ model, el }) {
  const d = JSON.parse(model.get("payload")), root = makeRoot("q35-chat", "chat", d.colours);
  const here = { backend: model.get("backend"), thinking: model.get("thinking") };
  const state = inStep(model, here, to => { Object.assign(here, to); show(); });
  let view = {}, image = "", count = 0;

  const who = choice("backend", d.backends.map(each => each.name), here.backend, n => { here.backend = n; state.save(); show(); });
  const think = choice("thinking", d.thinking, here.thinking, n => { here.thinking = n; state.save(); });
  const fresh = make("button", "q35-button", "Start over", { type: "button" });
  const knobs = make("div", "q35-knobs");
  knobs.append(who.label, think.label, fresh);
  const head = make("div"), log = make("div", "q35-log", "", { role: "log", "aria-label": "conversation", tabindex: 0 });
  log.dataset.q35Picture = ""; // a picture made of text: a test that watches pictures looks here
  const problem = make("div", "q35-problem", "", { role: "alert" }), words = make("span");
  const again = make("button", "q35-button q35-again", "", { type: "button" });
  problem.append(words, again);
  const status = make("div", "q35-status", "", { role: "status" });
  const area = make("textarea", "q35-area", "", { rows: 2, "aria-label": "your question", placeholder: "Ask something. Enter sends, Shift+Enter begins a line." });
  const send = make("button", "q35-button q35-send", "Send", { type: "button" }), stop = make("button", "q35-button q35-stop", "Stop", { type: "button" });
  const pick = make("button", "q35-button", "Picture …", { type: "button", "data-q35-quiet": "" });
  const file = make("input", "q35-hidden", "", { type: "file", accept: "image/*", tabindex: -1, "aria-label": "a picture" });
  const thumb = make("img", "q35-thumb", "", { alt: "the picture that goes with the question" });
  const drop = make("button", "q35-button", "Without it", { type: "button" });
  const row = make("div", "q35-compose"), keys = make("div", "q35-keys");
  keys.append(send, stop, pick, file, thumb, drop);
  row.append(area, keys);
  const exact = make("details", "q35-exact"), text = make("pre", "q35-prompt", "", { tabindex: 0, "aria-label": "the exact prompt" });
  exact.append(make("summary", "", "The exact prompt of the last answer"), text);
  root.append(head, knobs, log, problem, status, row, exact, make("div", "q35-caption", d.caption));
  el.append(root);

  // what the kernel is asked to do
  function tell(what, more = {}) {
    if (model.still) return;
    model.set("ask", JSON.stringify({ count: ++count + Math.random(), what, ...here, ...more }));
    model.save_changes();
  }
  function ask() {
    const asked = area.value.trim();
    if (!asked || view.busy || view.doing) return;
    tell("say", { text: asked, image });
    [area.value, image] = ["", ""];
    wait();
  }
  function wait() { // until the kernel says so itself
    view = { ...view, busy: true, error: "" };
    show();
  }
  send.addEventListener("click", ask);
  stop.addEventListener("click", () => tell("stop"));
  fresh.addEventListener("click", () => { if (!view.busy) tell("clear"); });
  again.addEventListener("click", () => { tell("again"); wait(); });
  area.addEventListener("input", show);
  area.addEventListener("keydown", e => {
    if (e.key === "Enter" && e.shiftKey) e.stopPropagation(); // a new line, and not JupyterLab's "run this cell"
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); ask(); }
  });
  root.addEventListener("keydown", e => { if (e.key === "Escape" && view.busy) { e.stopPropagation(); tell("stop"); } });
  pick.addEventListener("click", () => file.click());
  drop.addEventListener("click", () => { image = ""; show(); });
  file.addEventListener("change", async () => {
    if (!file.files[0]?.type.startsWith("image/")) return;
    const bitmap = await createImageBitmap(file.files[0]), scale = Math.min(1, WIDEST / Math.max(bitmap.width, bitmap.height));
    const paper = Object.assign(make("canvas"), { width: Math.ceil(bitmap.width * scale), height: Math.ceil(bitmap.height * scale) });
    paper.getContext("2d").drawImage(bitmap, 0, 0, paper.width, paper.height);
    image = paper.toDataURL("image/png");
    file.value = "";
    show();
  });

  // one element for each turn; what is there already keeps its place, so that text can be selected while more comes
  const drawn = [];
  function draw(n, role) {
    const box = make("div", `q35-turn q35-${role}`);
    const by = make("div", "q35-by"), seen = make("img", "q35-seen", "", { alt: "picture" });
    const thought = make("div", "q35-thought", "", { "aria-label": "thinking" }), inner = make("div", "q35-inner");
    thought.append(make("div", "q35-lane", "thinking"), inner);
    const said = make("div", "q35-said"), stats = make("div", "q35-stats");
    box.append(by, seen, thought, said, stats);
    log.append(box);
    return drawn[n] = { box, set(turn) {
      by.textContent = turn.role === "user" ? "you" : turn.by;
      seen.hidden = !turn.image;
      if (turn.image && seen.src !== turn.image) seen.src = turn.image;
      thought.hidden = !turn.reasoning;
      put(inner, turn.reasoning);
      put(said, [turn.text, ...turn.calls].filter(Boolean).join("\n"));
      stats.textContent = [turn.stats, ...turn.notes].filter(Boolean).join(" · ");
    } };
  }
  const put = (element, words) => { if (element.textContent !== words) element.textContent = words; };

  function show() {
    const turns = view.turns ?? [], backend = d.backends[here.backend], busy = Boolean(view.busy || view.doing);
    head.replaceChildren(makeHead(backend));
    [who.select.value, think.select.value] = [here.backend, here.thinking];
    while (drawn.length > turns.length) drawn.pop().box.remove();
    const low = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    turns.forEach((turn, n) => (drawn[n] ?? draw(n, turn.role)).set(turn));
    if (low) log.scrollTop = log.scrollHeight;
    log.classList.toggle("q35-empty", !turns.length);
    problem.hidden = !view.error;
    put(words, view.error ?? "");
    again.textContent = view.dead ? "Restart the server and ask again" : "Ask again";
    again.hidden = !view.again && !view.dead;
    status.textContent = model.still ? "To talk, run the notebook: this page has no kernel." : view.doing || (busy ? "… is answering" : "");
    const last = [...turns].reverse().find(turn => turn.prompt);
    exact.hidden = !last;
    put(text, last?.prompt ?? "");
    send.disabled = model.still || busy || !area.value.trim();
    stop.disabled = model.still || !view.busy;
    fresh.disabled = model.still || busy || !turns.length && !view.error;
    area.disabled = Boolean(model.still);
    who.select.disabled = busy;
    [pick.hidden, thumb.hidden, drop.hidden] = [!backend.sees, !image, !image];
    pick.disabled = Boolean(model.still);
    if (image) thumb.src = image;
    root.dispatchEvent(new CustomEvent("q35-drawn", { bubbles: true }));
  }
  const follow = () => { view = JSON.parse(model.get("view") || "{}"); show(); };
  model.on("change:view", follow);
  follow();
  model.send({ hello: true });
  return () => { model.off("change:view", follow); state.leave(); };
}

export default { render };
