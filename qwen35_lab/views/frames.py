"""Numbers as a `Deck` sends them to the browser.

Up to `EXACT` numbers of a panel go as float32, more as one byte each, in `STEPS` equal steps from `low` to `high`, so
that a value shown is off by at most (high − low) / (2 · STEPS). NaN and ±inf are cells without a value.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError

EXACT = 16_384  # numbers
STEPS, BLANK = 254, 255  # of a byte; an even number of steps, so that zero is one of them


def array(values: Any) -> np.ndarray:
    """A tensor, on whatever device and of whatever dtype, or anything numpy takes, as float32."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, dtype="float32")


def frame(values: Any, over: Sequence[str], at: Mapping[str, int]) -> np.ndarray:
    """What is drawn when the dials stand at `at`."""
    return array(values)[tuple(at[name] for name in over)]


def pack(values: np.ndarray, signed: bool, limit: float | None) -> dict[str, Any]:
    """Values for colours, with the ends of the colour scale. `most` is the largest magnitude, if it is clipped."""
    low, high = span([values])
    most = max(abs(low), abs(high))
    if not signed and low < 0:
        raise InputError("An unsigned map has negative values; say signed=True.")
    top = float(limit or most or 1)
    bottom = -top if signed else 0.0
    sent = values if values.size <= EXACT else quantise(values, bottom, top)
    return {"values": sent, "signed": signed, "low": bottom, "high": top, "most": most if most > top * 1.0001 else None}


def quantise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """One byte each: low is 0 and high `STEPS`, `BLANK` has no value."""
    known = np.isfinite(values)
    share = (np.where(known, values, low) - low) / (high - low)
    return np.where(known, np.rint(share.clip(0, 1) * STEPS), BLANK).astype("uint8")


def dequantise(codes: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.where(codes == BLANK, np.nan, low + (high - low) * codes.astype("float32") / STEPS)


def shrink(values: Any, most: int, axis: int = -1) -> np.ndarray:
    """At most `most` places along an axis, evenly chosen, the first and the last among them."""
    found = array(values)
    size = found.shape[axis]
    return found if size <= most else found.take(np.linspace(0, size - 1, most).round().astype(int), axis)


def span(values: Sequence[np.ndarray], positive: bool = False) -> tuple[float, float]:
    """The smallest and the largest finite value; 0 and 1 where there is none."""
    flat = np.concatenate([value.ravel() for value in values])
    flat = flat[np.isfinite(flat) & ((flat > 0) | (not positive))]
    return (float(flat.min()), float(flat.max())) if flat.size else (0.0, 1.0)


def ticks(low: float, high: float, log: bool = False, most: int = 4) -> list[float]:
    """Round numbers from low to high: 1, 2 or 5 times a power of ten."""
    if log:
        ends = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [10.0**n for n in ends if low / 1.001 <= 10.0**n <= high * 1.001]
    if high <= low:
        return [low]
    step = _step(low, high, most)
    return [n * step for n in range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)]


def ends(low: float, high: float, log: bool = False, most: int = 4) -> tuple[float, float]:
    """The axis that holds low to high and ends on ticks, so that every line has room and a number at both ends."""
    if high <= low:
        return low, high
    if log:
        return 10.0 ** math.floor(math.log10(low) + 1e-6), 10.0 ** math.ceil(math.log10(high) - 1e-6)
    step, bottom, top = 0.0, low, high
    while (wider := _step(bottom, top, most)) > step:  # a longer axis may ask for longer steps
        step = wider
        bottom, top = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    return bottom, top


def _step(low: float, high: float, most: int) -> float:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
