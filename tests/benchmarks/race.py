"""Two pieces of work side by side: they take turns after a warm-up, so that a noisy machine slows both.

What counts is the median of the ratios of a round, theirs over ours (above 1 we are faster), with their quartiles.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

Work = Callable[[], object]
LEAST = 3  # rounds, however long they take


@dataclass(frozen=True)
class Case:
    """One comparison. Generators make them one after the other, so that only one's weights are in memory."""

    what: str
    ours: Work
    theirs: Work
    goal: float | None = None  # the ratio that is wanted at least; None where nothing is promised
    rival: str = "transformers"
    bound: Work | None = None  # what neither can do without, alone: the products with the same weights
    share: float | None = None  # of our time that the bound is wanted to be at least
    rounds: int = 0  # at least so many, where a small difference counts
    warm: bool = False  # whether it is so already: no round is run that does not count


@dataclass(frozen=True)
class Mark:
    """One number that has no rival: a time that a person waits, an exponent, bytes."""

    what: str
    value: float
    unit: str
    goal: float | None = None  # the most that is wanted
    note: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal


@dataclass(frozen=True)
class Given:
    """What was asked for on the command line."""

    quick: bool = False
    device: str = "cpu"
    clock: Callable[[], float] = time.perf_counter  # or `processor_time`

    @property
    def rounds(self) -> int:
        return 5 if self.quick else 11

    @property
    def patience(self) -> float:
        """Seconds that a comparison may go on before it has had all its rounds."""
        return 1.5 if self.quick else 120


@dataclass(frozen=True)
class Result:
    ours: float  # seconds, the median
    theirs: float
    ratios: tuple[float, ...]  # theirs / ours, of each round
    shares: tuple[tuple[float, float], ...] = field(default=())  # bound / ours and bound / theirs, of each round

    @property
    def quartiles(self) -> tuple[float, float, float]:
        low, middle, high = statistics.quantiles(self.ratios, n=4)
        return low, middle, high

    def reached(self, goal: float | None) -> bool | None:
        """Whether the median of the ratios is what was wanted; None where nothing was."""
        return None if goal is None else self.quartiles[1] >= goal

    @property
    def share(self) -> tuple[float, float]:
        """Of the bound, reached by us and by them: medians."""
        ours, theirs = zip(*self.shares, strict=True)
        return statistics.median(ours), statistics.median(theirs)


def race(
    case: Case, rounds: int, clock: Callable[[], float] = time.perf_counter, patience: float = float("inf")
) -> Result:
    """All once to warm up, unless they are warm, then in turns, in the other order every second round.

    Args:
        patience: seconds by the clock after which no further round begins, once there have been `LEAST`.
    """
    works = [work for work in (case.theirs, case.ours, case.bound) if work is not None]
    for work in () if case.warm else works:
        work()
    began, times = clock(), []
    while len(times) < max(rounds, case.rounds) and (len(times) < LEAST or clock() - began < patience):
        order = list(enumerate(works))[:: -1 if len(times) % 2 else 1]
        taken = {n: seconds(work, clock) for n, work in order}
        times.append([taken[n] for n in range(len(works))])
    yours, mine, *bound = zip(*times, strict=True)
    ratios = tuple(b / a for a, b in zip(mine, yours, strict=True))
    shares = tuple((c / a, c / b) for a, b, c in zip(mine, yours, bound[0], strict=True)) if bound else ()
    return Result(statistics.median(mine), statistics.median(yours), ratios, shares)


def processor_time() -> float:
    """Seconds of this process and of its children that have ended, without what other programs take."""
    told = os.times()
    return time.process_time() + told.children_user + told.children_system


def seconds(work: Work, clock: Callable[[], float]) -> float:
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start
