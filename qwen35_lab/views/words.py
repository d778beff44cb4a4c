"""How tokens and numbers are written in figures and captions."""

from collections.abc import Sequence
from typing import SupportsFloat

LABELS = 48  # more tokens than this are numbered, not named


def visible(text: str) -> str:
    """A token as it should be shown: spaces and line ends can be seen."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅"


def numbered(tokens: Sequence[str]) -> list[str]:
    """Tokens as they are shown, with their places, so that equal ones stay apart on an axis."""
    return [f"{n} {visible(token)}" for n, token in enumerate(tokens)]


def sizes(axes: Sequence[str], shape: Sequence[int]) -> str:
    """`token: 11 × head: 4`; the colon says that 11 is how many there are, and not one of them."""
    return " × ".join(f"{axis}: {size}" for axis, size in zip(axes, shape, strict=True))


def short(value: float) -> str:
    """Three digits, and no exponent for what can be read without."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def minus(text: str) -> str:
    """A number with a real minus sign."""
    return text.replace("-", "−")


def signed(value: SupportsFloat) -> str:
    """Two decimals, a real minus, and no minus before zero."""
    return minus(f"{round(float(value), 2) + 0.0:.2f}")


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
