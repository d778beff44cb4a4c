// What the tests ask the page, once a notebook is drawn in it: `reader.errors()` and so on.
window.reader = (() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const texts = selector => all(selector).map(element => element.textContent);
  const panel = () => window.jupyterapp.shell.currentWidget;
  const cells = () => window.jupyterapp ? panel().content.model.sharedModel.toJSON().cells : [];
  const codeCells = () => cells().filter(cell => cell.cell_type === 'code' && cell.source.length);
  const quietCells = () => codeCells().filter(cell => !(cell.metadata.tags ?? []).includes('raises-exception'));

  const cellErrors = () => quietCells().flatMap(cell => cell.outputs)
    .filter(output => output.output_type === 'error')
    .map(output => `${output.ename}: ${output.evalue}`);

  // Warnings of Python, and a progress bar that found no widget to be.
  const printedErrors = () => quietCells().flatMap(cell => cell.outputs)
    .filter(output => output.name === 'stderr')
    .map(output => `stderr: ${[output.text].flat().join('')}`);

  // True at the end of the last cell, or when an error has stopped the rest.
  const hasRun = () => panel().sessionContext.session.kernel.status === 'idle'
    && (cellErrors().length > 0 || codeCells().every(cell => cell.execution_count !== null));

  const errors = () => [
    ...cellErrors(),
    ...printedErrors(),
    // `interact` shows an exception inside its Output widget, and no cell fails.
    ...texts('.jupyter-widgets .jp-OutputArea-output').filter(text => text.includes('Traceback')),
    ...texts('.jp-OutputArea-output')
      .filter(text => /Error displaying widget|Failed to load model|Javascript Error/.test(text)),
    // The traceback of any other callback goes to the log console only; the status bar counts its entries.
    ...all('.jp-LogConsoleStatusItem [title]')
      .map(element => element.title).filter(title => /[1-9]\d* log entr/.test(title)),
  ];

  const output = element => element?.closest('.jp-OutputArea-output') ?? document;

  // All that an output, or every output, draws. Text beside a slider is not in it: that changes even when nothing
  // happens. A widget whose picture is text marks it with data-q35-picture.
  const drawing = beside => {
    const drawn = kind => all(`.jp-OutputArea-output ${kind}`, output(beside)).filter(seen => seen.checkVisibility());
    return JSON.stringify([
      drawn('canvas').map(canvas => canvas.toDataURL()),
      drawn('img').map(img => img.src),
      drawn(':is(svg, table, [data-q35-picture])').map(element => element.outerHTML),
    ]);
  };
  const looks = beside => drawing(beside) + output(beside).innerHTML;

  const frame = () => new Promise(requestAnimationFrame);

  // Twenty frames, and then as many as it takes until two of them look alike: what is to be drawn is drawn.
  const settled = async () => {
    let before = null, now = drawing();
    while (now !== before) {
      for (let n = 0; n < 20; n++) await frame();
      [before, now] = [now, drawing()];
    }
  };

  // How many different pictures are to be seen in so many milliseconds, or until there are enough. However busy the
  // machine is, at least ten frames pass.
  const count = async (beside, ms, enough = Infinity) => {
    const seen = new Set(), end = performance.now() + ms;
    for (let n = 0; (performance.now() < end || n < 10) && seen.size < enough; n++, await frame())
      seen.add(drawing(beside));
    return seen.size;
  };

  // Since the last key press: how many redraws there were, and milliseconds to the frame after the last of them.
  let press = { redraws: 0, ms: 0 }, begin = 0;
  document.addEventListener('keydown', () => { press = { redraws: 0, ms: 0 }; begin = performance.now(); }, true);
  document.addEventListener('q35-drawn', async () => {
    const mine = press;
    await frame();
    await new Promise(painted => setTimeout(painted));
    mine.redraws++;
    mine.ms = performance.now() - begin;
    drawn.push(performance.now());
  });
  const redrawn = () => press;
  const drawn = [];  // when

  // Number, order and kind of cells, and the active one: what a key in JupyterLab's command mode would change.
  const notebook = () => JSON.stringify([
    cells().map(cell => [cell.id, cell.cell_type, cell.execution_count]), panel().content.activeCell.model.id]);

  // The cells that show a picture or a widget, in order; each output area is marked with its cell's id.
  const shown = '.jp-OutputArea-output :is(canvas, svg, img, table, .jupyter-widgets, [data-q35-picture])';
  const pictures = () => panel().content.widgets.flatMap((widget, index) => {
    const area = widget.outputArea?.node;
    if (!area?.querySelector(shown)) return [];
    area.dataset.cell = widget.model.id;
    return [{ index, id: widget.model.id, height: area.scrollHeight }];
  });

  return { hasRun, errors, drawing, looks, settled, count, redrawn, drawn, notebook, pictures };
})();
