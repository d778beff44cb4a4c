"""Answers that are numbers: what a learner's function returns, as floats, and any answer in few enough characters."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .verdict import attempt

MOST_SHOWN = 60  # characters of an answer that a message repeats


def as_number(value: Any) -> float | None:
    """The number as a float, infinite if it is too large for one; None for what is no number, text and truth included.

    A tensor or an array counts if it holds one number.
    """
    if isinstance(value, str | bytes | bytearray | bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError, RuntimeError):  # the last is PyTorch's, of several numbers and of complex ones
        return None


def as_whole(value: Any) -> int | None:
    """The number as an int; None if it is a fraction, infinite, too large for a float, or no number."""
    number = as_number(value)
    return int(number) if number is not None and number % 1 == 0 else None


def numbers_of(
    answer: Any, inputs: Sequence[tuple], arguments: str, wanted: str = "a number"
) -> tuple[list[float], str]:
    """What a learner's function returns for each input, up to the first that is no number, and what is wrong with it.

    Args:
        arguments: how it is called, for the message: "(text, tokens)".
        wanted: what it should return, for the message.
    """
    if not callable(answer):
        return [], f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    found: list[float] = []
    for args in inputs:
        result, problem = attempt(answer, args, arguments)
        if problem:
            return found, problem
        number = as_number(result)
        if number is None:
            return found, f"It returns a {_kind(result)}; return {wanted}."
        if math.isnan(number):
            return found, f"It returns NaN, which is no number: is 0 divided by 0? Return {wanted}."
        found.append(number)
    return found, ""


def _kind(value: Any) -> str:
    shape = f" of shape {list(value.shape)}" if isinstance(value, Tensor) else ""
    return f"{type(value).__name__}{shape}"


def shown(value: Any, most: int = MOST_SHOWN) -> str:
    """An answer as it would be typed, its middle left out if it is longer than `most` characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # more digits than Python prints
        return "a number that is too long to show"
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"
