"""Ctrl-C between two steps of work, never in the middle of one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside the block a first interrupt (SIGINT) is only noted; a second one acts as always.

    Yields a function that says whether an interrupt came. Outside the main thread, where Python allows no
    handlers, nothing is held.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note) or signal.SIG_DFL
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
