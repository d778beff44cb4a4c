"""The harness of the benchmarks, with a clock that only moves when somebody works."""

import gc
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator

import pytest
from benchmarks.bench import compare
from benchmarks.race import LEAST, Case, Given, Mark, Work, processor_time, race
from hypothesis import given
from hypothesis import strategies as some


class Clock:
    """Stands still but for what `takes` is told; keeps who worked, in order."""

    def __init__(self) -> None:
        self.now, self.worked = 0.0, []

    def __call__(self) -> float:
        return self.now

    def takes(self, name: str, *seconds: float) -> Work:
        """A piece of work that takes these seconds, call by call, and the last of them from then on."""
        left = list(seconds)

        def work() -> None:
            self.worked.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def test_the_ratio_is_theirs_over_ours():
    clock = Clock()
    result = race(Case("a", clock.takes("ours", 2.0), clock.takes("theirs", 3.0)), 5, clock)
    assert (result.ours, result.theirs, result.ratios) == (2.0, 3.0, (1.5,) * 5)
    assert result.quartiles == (1.5, 1.5, 1.5)


def test_both_warm_up_and_then_take_turns_in_alternating_order():
    clock = Clock()
    race(Case("a", clock.takes("ours", 1.0), clock.takes("theirs", 1.0)), 4, clock)
    assert clock.worked == ["theirs", "ours", *["theirs", "ours", "ours", "theirs"] * 2]


def test_the_warm_up_does_not_count():
    clock = Clock()
    result = race(Case("a", clock.takes("ours", 50.0, 1.0), clock.takes("theirs", 90.0, 2.0)), 3, clock)
    assert result.ratios == (2.0, 2.0, 2.0)


def test_what_is_warm_already_runs_only_when_it_counts():
    clock = Clock()
    race(Case("a", clock.takes("ours", 1.0), clock.takes("theirs", 1.0), warm=True), 3, clock)
    assert len(clock.worked) == 2 * 3


def test_a_hiccup_in_one_round_moves_no_median():
    clock = Clock()
    ours = clock.takes("ours", 1.0, 1.0, 80.0, 1.0)
    result = race(Case("a", ours, clock.takes("theirs", 2.0)), 5, clock)
    assert (result.ours, result.quartiles[1]) == (1.0, 2.0)


pace = some.lists(some.floats(0.1, 10), min_size=1, max_size=9)


@given(pace, pace, some.integers(3, 9))
def test_the_median_lies_within_the_rounds_and_the_quartiles_in_order(ours, theirs, rounds):
    clock = Clock()
    result = race(Case("a", clock.takes("ours", *ours), clock.takes("theirs", *theirs)), rounds, clock)
    low, middle, high = result.quartiles
    assert len(result.ratios) == rounds and low <= middle <= high
    assert min(result.ratios) <= middle <= max(result.ratios)


def test_the_same_on_both_sides_is_even():
    clock = Clock()
    work = clock.takes("both", 1.0)
    assert race(Case("a", work, work), 3, clock).ratios == (1.0, 1.0, 1.0)


def test_who_loses_patience_has_had_the_least_rounds():
    clock = Clock()
    slow = Case("a", clock.takes("ours", 10.0), clock.takes("theirs", 10.0))
    assert len(race(slow, 11, clock, patience=1).ratios) == LEAST
    assert len(race(slow, 11, clock, patience=90).ratios) == 5  # the fifth begins after 80 seconds
    assert len(race(slow, 11, clock).ratios) == 11


def test_a_case_can_ask_for_more_rounds():
    clock = Clock()
    case = Case("a", clock.takes("ours", 1.0), clock.takes("theirs", 1.0), rounds=21)
    assert len(race(case, 5, clock).ratios) == 21


def test_a_bound_runs_in_every_round_and_gives_shares():
    clock = Clock()
    ours, theirs, bound = clock.takes("ours", 2.0), clock.takes("theirs", 4.0), clock.takes("bound", 1.0)
    result = race(Case("a", ours, theirs, bound=bound), 3, clock)
    assert clock.worked.count("bound") == 1 + 3
    assert result.share == (0.5, 0.25)


@pytest.mark.parametrize("goal, reached", [(1.5, True), (1.51, False), (None, None)])
def test_a_goal_is_reached_by_the_median(goal, reached):
    clock = Clock()
    result = race(Case("a", clock.takes("ours", 2.0), clock.takes("theirs", 3.0)), 3, clock)
    assert result.reached(goal) is reached


@pytest.mark.parametrize("value, reached", [(100.0, True), (100.1, False)])
def test_a_mark_is_the_most_that_is_wanted(value, reached):
    assert Mark("a", value, "ms", goal=100.0).reached is reached
    assert Mark("a", value, "ms").reached is None


class Weights:
    """Something heavy."""


def test_the_weights_of_a_case_are_gone_when_the_next_one_is_made():
    alive: list[weakref.ref] = []

    def cases() -> Iterator[Case]:
        for name in "abc":
            assert not [each for each in alive if each() is not None], f"{name} is made beside the one before"
            yield make(name)

    def make(name: str) -> Case:
        weights = Weights()
        alive.append(weakref.ref(weights))
        return Case(name, lambda: id(weights), lambda: id(weights))

    gc.collect()
    rows = list(compare("area", cases(), Given(quick=True)))
    assert [row.what for row in rows] == ["a", "b", "c"] and len(alive) == 3


def test_processor_time_counts_the_programs_that_were_started():
    began, alone = processor_time(), time.process_time()
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    assert processor_time() - began > time.process_time() - alone + 0.02
