"""Ctrl-C between two steps of work, never in the middle of one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from types import FrameType, TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from .errors import InputError

P = ParamSpec("P")
T = TypeVar("T")


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


def whole(function: Callable[P, Iterator[T]]) -> Callable[P, AbstractContextManager[T]]:
    """`contextlib.contextmanager`, but what comes before the `yield`, and after it, is never cut in two by Ctrl-C.

    An interrupt that comes there acts when that part is done; inside the block it acts at once, as always.
    """

    @wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> AbstractContextManager[T]:
        return _Whole(contextmanager(function)(*args, **kwargs))

    return make


@whole
def whole_stack() -> Iterator[ExitStack]:
    """An `ExitStack` that Ctrl-C cannot keep from closing."""
    with ExitStack() as stack:
        yield stack


class _Whole(AbstractContextManager, Generic[T]):
    """While the block is open, SIGINT goes through `_note`, which sees where it came: there is no line between the
    body and the first one of `__exit__`, at which it would be too late to hold it."""

    def __init__(self, inner: AbstractContextManager[T]):
        self.inner = inner
        self.entered = False
        self.came = False  # an interrupt that is yet to act
        self.before: Any = None  # the handler that was there

    def __enter__(self) -> T:
        if self.entered:
            raise InputError("This block has been entered before; make a new one for every `with`.")
        self.entered = True
        before = signal.getsignal(signal.SIGINT)
        if callable(before) and threading.current_thread() is threading.main_thread():
            self.before = before
            signal.signal(signal.SIGINT, self._note)
        try:
            value = self.inner.__enter__()
        except BaseException:
            self._release()
            raise
        if self.came:
            self.__exit__(None, None, None)
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self.inner.__exit__(kind, error, trace)
        finally:
            self._release()

    def _note(self, number: int, frame: FrameType | None) -> None:
        at = frame
        while at:
            if at.f_code in GUARDED and at.f_locals.get("self") is self:
                self.came = True
                return
            at = at.f_back
        self.before(number, frame)

    def _release(self) -> None:
        if self.before and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self.before)
        if self.came:
            self.came = False
            signal.raise_signal(signal.SIGINT)


GUARDED = (_Whole.__enter__.__code__, _Whole.__exit__.__code__)
