"""Rooflines: the arithmetic by hand, the constants of this machine as ratios, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import DATA_SHEETS, Machine, measure_machine, mixer_cost, pass_cost, predicted_seconds
from qwen35_lab.analysis.cost import Cost
from qwen35_lab.analysis.cost_layers import Operation
from qwen35_lab.analysis.roofline import quiet_clock, take_turns
from qwen35_lab.config import LINEAR

MACHINE = Machine("x", flops=1e9, reads=1e6, moves=1e5, dtype="float32", provenance="RANDOM · x")


def test_an_operation_takes_as_long_as_its_slower_need_and_its_arrays():
    arithmetic = Operation("a", "b", flops=2_000_000_000, weights=1e6)
    memory = Operation("a", "b", flops=1000, weights=2e6, cache=1e6, moved=5e4)
    assert predicted_seconds(Cost((arithmetic,)), MACHINE) == 2
    assert predicted_seconds(Cost((memory,)), MACHINE) == 3 + 0.5
    assert predicted_seconds(Cost((arithmetic, memory)), replace(MACHINE, moves=None)) == 5
    assert MACHINE.balance == 1000


def test_a_step_waits_for_memory_and_a_long_text_for_arithmetic():
    h100 = DATA_SHEETS["H100"]
    step, text = pass_cost("9B", 1, 1000), pass_cost("9B", 4096)
    assert predicted_seconds(step, h100) == pytest.approx(step.traffic / h100.reads, rel=0.01)
    assert predicted_seconds(text, h100) == pytest.approx(text.flops / h100.flops, rel=0.1)


def test_twice_the_machine_takes_half_the_time():
    cost = mixer_cost("0.8B", LINEAR, 700, dtype="float32")
    twice = replace(MACHINE, flops=2e9, reads=2e6, moves=2e5)
    assert predicted_seconds(cost, MACHINE) == pytest.approx(2 * predicted_seconds(cost, twice))


def test_this_machine_has_three_constants_and_says_how_sure_they_are():
    found = measure_machine("0.8B", repeats=3)
    assert all(math.isfinite(x) and x > 0 for x in (found.flops, found.reads, found.moves))
    assert found.balance == found.flops / found.reads
    assert found.spread >= 0 and found.memory > 0 and found.provenance.startswith("RANDOM")
    assert "GFLOP/s" in repr(found) and "arrays moved" in repr(found)
    assert "arrays moved" not in repr(DATA_SHEETS["H100"])


def test_jobs_take_turns():
    seen, ticks = [], iter(range(100))
    found = take_turns([lambda: seen.append("a"), lambda: seen.append("b")], 3, lambda: next(ticks))
    assert seen == ["a", "b"] * 3 and found == [[1, 1, 1]] * 2


def test_one_thread_is_timed_by_what_the_processor_spends_on_it():
    """Sleeping costs the wall clock a tenth of a second, and a thread nothing."""
    import time

    clock = quiet_clock()
    assert clock is (time.thread_time if torch.get_num_threads() == 1 else time.perf_counter)
    if clock is time.thread_time:
        (slept,) = take_turns([lambda: time.sleep(0.1)], 1)
        assert slept[0] < 0.05


@pytest.mark.parametrize("dtype", ["int8", "float7", "manual_seed"])
def test_a_dtype_that_cannot_be_timed_is_refused(dtype):
    with pytest.raises(lab.InputError, match="cannot be timed"):
        measure_machine(dtype=dtype)


def test_no_repeats_are_refused():
    with pytest.raises(lab.InputError, match="repeats is 0"):
        measure_machine(repeats=0)
