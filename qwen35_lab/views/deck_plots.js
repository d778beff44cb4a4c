// The panels of a deck that are not maps: curves, bars, and the strip of tokens. Each is what deck_heat.js says.
function curves(p, deck) {
  const box = frameBox(p, "q35-curves"), { size } = p.x, last = Math.max(1, size - 1);
  const grid = make("div", "q35-lines"), plot = make("div", "q35-plot", "", { role: "img" }), canvas = make("canvas");
  const cursor = make("div", "q35-cursor"), hair = make("div", "q35-hair"), side = make("div", "q35-ticks"), names = make("div", "q35-names");
  hair.hidden = true;
  cursor.hidden = p.cursor === null;
  const bend = p.log ? v => v > 0 ? Math.log10(v) : NaN : v => v;
  const [low, high] = [bend(p.low), bend(p.high)], share = v => (bend(v) - low) / ((high - low) || 1);
  p.ticks.forEach(tick => {
    const name = make("span", "", number(tick));
    name.style.bottom = `${100 * share(tick)}%`;
    side.append(name);
  });
  const tags = p.series.map((s, n) => {
    const tag = make("span", "", s.name);
    tag.style = `--ink:var(--q35-${SERIES[n % 4]})`;
    names.append(tag);
    return tag;
  });
  plot.append(canvas, cursor, hair);
  const foot = make("div", "q35-ends");
  foot.append(make("span", "", label(p.x, 0)), make("span", "q35-faint", p.x.name), make("span", "", label(p.x, size - 1)));
  grid.append(side, plot, names, make("span"), foot);
  box.append(grid);

  let now, seen = "", area = { width: 0, height: 0 };
  // no more than two points for each pixel: the lowest and the highest, in their order
  function points(values, width, height) {
    const found = [], every = Math.max(1, Math.ceil(size / Math.max(1, width)));
    for (let i = 0; i < size; i += every) {
      let [least, most] = [i, i];
      for (let k = i; k < Math.min(size, i + every); k++) {
        if (!(values[k] >= values[least])) least = k;
        if (!(values[k] <= values[most])) most = k;
      }
      const pair = least === most ? [least] : [Math.min(least, most), Math.max(least, most)];
      found.push(...pair.map(k => [k / last * width, (1 - share(values[k])) * height]));
    }
    return found;
  }
  function line(pen, values, dash, width, height) {
    const path = points(values, width, height);
    const length = path.reduce((sum, [, y], n) => sum + (n && Math.abs(y - path[n - 1][1]) || 0), 0);
    const noisy = length > 12 * width; // dashes of noise cannot be read, and take long; so do long paths
    pen.setLineDash(noisy ? [] : dash);
    pen.beginPath();
    path.forEach(([x, y], n) => {
      if (noisy && n % 32 === 0) {
        pen.stroke();
        pen.beginPath();
        if (n) pen.moveTo(...path[n - 1]);
      }
      if (Number.isFinite(y)) pen[n && Number.isFinite(path[n - 1][1]) ? "lineTo" : "moveTo"](x, y);
    });
    pen.stroke();
  }
  function paint() {
    const { width, height } = area, dense = window.devicePixelRatio || 1;
    if (!now || !width) return;
    const pen = canvas.getContext("2d"), pixels = [Math.round(width * dense), Math.round(height * dense)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.setLineDash([]);
    [pen.lineWidth, pen.strokeStyle] = [1, "rgba(128,128,128,0.28)"];
    p.ticks.forEach(tick => pen.strokeRect(0, (1 - share(tick)) * height, width, 0));
    [pen.lineWidth, pen.lineJoin] = [1.8, "bevel"];
    now.forEach((values, n) => {
      pen.strokeStyle = deck.colours[SERIES[n % 4]];
      line(pen, values, DASHES[n % 4], width, height);
    });
    // names at the lines' ends, moved apart
    const ends = now.map((values, n) => ({ n, y: (1 - share(values.findLast?.(v => Number.isFinite(bend(v))) ?? values[size - 1])) * height }))
      .filter(end => Number.isFinite(end.y)).sort((a, b) => a.y - b.y);
    ends.forEach((end, n) => { if (n) end.y = Math.max(end.y, ends[n - 1].y + 14); });
    const over = Math.max(0, (ends.at(-1)?.y ?? 0) - height);
    ends.forEach(end => { tags[end.n].style.transform = `translateY(${end.y - over}px) translateY(-50%)`; });
  }
  new ResizeObserver(([entry]) => { area = entry.contentRect; paint(); }).observe(plot);
  const told = n => p.series.map((s, k) => `${s.name} ${number(now[k][n])}`).join(", ") + unitOf(p);
  const nearest = e => {
    const r = plot.getBoundingClientRect();
    return clamp(Math.round((e.clientX - r.left) / r.width * last), 0, size - 1);
  };
  plot.addEventListener("pointermove", e => {
    const n = nearest(e);
    if (p.cursor !== null && e.buttons === 1) deck.go(p.cursor, n);
    deck.link({ panel: me, rows: key(p.x), row: n, text: `${p.x.name} ${label(p.x, n)}` });
  });
  plot.addEventListener("pointerdown", e => { if (p.cursor !== null) deck.go(p.cursor, nearest(e)); });
  plot.addEventListener("pointerleave", () => deck.link(null));
  const me = { box, title: p.title, draw(at) {
    const asked = p.over.map(dial => at[dial]).join();
    if (asked !== seen || !now) {
      seen = asked;
      now = p.series.map(s => frameOf(s.values, p.over, at));
      paint();
    }
    if (p.cursor !== null) cursor.style.left = `${100 * at[p.cursor] / last}%`;
    const here = p.cursor === null ? "" : ` at ${label(p.x, at[p.cursor])}: ${told(at[p.cursor])}`;
    plot.setAttribute("aria-label", p.title + here);
  }, point(found) {
    const n = found?.rows === key(p.x) ? found.row : found?.columns === key(p.x) ? found.column : null;
    hair.hidden = n === null;
    if (n !== null) hair.style.left = `${100 * n / last}%`;
  }, value(found) {
    const n = found.rows === key(p.x) ? found.row : found.columns === key(p.x) ? found.column : null;
    return n === null ? null : told(n);
  } };
  return me;
}

function bars(p, deck) {
  const box = frameBox(p, "q35-bars"), one = p.series.length === 1;
  box.classList.toggle("q35-both", p.signed);
  box.dataset.q35Picture = "";  // a picture made of text: a test that watches pictures looks here
  if (!one) {
    const legend = make("div", "q35-legend");
    legend.append(...p.series.map((s, n) => make("span", `q35-key q35-series${n % 4}`, s.name)));
    box.append(legend);
  }
  const rows = p.labels.map(name => p.series.map((s, n) => {
    const row = bar(n ? "" : name, one ? "" : `q35-series${n % 4}`);
    row.row.title = `${name}, ${s.name}`;
    row.row.classList.toggle("q35-first", !n);
    box.append(row.row);
    return row;
  }));
  return { box, title: p.title, draw(at) {
    p.series.forEach((s, k) => frameOf(s.values, p.over, at).forEach((v, n) => {
      const { row, set } = rows[n][k];
      set(Number.isFinite(v) ? Math.abs(v) / (p.high || 1) * (p.signed ? 0.5 : 1) : 0, number(v));
      row.classList.toggle("q35-below", v < 0);
    }));
  }, point() {}, value: () => null };
}

function strip(p, deck) {
  const box = frameBox(p, "q35-strippanel");
  const { strip: chips, buttons, show } = tokenStrip(p.axis.labels, p.axis.labels.map((_, n) => `${p.axis.name} ${n}`), n => deck.go(p.dial, n));
  chips.setAttribute("aria-label", p.axis.name);
  box.append(chips);
  if (p.values) box.append(scale(p, deck.colours));
  let seen = "", lit = -1, now;
  buttons.forEach((button, n) => {
    button.addEventListener("pointerenter", () => deck.link({ panel: me, rows: key(p.axis), row: n, text: `${p.axis.name} ${n} “${label(p.axis, n)}”` }));
    button.addEventListener("pointerleave", () => deck.link(null));
  });
  const me = { box, title: p.title, draw(at) {
    const asked = p.over.map(dial => at[dial]).join();
    if (p.values && (asked !== seen || !now)) {
      seen = asked;
      now = frameOf(p.values, p.over, at);
      buttons.forEach((button, n) => {
        const value = amount(p, now, n), [r, g, b, a] = tint(deck.colours, Number.isFinite(value) ? value / p.high : 0);
        button.style.backgroundColor = `rgba(${r},${g},${b},${(0.5 * a).toFixed(3)})`;
        button.title = `${p.axis.name} ${n}: ${valueOf(p, now, n)}${unitOf(p)}`;
      });
    }
    if (lit !== at[p.dial]) show(lit = at[p.dial]);
  }, point(found) {
    const n = found?.rows === key(p.axis) ? found.row : found?.columns === key(p.axis) ? found.column : null;
    buttons.forEach((button, k) => button.classList.toggle("q35-hit", k === n));
  }, value(found) {
    const n = found.rows === key(p.axis) ? found.row : found.columns === key(p.axis) ? found.column : null;
    return n === null || !now ? null : valueOf(p, now, n) + unitOf(p);
  } };
  return me;
}

const PANELS = { heat, curves, bars, strip };
