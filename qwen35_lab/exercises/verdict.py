"""How an answer is judged: tried on random inputs against the package's own code, mistakes known by their sign."""

import difflib
import inspect
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor

from ..analysis import gap
from ..errors import InputError

LOW_PRECISION = (torch.bfloat16, torch.float16)
Check = Callable[[Any, Any], tuple[bool, str]]  # (answer, given) -> (right, message)


@dataclass(frozen=True, repr=False)
class Verdict:
    """True if the answer is right. Shows itself as one line."""

    exercise: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.exercise}  {self.message}"

    def _repr_html_(self) -> str:
        colour = "var(--jp-success-color1,#388e3c)" if self.passed else "var(--jp-warn-color1,#f57c00)"
        mark = "✓" if self.passed else "✗"
        message = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(self.message))
        return (
            f'<p style="border-left:4px solid {colour};padding:0.2em 0.8em;margin:0.3em 0;line-height:1.45">'
            f"<b>{mark} {self.exercise}</b>&ensp;{message}</p>"
        )


def run_check(checks: Mapping[str, Check], exercise: str, answer: Any, given: Any) -> Verdict:
    """Look an exercise up and judge; an error inside the answer becomes part of the message."""
    if exercise not in checks:
        near = difflib.get_close_matches(str(exercise), checks, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the exercises are {', '.join(checks)}."
        raise InputError(f"There is no exercise {exercise!r}; {hint}")
    return Verdict(exercise, *checks[exercise](answer, given))


@dataclass(frozen=True)
class Mistake:
    """A wrong function that people write, and what to tell them."""

    diagnosis: str
    function: Callable[..., Any]


def grade_function(
    answer: Any, oracle: Callable[..., Tensor], inputs: Sequence[tuple], mistakes: Sequence[Mistake], *, arguments: str
) -> tuple[bool, str]:
    """Compare a function of tensors with the oracle.

    Args:
        inputs: argument tuples; a mistake is recognised on those in full precision, rounding on the others.
        arguments: how it is called, for the message: "(x, w, eps)".
    """
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    given, right = [], []
    for args in inputs:
        copies = tuple(a.clone() if isinstance(a, Tensor) else a for a in args)
        result, problem = attempt(answer, copies, arguments)
        expected = oracle(*args)
        problem = problem or _shape_problem(result, expected, args[0])
        if not problem and not all(map(_same, args, copies)):
            problem = "The function changes its input; compute a new tensor instead of writing into the old one."
        if problem:
            return False, problem
        given.append(result)
        right.append(expected)
    full = [n for n, args in enumerate(inputs) if args[0].dtype not in LOW_PRECISION]
    rounded = [n for n in range(len(inputs)) if n not in full]
    if not all(close(given[n], right[n]) for n in full):
        for mistake in mistakes:
            if all(close(given[n], mistake.function(*inputs[n])) for n in full):
                return False, mistake.diagnosis
        return False, _nearest(given, right, full, inputs)
    for n in rounded:
        if not close(given[n], right[n]):
            return False, _rounding(given[n], right[n])
    worst = max(gap(given[n], right[n]) for n in full)
    name = getattr(answer, "__name__", "it")
    return True, f"`{name}` agrees with the package on {len(inputs)} inputs, to {worst:.0e} of the largest value."


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


def attempt(answer: Callable[..., Any], args: tuple, arguments: str) -> tuple[Any, str]:
    """Call a learner's function. Returns what it gives, and a message if it cannot be used."""
    try:
        inspect.signature(answer).bind(*args)
    except TypeError as error:
        return None, f"It is called with {arguments}, but {error}."
    except ValueError:  # a built-in without a signature
        pass
    try:
        result = answer(*args)
    except NotImplementedError:
        return None, "Not written yet: fill in the stub and run this cell again."
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].line
        return None, f"It raises {type(error).__name__}: {error}" + (f", at `{line}`." if line else ".")
    if result is None or result is ...:
        return None, "It returns nothing yet: end the function with `return` and the result."
    return result, ""


def _shape_problem(result: Any, expected: Tensor, x: Tensor) -> str:
    if not isinstance(result, Tensor):
        return f"It returns a {type(result).__name__}; return a tensor."
    if result.shape != expected.shape:
        return (
            f"For x of shape {list(x.shape)} it returns shape {list(result.shape)}, not {list(expected.shape)}; "
            "did a mean lose its axis (keepdim=True)?"
        )
    if result.dtype != expected.dtype:
        return f"For {_name(x)} it returns {_name(result)}; the result has the input's dtype: end with `.to(x.dtype)`."
    return ""


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding; NaN equals NaN. In low precision nearly every number must be the same."""
    if a.dtype in LOW_PRECISION:
        return bool((a.double() - b.double()).norm() <= 5e-4 * b.double().norm())
    return torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


def _rounding(a: Tensor, b: Tensor) -> str:
    off = float((a.double() - b.double()).norm() / b.double().norm())
    if not off < 0.05:
        return f"Right in float32, but wrong in {_name(b)}; does the code depend on the dtype?"
    return (
        f"Right in float32, but in {_name(b)} it is off by {off:.1%}: it rounds before the end. Compute in float32 "
        "(`x.float()`, and `1 + w` in float32 too) and round once, on return."
    )


def _nearest(given: list[Tensor], right: list[Tensor], full: list[int], inputs: Sequence[tuple]) -> str:
    n = max(full, key=lambda n: gap(given[n].nan_to_num(torch.inf), right[n]))
    return (
        f"Not yet, and not a mistake this checker knows. For x of shape {list(inputs[n][0].shape)} the largest "
        f"difference is {gap(given[n], right[n]):.2g} of the largest value; compare yours with the equation, symbol by "
        "symbol."
    )


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
