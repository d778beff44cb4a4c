// The rules of prices.py once more, so that a slider needs no kernel. A test holds them equal.

// what one request asks of input that is read, input from the cache, and output
function tokensOf(w) {
  const prompt = w.prompt * w.language;
  return [prompt * (1 - w.cached), prompt * w.cached, w.answer * w.language + w.thinking];
}

// US dollars a month, and whether the prompt is so long that it is dearer; usd is null where it does not fit
function monthOf(p, w, days) {
  const [fresh, cached, out] = tokensOf(w), prompt = fresh + cached, above = p.above !== null && prompt > p.above;
  if (p.context !== null && prompt + out > p.context) return { usd: null, above };
  let [usdIn, usdCached, usdOut] = [p.in, p.cached, p.out];
  if (above) [usdIn, usdCached, usdOut] = [p.inAbove ?? p.in, p.cachedAbove, p.outAbove ?? p.out];
  const one = (fresh * usdIn + cached * (usdCached ?? usdIn) + out * usdOut) / 1e6;
  return { usd: one * w.requests * days, above };
}

// the cheapest first, what does not fit last; equal ones keep their order
const byCost = rows => rows.map((row, n) => ({ ...row, n }))
  .sort((a, b) => (a.usd ?? Infinity) - (b.usd ?? Infinity) || a.n - b.n);
