"""How an answer is judged: tried on random inputs against the package's own code, mistakes known by their sign."""

import difflib
import inspect
import math
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
        near = difflib.get_close_matches(f"{exercise!s:0>4}", checks, n=1)  # 2.1 is 02.1
        hint = f"did you mean {near[0]!r}?" if near else f"the exercises are {', '.join(checks)}."
        raise InputError(f"There is no exercise {exercise!r}; {hint}")
    return Verdict(exercise, *checks[exercise](answer, given))


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give, most often a function, and what to tell them (or words of it)."""

    diagnosis: str
    answer: Any
    given: Callable[[], Any] | None = None  # makes what the exercise is about, where it is about something


Result = tuple[Tensor, ...]
NOTHING = "It returns nothing yet: end the function with `return` and the result."
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True)
class Names:
    """How a function is called and what it returns, as its definition would say it."""

    arguments: str
    returns: str

    @property
    def first(self) -> str:
        return self.arguments.strip("()").split(",")[0]

    @property
    def results(self) -> list[str]:
        return self.returns.strip("()").split(", ")


def _parts(result: Any) -> Result:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def grade_function(
    answer: Any,
    oracle: Callable[..., Any],
    inputs: Sequence[tuple],
    mistakes: Sequence[Mistake],
    *,
    arguments: str,
    returns: str = "",
    any_dtype: bool = False,
    simple: Mapping[str, tuple] | None = None,
) -> tuple[bool, str]:
    """Compare a function of tensors with the oracle.

    Args:
        inputs: argument tuples; a mistake is recognised on those in full precision, rounding on the others.
        arguments: how it is called, for the message: "(x, w, eps)".
        returns: what it returns, where that is several tensors: "(S, o)".
        any_dtype: a result in another precision than the oracle's is right too.
        simple: inputs where part of the equation drops out, by what is special about them, "where g = 0". A mistake
            that is not known is told on which of them the answer is still right.
    """
    names = Names(arguments, returns)
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    given, right, problem = _try_all(answer, oracle, inputs, names, any_dtype)
    full = [n for n in range(len(given)) if inputs[n][0].dtype not in LOW_PRECISION]
    if not all(agree(given[n], right[n]) for n in full):
        for mistake in mistakes:
            if all(agree(given[n], _parts(mistake.answer(*inputs[n]))) for n in full):
                return False, mistake.diagnosis
        if problem:
            return False, problem
        still = [words for words, args in (simple or {}).items() if _is_right(answer, oracle, args, names, any_dtype)]
        return False, _nearest(given, right, full, inputs, names) + _clue(given, right, full, names, simple, still)
    if problem:
        return False, problem
    for n in range(len(inputs)):
        if n not in full and not agree(given[n], right[n]):
            return False, _rounding(given[n][0], right[n][0])
    worst = max(gap(a, b) for n in full for a, b in zip(given[n], right[n], strict=True))
    name = getattr(answer, "__name__", "it")
    return True, f"`{name}` agrees with the package on {len(inputs)} inputs, to {worst:.0e} of the largest value."


def _try_all(
    answer: Callable[..., Any], oracle: Callable[..., Any], inputs: Sequence[tuple], names: Names, any_dtype: bool
) -> tuple[list[Result], list[Result], str]:
    """Results, the oracle's, and the first problem, which ends the list: what came before may tell the mistake."""
    given: list[Result] = []
    right: list[Result] = []
    problem = ""
    for args in inputs:
        right.append(_parts(oracle(*args)))
        result, problem = _try(answer, args, right[-1], names, any_dtype)
        if result:
            given.append(result)
        if problem:
            break
    return given, right, problem


def _try(
    answer: Callable[..., Any], args: tuple, expected: Result, names: Names, any_dtype: bool
) -> tuple[Result | None, str]:
    """What a learner's function returns for one input, if that can be compared, and what is wrong with it."""
    copies = tuple(a.clone() if isinstance(a, Tensor) else a for a in args)
    result, problem = attempt(answer, copies, names.arguments)
    if problem:
        return None, problem
    if problem := _kind_problem(result, expected, names):
        return None, problem
    parts = _parts(result)
    if any_dtype:
        parts = tuple(a if a.is_complex() else a.to(b.dtype) for a, b in zip(parts, expected, strict=True))
    problem = _shape_problem(parts, expected, args[0], names)
    if not problem and not all(map(_same, args, copies)):
        return None, "The function changes its input; compute a new tensor instead of writing into the old one."
    return parts, problem


def _is_right(
    answer: Callable[..., Any], oracle: Callable[..., Any], args: tuple, names: Names, any_dtype: bool
) -> bool:
    expected = _parts(oracle(*args))
    result, _ = _try(answer, args, expected, names, any_dtype)
    return result is not None and agree(result, expected)


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


def attempt(answer: Callable[..., Any], args: tuple, arguments: str) -> tuple[Any, str]:
    """Call a learner's function. Returns what it gives, and a message if it cannot be used."""
    try:
        inspect.signature(answer).bind(*args)
    except TypeError:
        count = len(args)
        plural = "argument" if count == 1 else "arguments"
        takes = inspect.signature(answer)
        return None, f"Your function must take {NUMBERS[count]} {plural}, {arguments}; so far it takes {takes}."
    except ValueError:  # a built-in without a signature
        pass
    try:
        result = answer(*args)
    except NotImplementedError:
        return None, "Not written yet: fill in the stub and run this cell again."
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].line
        where = f", at `{line}`." if line else "."
        return None, f"It raises {type(error).__name__}: {error}{where}{_lost_axis(error)}"
    if result is None or result is ...:
        return None, NOTHING
    return result, ""


def _lost_axis(error: Exception) -> str:
    """A hint, where sizes do not fit in a function that reduces an axis."""
    called = {name for frame, _ in traceback.walk_tb(error.__traceback__) for name in frame.f_code.co_names}
    reduces = {"mean", "sum", "norm", "std", "var"} & called
    if not (reduces and "must match the size" in str(error)):
        return ""
    return f" Did `{min(reduces)}` lose the axis that it runs over? With `keepdim=True` it keeps it, with length one."


def _kind_problem(result: Any, expected: Result, names: Names) -> str:
    if names.returns and not (isinstance(result, tuple | list) and len(result) == len(expected)):
        return f"It returns a {type(result).__name__}; return the {len(expected)} tensors {names.returns}."
    if not names.returns and not isinstance(result, Tensor):
        return f"It returns a {type(result).__name__}; return a tensor."
    wrong = [type(part).__name__ for part in _parts(result) if not isinstance(part, Tensor)]
    return f"One of {names.returns} is a {wrong[0]}; return tensors." if wrong else ""


def _shape_problem(result: Result, expected: Result, x: Tensor, names: Names) -> str:
    shapes, wanted = ([list(part.shape) for part in parts] for parts in (result, expected))
    if shapes != wanted:
        if shapes[::-1] == wanted:
            return f"The results come in the wrong order; return {names.returns}."
        n = next(n for n, shape in enumerate(shapes) if shape != wanted[n])
        what = names.results[n] + " of " if names.returns else ""
        lost = "; did a sum or mean lose its axis (keepdim=True)?" if len(shapes[n]) < len(wanted[n]) else "."
        return f"For {names.first} of shape {list(x.shape)} it returns {what}shape {shapes[n]}, not {wanted[n]}" + lost
    for part, right in zip(result, expected, strict=True):
        if part.dtype != right.dtype:
            end = "the result has the input's dtype: end with `.to(x.dtype)`."
            return f"For {_name(x)} it returns {_name(part)}; {end}"
    return ""


def agree(a: Result, b: Result) -> bool:
    """The same tensors up to rounding."""
    return len(a) == len(b) and all(x.shape == y.shape and close(x, y) for x, y in zip(a, b, strict=True))


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding; NaN equals NaN. In low precision nearly every number must be the same."""
    if a.is_complex():
        return False
    if a.dtype in LOW_PRECISION:
        return bool((a.double() - b.double()).norm() <= 5e-4 * b.double().norm())
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)


def _rounding(a: Tensor, b: Tensor) -> str:
    off = float((a.double() - b.double()).norm() / b.double().norm())
    if not off < 0.05:
        return f"Right in float32, but wrong in {_name(b)}; does the code depend on the dtype?"
    return (
        f"Right in float32, but in {_name(b)} it is off by {off:.1%}: it rounds before the end. Compute in float32 "
        "(`x.float()`, and `1 + w` in float32 too) and round once, on return."
    )


def _nearest(given: list[Result], right: list[Result], full: list[int], inputs: Sequence[tuple], names: Names) -> str:
    def off(n: int) -> float:
        return max(gap(a.nan_to_num(torch.inf), b) for a, b in zip(given[n], right[n], strict=True))

    n = max(full, key=off)
    shape = f"for {names.first} of shape {list(inputs[n][0].shape)}"
    if not all(part.isfinite().all() for part in given[n]):
        return f"Not yet: {shape} the result holds NaN or infinity. Is something divided by 0, or too large for `exp`?"
    return (
        f"Not yet, and not a mistake this checker knows: {shape} it is off by up to {_times(off(n))} largest right "
        "value. Compare yours with the equation, symbol by symbol."
    )


def _times(share: float) -> str:
    """Two digits, without an exponent: `1.2 times the`, `7,100 times the`, `13% of the`."""
    if share < 1:
        return f"{share:.2g} of the" if share < 0.01 else f"{share:.0%} of the"
    digits = max(0, 1 - math.floor(math.log10(share)))
    return f"{round(share, 1 - math.floor(math.log10(share))):,.{digits}f} times the"


def _clue(
    given: list[Result], right: list[Result], full: list[int], names: Names, simple: Mapping | None, still: list[str]
) -> str:
    """Which of several results is wrong, and where the answer is right all the same."""
    pairs = [list(zip(given[n], right[n], strict=True)) for n in full]
    wrong = [any(not close(*row[part]) for row in pairs) for part in range(len(pairs[0]))]
    said = [f"{name} is {'wrong' if bad else 'right'}" for name, bad in zip(names.results, wrong, strict=False)]
    clue = f" {', '.join(said)}." if names.returns else ""
    if simple:
        clue += f" It is right {', '.join(still)}." if still else f" It is right neither {', nor '.join(simple)}."
    return clue


def _name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
