"""Two pieces of work side by side: they take turns after a warm-up, so that a noisy machine slows both.

What counts is the median of the ratios of a round, theirs over ours (above 1 we are faster), with their quartiles.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One comparison. Generators make them one after the other, so that only one's weights are in memory."""

    what: str
    ours: Work
    theirs: Work
    goal: float | None = None  # the ratio that is wanted at least; None where nothing is promised
    rival: str = "transformers"


@dataclass(frozen=True)
class Given:
    """What was asked for on the command line."""

    quick: bool = False
    device: str = "cpu"
    clock: Callable[[], float] = time.perf_counter  # time.process_time leaves out what other programs take


@dataclass(frozen=True)
class Result:
    ours: float  # seconds, the median
    theirs: float
    ratios: tuple[float, ...]  # theirs / ours, of each round

    @property
    def quartiles(self) -> tuple[float, float, float]:
        low, middle, high = statistics.quantiles(self.ratios, n=4)
        return low, middle, high


def race(case: Case, rounds: int, clock: Callable[[], float] = time.perf_counter) -> Result:
    """Both once to warm up, then in turns, in the other order every second round."""
    case.ours(), case.theirs()
    times: list[tuple[float, float]] = []
    for round_ in range(rounds):
        pair = {}
        for work in (case.ours, case.theirs) if round_ % 2 else (case.theirs, case.ours):
            start = clock()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            pair[work] = clock() - start
        times.append((pair[case.ours], pair[case.theirs]))
    mine, yours = zip(*times, strict=True)
    return Result(statistics.median(mine), statistics.median(yours), tuple(b / a for a, b in times))
