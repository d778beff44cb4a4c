"""Questions in batches of like length, which take as long as the longest in each."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def in_batches(lengths: Sequence[Any], size: int, ask: Callable[[list[int]], Sequence[Answer]]) -> list[Answer]:
    """Answers in the order of `lengths`; `ask` is given the places of at most `size` questions that are alike."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    found: dict[int, Answer] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        found |= zip(batch, ask(batch), strict=True)
    return [found[n] for n in range(len(lengths))]
