// Which published scores are shown, and who is ahead: analysis/scoreboard.py once more. A test holds them equal.

// rows that the filters keep; "" is all
const keptRows = (d, here) => d.rows.map((row, n) => ({ ...row, n })).filter(row =>
  (!here.table || row.table === here.table) && (!here.category || row.category === here.category)
  && (!here.benchmark || row.benchmark === here.benchmark));

// models that have a number in one of these rows, in the order of the tables
const modelsIn = (d, rows) => d.models.filter(m => rows.some(row => d.cells[row.n][m]));

const bestOf = cell => cell ? Math.max(...cell.map(([score]) => score)) : NaN;

// in how many rows `ours` is at least as good as `theirs`, of those in which both have a number
function tallyOf(d, rows, ours, theirs) {
  const pairs = rows.map(row => [bestOf(d.cells[row.n][ours]), bestOf(d.cells[row.n][theirs])]);
  const both = pairs.filter(pair => pair.every(Number.isFinite));
  return { won: both.filter(([a, b]) => a >= b).length, compared: both.length, rows: rows.length };
}
