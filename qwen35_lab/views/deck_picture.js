// The panel of a deck that shows a picture in cells, with a square in each whose area is a value.
function picture(p, deck) {
  const { rows, columns } = p, [height, width] = p.pixels.shape.slice(-3);
  const box = frameBox(p, "q35-picture");
  const plot = make("div", "q35-plot q35-photo", "", {
    tabindex: 0, role: "application", "aria-roledescription": "picture",
    "aria-label": `${p.title}: ${rows.size} rows of ${columns.size} cells; arrow keys read cells`,
  });
  plot.style.setProperty("--ratio", width / height);
  plot.classList.toggle("q35-choice", p.dial !== null);
  const [photo, marks] = [make("canvas", "q35-cells"), make("canvas", "q35-glyphs")];
  [photo.width, photo.height] = [width, height];
  plot.append(photo, marks);
  box.append(plot);
  if (p.values) {
    const most = p.most === null ? "" : `; clipped, the largest is ${number(p.most)}`;
    box.append(make("div", "q35-faint", `the largest square: ${number(p.high)}${unitOf(p)}${most}`));
  }

  const ink = photo.getContext("2d"), image = ink.createImageData(width, height);
  let now = null, chosen = -1, hovered = null, shown = "", size = { width: 0, height: 0 };
  function draw(at) {
    const asked = p.seen.map(dial => at[dial]).join();
    if (asked !== shown || now === null) {
      shown = asked;
      const seen = frameOf(p.pixels, p.seen, at);
      for (let n = 0; n < width * height; n++) image.data.set([seen[3 * n], seen[3 * n + 1], seen[3 * n + 2], 255], 4 * n);
      ink.putImageData(image, 0, 0);
    }
    now = p.values ? frameOf(p.values, p.over, at) : [];
    chosen = p.dial === null ? -1 : at[p.dial] - p.first;
    mark();
  }
  function mark() {
    if (!size.width || now === null) return;
    const dense = window.devicePixelRatio || 1, w = size.width / columns.size, h = size.height / rows.size;
    [marks.width, marks.height] = [size.width * dense, size.height * dense];
    const pen = marks.getContext("2d");
    pen.scale(dense, dense);
    [pen.strokeStyle, pen.lineWidth] = ["rgba(160,160,160,0.55)", 1];
    for (let n = 1; n < columns.size; n++) pen.strokeRect(Math.round(n * w) + 0.5, 0, 0, size.height);
    for (let n = 1; n < rows.size; n++) pen.strokeRect(0, Math.round(n * h) + 0.5, size.width, 0);
    pen.fillStyle = deck.colours.negative; // half of it, so that the picture can be seen through it
    for (let n = 0; n < now.length; n++) {
      const value = amount(p, now, n), edge = 0.8 * Math.min(w, h) * Math.sqrt(clamp(value / p.high, 0, 1));
      if (!(edge > 1.5)) continue;
      const [x, y] = [(n % columns.size + 0.5) * w - edge / 2, (Math.floor(n / columns.size) + 0.5) * h - edge / 2];
      pen.globalAlpha = 0.55;
      pen.fillRect(x, y, edge, edge);
      pen.globalAlpha = 1;
      for (const [colour, line] of [["white", 2.5], [deck.colours.negative, 1]]) {
        [pen.strokeStyle, pen.lineWidth] = [colour, Math.min(line, edge / 3)];
        pen.strokeRect(x, y, edge, edge);
      }
    }
    const frame = (n, colour, line, side) => {
      const [row, column] = [Math.floor(n / columns.size), n % columns.size];
      const [down, across] = [Math.min(side, rows.size - row), Math.min(side, columns.size - column)];
      [pen.strokeStyle, pen.lineWidth] = [colour, line];
      pen.strokeRect(column * w + 1.5, row * h + 1.5, across * w - 3, down * h - 3);
    };
    if (chosen >= 0) { frame(chosen, "black", 5, p.side); frame(chosen, "white", 2.5, p.side); }
    if (hovered !== null) frame(hovered, "white", 1, p.side);
  }
  new ResizeObserver(([entry]) => { size = entry.contentRect; mark(); }).observe(plot);

  const read = (row, column) => `row ${row}, column ${column}`;
  const link = (row, column) => deck.link({ panel: me, rows: key(rows), columns: key(columns), row, column, text: read(row, column) });
  handle(plot, rows, columns, deck, link, p.dial === null ? null : (row, column) => deck.go(p.dial, p.first + row * columns.size + column));

  const place = found => found?.rows === key(rows) && found.columns === key(columns) ? found.row * columns.size + found.column : null;
  const me = { box, draw, title: p.title, point(found) {
    hovered = place(found);
    mark();
  }, value(found) {
    const n = place(found);
    return n === null || !p.values ? null : valueOf(p, now, n) + unitOf(p);
  } };
  return me;
}

PANELS.picture = picture;
