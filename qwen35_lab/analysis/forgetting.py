"""Numbers just below one: what a memory keeps when its fading is rounded.

A DeltaNet state is multiplied by α = e^g at every token, g ≤ 0. A half-life of h tokens is α = 2^(−1/h), which comes
closer to one than a short format can tell: the numbers of bf16 below one end at 1 − 2⁻⁸, so that α above 1 − 2⁻⁹
becomes one, and nothing fades any more. The logarithm g has no such trouble: near zero a floating format is finest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..formats import find_format, round_to

WAYS = ("all in fp32", "g rounded to bf16", "α rounded to bf16", "state rounded to bf16")


@dataclass(frozen=True)
class Fading:
    """What is left of 1 after each step, [way, step + 1], and the exact value in float64."""

    ways: tuple[str, ...]
    left: Tensor
    exact: Tensor  # [step + 1]
    distinct: int  # different values of α in bf16
    in_float32: int  # and in float32


def random_decays(steps: int, most: float = 1e-3, seed: int = 0) -> Tensor:
    """g of every step, uniform between −most and 0, [step], float32."""
    return -most * torch.rand(steps, generator=torch.Generator().manual_seed(seed))


def fading(g: Tensor) -> Fading:
    """Multiply 1 by e^g, step after step, in four ways of rounding; g [step], not above 0."""
    g = g.float()
    alpha = g.exp()
    short = round_to(alpha, "bf16")
    factors = torch.stack((alpha, round_to(g, "bf16").exp(), short, alpha))
    state, left = torch.ones(len(WAYS)), [torch.ones(len(WAYS))]
    for factor in factors.T:
        state = state * factor
        state[-1] = round_to(state[-1], "bf16")
        left.append(state)
    exact = torch.cat((torch.zeros(1, dtype=torch.float64), g.double().cumsum(0))).exp()
    return Fading(WAYS, torch.stack(left, 1), exact, len(short.unique()), len(alpha.unique()))


def half_life_after(half_lives: Sequence[float], fmt: str, *, logarithm: bool = False) -> list[float]:
    """The half-life, in tokens, that is left when α = 2^(−1/h) is rounded to a format; infinite where α becomes one.

    Args:
        logarithm: round g = −ln 2 / h instead, and take α from that.
    """
    h = torch.tensor(list(half_lives), dtype=torch.float64)
    g = -math.log(2) / h
    g = round_to(g, fmt) if logarithm else round_to(g.exp(), fmt).log()
    return [-math.log(2) / value if value < 0 else math.inf for value in g.tolist()]


def longest_half_life(fmt: str) -> float:
    """Beyond it α rounds to one: halfway between one and the format's next number below it. In tokens."""
    name = find_format(fmt)
    return math.log(2) / -math.log1p(-(2.0 ** -(name.fraction_bits + 2)))
