"""Wrong answers to the exercises of notebook 00, about memory and a doctor's report."""

from collections.abc import Callable
from typing import Any

from ...doctor import Report
from .. import fitting
from ..verdict import Mistake
from .pairs import listed


def _bytes(change: dict[str, Any]) -> Callable[..., float]:
    return lambda counts, text, bits, context: fitting.bytes_needed(counts, text, bits, context, **change)


def _all(before: Report, after: Report) -> list[Any]:
    return list(after)


LENGTHS = (
    Mistake("No answer yet", None),
    Mistake("Write a pair", 141_000),
    Mistake("Write a pair", (141_000, float("nan"))),
    Mistake("exchanged", fitting.longest_texts()[::-1]),
    Mistake("in bfloat16 is right, the one in int4 is wrong", (fitting.longest_texts()[0], 1)),
    *listed((said, fitting.longest_texts(**change)) for said, change in fitting.LENGTHS),
)

WRONG: dict[str, tuple[Mistake, ...]] = {
    "00.1": (
        *listed((said, _bytes(change)) for said, change in fitting.MISTAKES),
        Mistake("return a number of bytes", lambda counts, text, bits, context: "7"),
        Mistake("not a mistake this checker knows", lambda counts, text, bits, context: 7.0),
    ),
    "00.2": LENGTHS,
    "00.3": (
        *listed(fitting.WORSE_MISTAKES),
        Mistake("return a set or a list", lambda before, after: 3),
        Mistake("does not return names", _all),
        Mistake("Not yet: with nothing planted before, and fallback kernel", lambda before, after: ["torch"]),
    ),
}
