"""Bytes that torch has set aside at the peak of a run."""

from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile


def measured(work: Callable[[], Any]) -> int:
    """Bytes at the peak of a run, beyond what there was before: every tensor that torch makes and lets go."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        kept = work()
    assert found.profiler is not None and kept is not None
    events = [each for each in found.profiler.kineto_results.events() if each.name() == "[memory]"]
    now = peak = 0
    for each in sorted(events, key=lambda each: each.start_ns()):
        now += each.nbytes()
        peak = max(peak, now)
    return peak
