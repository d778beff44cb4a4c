"""The exercises of notebook 04: the half-life of a head, and a fresh model that remembers (and chunked.py)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..analysis import state
from .chunked import check_chunked
from .verdict import Mistake, attempt, grade_function

# ---------------------------------------------------------------------------- 04.2  half_life(A_log, dt_bias, a)


def half_life(A_log: Tensor, dt_bias: Tensor, a: Tensor) -> Tensor:
    """The oracle: tokens until half is left, ln 2 / −g with g = −e^A_log softplus(a + dt_bias), in float64.

    A_log, dt_bias [head], a [..., head], the input of the gate -> [..., head].
    """
    g = -A_log.double().exp() * F.softplus(a.double() + dt_bias.double())
    return state.half_life(g).to(a.dtype)


def gate_inputs(seed: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    """One number per head, and per token and head; sums around 0, where softplus is neither e^x nor x."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(8,), (5, 8), (2, 3, 4)]
    return [tuple(torch.randn(s, generator=draw) for s in ((s[-1],), (s[-1],), s)) for s in shapes]  # type: ignore[misc]


def _from_rate(rate: Callable[..., Tensor], lives: Callable[[Tensor], Tensor] = lambda r: math.log(2) / r) -> Any:
    return lambda A_log, dt_bias, a: lives(rate(A_log, dt_bias, a))


def _rate(A_log: Tensor, dt_bias: Tensor, a: Tensor) -> Tensor:
    return A_log.exp() * F.softplus(a + dt_bias)


HALF_LIFE_MISTAKES = (
    Mistake(
        "That is 1/−g, the time until 1/e is left. Until one half is left it is ln 2 / −g: the natural logarithm, as g "
        "stands in e^g; log₂ 2 is 1.",
        _from_rate(_rate, lambda r: 1 / r),
    ),
    Mistake(
        "That is the logarithm to base 10; g stands in e^g, so take the natural one, ln 2 / −g.",
        _from_rate(_rate, lambda r: math.log10(2) / r),
    ),
    Mistake("That is g itself, a rate per token; the half-life is ln 2 / −g.", _from_rate(_rate, lambda r: -r)),
    Mistake("That is −g, a rate per token; the half-life is ln 2 / −g.", _from_rate(_rate, lambda r: r)),
    Mistake(
        "That is e^g, what is left after one token; the half-life is ln 2 / −g.",
        _from_rate(_rate, lambda r: (-r).exp()),
    ),
    Mistake(
        "That is the inverse, half-lives per token: turn the fraction over.",
        _from_rate(_rate, lambda r: r / math.log(2)),
    ),
    Mistake(
        "The sign: g is negative and a half-life is not, ln 2 / −g.",
        _from_rate(_rate, lambda r: -math.log(2) / r),
    ),
    Mistake(
        "A_log is a logarithm: the rate is e^A_log softplus(…), not A_log softplus(…).",
        _from_rate(lambda A_log, dt_bias, a: A_log * F.softplus(a + dt_bias)),
    ),
    Mistake(
        "The minus of g stands in front of the power, not in it: g = −e^A_log softplus(…), not e^−A_log softplus(…).",
        _from_rate(lambda A_log, dt_bias, a: (-A_log).exp() * F.softplus(a + dt_bias)),
    ),
    Mistake(
        "A_log is missing: every head has its own speed, e^A_log softplus(…).",
        _from_rate(lambda A_log, dt_bias, a: F.softplus(a + dt_bias)),
    ),
    Mistake(
        "softplus is missing: a + dt_bias can be negative, and then the memory would grow.",
        _from_rate(lambda A_log, dt_bias, a: A_log.exp() * (a + dt_bias)),
    ),
    Mistake(
        "softplus takes the sum: softplus(a + dt_bias), not softplus(a) + dt_bias.",
        _from_rate(lambda A_log, dt_bias, a: A_log.exp() * (F.softplus(a) + dt_bias)),
    ),
    Mistake(
        "softplus goes round too much: e^A_log stands outside it, e^A_log softplus(a + dt_bias).",
        _from_rate(lambda A_log, dt_bias, a: F.softplus(A_log.exp() * (a + dt_bias))),
    ),
    Mistake(
        "dt_bias is added, not subtracted: softplus(a + dt_bias).",
        _from_rate(lambda A_log, dt_bias, a: A_log.exp() * F.softplus(a - dt_bias)),
    ),
    Mistake(
        "dt_bias is missing: softplus(a + dt_bias).",
        _from_rate(lambda A_log, dt_bias, a: A_log.exp() * F.softplus(a)),
    ),
    Mistake(
        "The input a is missing: softplus(a + dt_bias); the gate depends on the token.",
        _from_rate(lambda A_log, dt_bias, a: (A_log.exp() * F.softplus(dt_bias)).expand_as(a)),
    ),
    Mistake(
        "softplus(x) = ln(1 + e^x); you take e^x, without the 1 and the logarithm.",
        _from_rate(lambda A_log, dt_bias, a: A_log.exp() * (a + dt_bias).exp()),
    ),
    Mistake(
        "That is the sigmoid, which makes β; g is made with softplus(x) = ln(1 + e^x).",
        _from_rate(lambda A_log, dt_bias, a: A_log.exp() * (a + dt_bias).sigmoid()),
    ),
)


def check_half_life(answer: Any, given: Any) -> tuple[bool, str]:
    arguments = "(A_log, dt_bias, a)"
    return grade_function(answer, half_life, gate_inputs(), HALF_LIFE_MISTAKES, arguments=arguments, any_dtype=True)


# ------------------------------------------------------------- 04.3  init_decay(heads, low, high) -> (A_log, dt_bias)

HEADS = 512  # so many that a random draw cannot miss by chance
RANGES = ((16.0, 256.0), (4.0, 1024.0), (0.25, 4.0))
SPREAD = 0.12  # largest distance from an even spread; by chance it is reached once in 10⁶


def check_init(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge the half-lives that a function's A_log and dt_bias give at input 0."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    for low, high in RANGES:
        result, problem = attempt(answer, (HEADS, low, high), "(heads, low, high)")
        if problem := problem or _not_parameters(result):
            return False, problem
        A_log, dt_bias = (x.double() for x in result)
        if problem := _life_problem(A_log, dt_bias, low, high):
            return False, f"For {low:g} to {high:g} tokens: {problem}"
    asked = ", ".join(f"{low:g}–{high:g}" for low, high in RANGES)
    return True, f"At input 0 the half-lives fill the range evenly on a logarithmic axis, for {asked} tokens."


def _not_parameters(result: Any) -> str:
    if not (isinstance(result, tuple | list) and len(result) == 2 and all(isinstance(x, Tensor) for x in result)):
        return "Return two tensors, (A_log, dt_bias)."
    for name, x in zip(("A_log", "dt_bias"), result, strict=True):
        if list(x.shape) != [HEADS]:
            return f"{name} has shape {list(x.shape)}; there is one number per head, [{HEADS}]."
        if not x.isfinite().all():
            return f"{name} holds NaN or infinity; is a logarithm of 0 or of something negative taken?"
    return ""


def _life_problem(A_log: Tensor, dt_bias: Tensor, low: float, high: float) -> str:
    lives = half_life(A_log, dt_bias, torch.zeros_like(dt_bias))
    if _fits(lives, low, high):
        return ""
    for diagnosis, meant in INIT_MISTAKES:
        if _fits(meant(A_log, dt_bias), low, high):
            return diagnosis
    least, most = float(lives.min()), float(lives.max())
    if (dt_bias == 1).all():
        return (
            f"with dt_bias = 1 the half-lives run from {least:.2g} to {most:.2g} tokens, as in a fresh model of "
            "transformers: what is written is gone before it is read. Choose dt_bias so that they fit."
        )
    if least < low * 0.999 or most > high * 1.001:
        return f"the half-lives run from {least:.3g} to {most:.3g}; choose dt_bias so that they lie between."
    return _spread_problem(lives, low, high, least, most)


def _spread_problem(lives: Tensor, low: float, high: float, least: float, most: float) -> str:
    if most < least * 1.001:
        return f"all heads forget with the same half-life, {least:.3g}; give every head its own."
    if _uneven(lives, low, high) < SPREAD:
        return "the half-lives are spread evenly in tokens, so few are short; draw their logarithm evenly instead."
    if _uneven(1 / lives, 1 / high, 1 / low) < SPREAD:
        return "the rates are spread evenly, so few half-lives are long; draw the logarithm evenly instead."
    return f"the half-lives lie between {least:.3g} and {most:.3g}, but not evenly on a logarithmic axis."


def _fits(lives: Tensor, low: float, high: float) -> bool:
    if not ((lives > low * 0.999) & (lives < high * 1.001)).all():
        return False
    return _uneven(lives.log(), math.log(low), math.log(high)) < SPREAD


def _uneven(x: Tensor, low: float, high: float) -> float:
    """The largest distance between x's distribution and the even one on [low, high] (Kolmogorov–Smirnov)."""
    even = (torch.arange(len(x)) + 0.5) / len(x)
    return float(((x.sort().values - low) / (high - low) - even).abs().max())


def _at_zero(A_log: Tensor, rate: Tensor) -> Tensor:
    return math.log(2) / (A_log.exp() * rate)


# what half-lives the learner meant, if the parameters were made by this mistake
INIT_MISTAKES: tuple[tuple[str, Callable[[Tensor, Tensor], Tensor]], ...] = (
    (
        "ln 2 is forgotten: the rate of a half-life h is ln 2 / h; with 1/h it is the time until 1/e is left.",
        lambda A_log, dt_bias: half_life(A_log, dt_bias, 0 * dt_bias) / math.log(2),
    ),
    (
        "the two come in the wrong order; return (A_log, dt_bias).",
        lambda A_log, dt_bias: half_life(dt_bias, A_log, 0 * dt_bias),
    ),
    (
        "dt_bias is set to the rate itself, but it goes through softplus first: take the inverse, ln(e^rate − 1).",
        lambda A_log, dt_bias: _at_zero(A_log, dt_bias),
    ),
    (
        "dt_bias is the softplus of the rate; it goes through softplus once more, so take the inverse, ln(e^rate − 1).",
        lambda A_log, dt_bias: _at_zero(A_log, dt_bias.expm1().log()),
    ),
    (
        "dt_bias is the logarithm of the rate, which is close for slow heads only; the inverse of softplus is "
        "ln(e^rate − 1).",
        lambda A_log, dt_bias: _at_zero(A_log, dt_bias.exp()),
    ),
    (
        "dt_bias fits the half-life itself, not its rate: softplus(dt_bias) is ln 2 / h.",
        lambda A_log, dt_bias: F.softplus(dt_bias),
    ),
    (
        "A_log is a logarithm: what you return as A_log is multiplied in as e^A_log.",
        lambda A_log, dt_bias: math.log(2) / (A_log * F.softplus(dt_bias)),
    ),
)


CHECKS = {"04.1": check_chunked, "04.2": check_half_life, "04.3": check_init}
