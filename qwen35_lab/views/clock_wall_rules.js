// The clocks and what YaRN does to them: analysis/clocks.py, written again. A test holds the two equal.
const TURN = 2 * Math.PI, PLACES = 600, REACH = 4; // a full turn, steps of the position slider, native lengths shown

// small positions are near each other, and a good part of the slider is beyond the native length
const positionOf = (place, native) => {
  const share = place / PLACES;
  return Math.floor(REACH * native * share * share * share * share + 0.5);
};
const speedOf = (own, keep, factor) => own * keep + own / factor * (1 - keep);
const attentionFactor = factor => factor > 1 ? 0.1 * Math.log(factor) + 1 : 1;

// one kind's clocks at a factor: radians per position, and turns completed in training
function clocksOf(kind, factor) {
  return kind.own.map((own, n) => ({
    speed: speedOf(own, kind.keep[n], factor), turns: kind.native * own / TURN,
    did: kind.keep[n] === 1 ? "left" : kind.keep[n] === 0 ? "divided" : "blended",
  }));
}

// whether a hand stands where it never stood in training
const isUnseen = (clock, position) =>
  clock.turns < 1 && clock.speed * position / TURN % 1 > clock.turns * (1 + 1e-9);

// q·k of the rotated features at a distance, if q and k agree in every pair; 1 at distance 0 without YaRN
function kernelOf(clocks, temperature, distance) {
  let sum = 0;
  for (const clock of clocks) sum += Math.cos(clock.speed * distance);
  return temperature * sum / clocks.length;
}
