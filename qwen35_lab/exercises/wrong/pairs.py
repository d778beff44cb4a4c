"""From the pairs that a checker keeps, a diagnosis and a wrong answer, to mistakes."""

from collections.abc import Iterable
from typing import Any

from ..verdict import Mistake


def listed(pairs: Iterable[tuple[str, Any]]) -> tuple[Mistake, ...]:
    """Mistakes of pairs of a diagnosis and a wrong answer."""
    return tuple(Mistake(*pair) for pair in pairs)
