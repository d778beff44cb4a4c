"""How seconds grow with a text: measured on real layers, and fitted as a power of its length.

Seconds = a · tokens^b is a straight line on logarithmic axes, and b says by what doubling multiplies: 2^b. A cost that
is a sum of a linear and a quadratic part is no power, so b depends on the range; the standard error says how straight
the line is, not how far it may be prolonged.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import FULL, LINEAR, ModelConfig
from ..errors import InputError
from ..family import load_config
from .cost import MIXES, mixer_cost
from .mixers import build_mixer, reading
from .recorded import counted
from .roofline import Clock, take_turns

KINDS = (LINEAR, FULL)


@dataclass(frozen=True)
class Fit:
    """seconds = scale · tokens^exponent, with the standard error of the exponent."""

    exponent: float
    error: float
    scale: float

    @property
    def doubling(self) -> float:
        """By what twice the tokens multiply the seconds, within the fitted range."""
        return 2**self.exponent

    def __repr__(self) -> str:
        return f"Fit(tokens^{self.exponent:.2f} ± {self.error:.2f}, ×{self.doubling:.2f} when doubled)"


@dataclass(frozen=True)
class LayerTimes:
    """Seconds of one mixer of each kind on texts of several lengths, every repeat kept."""

    tokens: tuple[int, ...]
    seconds: Tensor  # [kind of `KINDS`, repeat, length]
    flops: Tensor  # of the same mixers, counted: [kind, length]
    provenance: str

    def of(self, mix: str | tuple[int, int]) -> Tensor:
        """Of a stack of mixers, (DeltaNet, attention) or a name of `MIXES`: [repeat, length]."""
        return _stacked(self.seconds, mix)

    def median(self, mix: str | tuple[int, int]) -> list[float]:
        return self.of(mix).median(0).values.tolist()

    def fit(self, mix: str | tuple[int, int], shortest: int = 0) -> Fit:
        """Over all repeats of the lengths from `shortest` on."""
        kept = [n for n, length in enumerate(self.tokens) if length >= shortest]
        times = self.of(mix)[:, kept]
        return fit_power([self.tokens[n] for n in kept] * len(times), times.flatten().tolist())

    def doubling(self, mix: str | tuple[int, int], tokens: int) -> tuple[float, float, float]:
        """By what 2 · `tokens` multiply the seconds of `tokens`: the median of the repeats, the least, and the most.

        Raises:
            InputError: one of the two lengths was not measured.
        """
        short, long = self._pair(self.of(mix), tokens)
        ratios = (long / short).tolist()
        return statistics.median(ratios), min(ratios), max(ratios)

    def work_doubling(self, mix: str | tuple[int, int], tokens: int) -> float:
        """By what 2 · `tokens` multiply the FLOPs of `tokens`; raises InputError as `doubling` does."""
        short, long = self._pair(_stacked(self.flops, mix), tokens)
        return float(long / short)

    def _pair(self, values: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
        """Of [..., length]: those of `tokens`, and of twice as many."""
        if tokens not in self.tokens or 2 * tokens not in self.tokens:
            raise InputError(f"{tokens} and {2 * tokens} tokens were not both measured, only {self.tokens}.")
        return values[..., self.tokens.index(tokens)], values[..., self.tokens.index(2 * tokens)]


def _stacked(values: Tensor, mix: str | tuple[int, int]) -> Tensor:
    """[kind, ...] of one mixer each -> [...] of a stack of them."""
    if isinstance(mix, str) and mix not in MIXES:
        raise InputError(f"There is no mix {mix!r}; pass one of {', '.join(MIXES)}, or two numbers such as (3, 1).")
    counts = MIXES[mix] if isinstance(mix, str) else mix
    return sum((count * values[n] for n, count in enumerate(counts)), torch.zeros(()))


@torch.inference_mode()
def time_layers(
    config: ModelConfig | str, tokens: Sequence[int], *, repeats: int = 3, seed: int = 0,
    clock: Clock | None = None,
) -> LayerTimes:  # fmt: skip
    """Time one DeltaNet and one attention mixer of these shapes, with random weights in float32, on a whole text.

    Args:
        tokens: lengths of the texts; kinds and lengths take turns in every repeat.
        clock: seconds so far; `quiet_clock()` if not given.
    """
    config = load_config(config) if isinstance(config, str) else config
    lengths = tuple(counted(n, "a number of tokens", 1) for n in tokens)
    if not lengths:
        raise InputError("There is no length to time; pass at least one number of tokens.")
    mixers = [build_mixer(config, kind, seed=seed) for kind in KINDS]
    jobs = [reading(mixer, config, length, seed) for mixer in mixers for length in lengths]
    take_turns(jobs[:: len(lengths)], 1)  # what comes first is slower
    taken = torch.tensor(take_turns(jobs, counted(repeats, "repeats", 1), clock), dtype=torch.float64)
    threads = torch.get_num_threads()
    provenance = f"RANDOM · one layer of each kind · float32 · cpu, {threads} thread{'s' * (threads > 1)}"
    flops = torch.tensor([[mixer_cost(config, kind, n).flops for n in lengths] for kind in KINDS], dtype=torch.float64)
    return LayerTimes(lengths, taken.unflatten(0, (2, -1)).transpose(1, 2), flops, provenance)


def fit_power(sizes: Sequence[float], seconds: Sequence[float]) -> Fit:
    """A straight line through the logarithms, by least squares.

    Raises:
        InputError: fewer than three points, fewer than two sizes, or values that are not above zero.
    """
    if len(sizes) != len(seconds) or len(sizes) < 3 or len(set(sizes)) < 2:
        raise InputError("A power needs at least three measurements at two sizes or more; measure more lengths.")
    if min(sizes) <= 0 or min(seconds) <= 0:
        raise InputError("A size or a time is not above zero, and has no logarithm.")
    x, y = ([math.log(v) for v in values] for values in (sizes, seconds))
    middle = statistics.fmean(x)
    slope, offset = statistics.linear_regression(x, y)
    left = sum((b - offset - slope * a) ** 2 for a, b in zip(x, y, strict=True)) / (len(x) - 2)
    return Fit(slope, math.sqrt(left / sum((a - middle) ** 2 for a in x)), math.exp(offset))
