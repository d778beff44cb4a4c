// What the tests ask the page, once JupyterLab has drawn a notebook in it: `reader.errors()` and so on.
window.reader = (() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const texts = selector => all(selector).map(element => element.textContent);
  const panel = () => window.jupyterapp.shell.currentWidget;
  const codeCells = () => panel().content.model.sharedModel.toJSON().cells
    .filter(cell => cell.cell_type === 'code' && cell.source.length);

  const cellErrors = () => codeCells()
    .filter(cell => !(cell.metadata.tags ?? []).includes('raises-exception'))
    .flatMap(cell => cell.outputs)
    .filter(output => output.output_type === 'error')
    .map(output => `${output.ename}: ${output.evalue}`);

  // True at the end of the last cell, or when an error has stopped the rest.
  const hasRun = () => panel().sessionContext.session.kernel.status === 'idle'
    && (cellErrors().length > 0 || codeCells().every(cell => cell.execution_count !== null));

  const errors = () => [
    ...cellErrors(),
    // `interact` shows an exception inside its Output widget, and no cell fails.
    ...texts('.jupyter-widgets .jp-OutputArea-output').filter(text => text.includes('Traceback')),
    ...texts('.jp-OutputArea-output')
      .filter(text => /Error displaying widget|Failed to load model|Javascript Error/.test(text)),
    // The traceback of any other callback goes to the log console only; the status bar counts its entries.
    ...all('.jp-LogConsoleStatusItem [title]')
      .map(element => element.title).filter(title => /[1-9]\d* log entr/.test(title)),
  ];

  // All that outputs draw. Text beside a slider is not in it: that changes even when nothing happens.
  const drawing = () => JSON.stringify([
    all('.jp-OutputArea canvas').map(canvas => canvas.toDataURL()),
    all('.jp-OutputArea svg').map(svg => svg.outerHTML),
    all('.jp-OutputArea img').map(img => img.src),
    all('.jp-OutputArea table').map(table => table.innerHTML),
  ]);

  return { hasRun, errors, drawing };
})();
