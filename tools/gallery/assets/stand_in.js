// Draws the charts and widgets of an exported notebook; a widget's model is what the kernel had sent last.
for (const script of document.querySelectorAll("script[data-plotly]")) {
  const { data, layout } = JSON.parse(script.textContent);
  const height = layout.height ?? layout.template?.layout?.height; // else it would fill a place that has no height yet
  Plotly.newPlot(script.parentElement, data, { ...layout, height }, { responsive: true });
}

function model(state) {
  const heard = {};
  return {
    still: true, // no kernel will answer
    get: name => state[name],
    set: (name, value) => { state[name] = value; (heard[`change:${name}`] ?? []).forEach(tell => tell()); },
    on: (event, tell) => (heard[event] ??= []).push(tell),
    off: (event, tell) => { heard[event] = (heard[event] ?? []).filter(other => other !== tell); },
    save_changes() {},
    send() {},
  };
}

for (const script of document.querySelectorAll("script[data-widget]")) {
  const state = JSON.parse(script.textContent);
  const style = document.createElement("style");
  style.textContent = state._css ?? "";
  document.head.append(style);
  const code = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
  import(code).then(async module => {
    const widget = typeof module.default === "function" ? await module.default() : module.default;
    const proxy = model(state);
    await widget.initialize?.({ model: proxy });
    widget.render({ model: proxy, el: script.parentElement });
  });
}
