// The rules of inputs/image.py and inputs/video.py once more, so that a slider needs no kernel. A test holds them equal.

// Python rounds halves to the even neighbour
function roundEven(x) {
  const low = Math.floor(x), rest = x - low;
  return rest < 0.5 ? low : rest > 0.5 ? low + 1 : low + low % 2;
}

// [height, width] in pixels; s: factor, least, most
function imageSize(height, width, s) {
  const { factor } = s, near = [height, width].map(side => roundEven(side / factor) * factor);
  if (near[0] * near[1] > s.most) {
    const shrink = Math.sqrt(height * width / s.most);
    return [height, width].map(side => Math.max(factor, Math.floor(side / shrink / factor) * factor));
  }
  if (near[0] * near[1] < s.least) {
    const grow = Math.sqrt(s.least / (height * width));
    return [height, width].map(side => Math.ceil(side * grow / factor) * factor);
  }
  return near;
}

// places of the frames that are looked at; s: minFrames, maxFrames
function sampleFrames(total, fps, s, rate) {
  const count = Math.min(Math.max(Math.trunc(total / fps * rate), s.minFrames), s.maxFrames, total);
  const step = (total - 1) / Math.max(1, count - 1);
  return Array.from({ length: count }, (_, n) => n === count - 1 && n ? total - 1 : roundEven(n * step));
}

// pixels of every frame; s: factor, pair, least, most
function videoSize(frames, height, width, s) {
  const { factor, pair } = s;
  if (height < factor || width < factor) {
    const scale = Math.max(factor / height, factor / width);
    [height, width] = [Math.trunc(height * scale), Math.trunc(width * scale)];
  }
  const near = [height, width].map(side => roundEven(side / factor) * factor);
  const pixels = roundEven(frames / pair) * pair * near[0] * near[1];
  if (pixels > s.most) {
    const shrink = Math.sqrt(frames * height * width / s.most);
    return [height, width].map(side => Math.max(factor, Math.floor(side / shrink / factor) * factor));
  }
  if (pixels < s.least) {
    const grow = Math.sqrt(s.least / (frames * height * width));
    return [height, width].map(side => Math.ceil(side * grow / factor) * factor);
  }
  return near;
}

// seconds of every pair of frames
function timestamps(chosen, fps, pair) {
  const padded = [...chosen], found = [];
  while (padded.length % pair) padded.push(chosen.at(-1));
  for (let n = 0; n < padded.length; n += pair) found.push((padded[n] / fps + padded[n + pair - 1] / fps) / 2);
  return found;
}

// a time as Python's format writes it: quarters are the only exact ties, and go to the even digit
const stamp = time => (time * 4 % 2 === 1 ? roundEven(time * 10) / 10 : time).toFixed(1);

// what a film of so many seconds becomes
function filmOf(seconds, fps, rate, height, width, s) {
  const total = Math.round(seconds * fps), chosen = sampleFrames(total, fps, s, rate);
  const [rows, columns] = videoSize(chosen.length, height, width, s), times = timestamps(chosen, fps, s.pair);
  const cells = rows * columns / s.factor ** 2;
  return { total, chosen, rows, columns, times, cells, tokens: cells * times.length };
}
