"""Number formats as data: which numbers each can hold, and how others are rounded to them.

    value = ± 2^(e − m) · (2^m + fraction)        normal: e from the exponent bits, m fraction bits
    value = ± 2^(e_min − m) · fraction            subnormal: below the smallest normal number the steps stay equal

So the step between neighbours is 2^(e − m), twice as wide from each power of two to the next. Whole numbers are the
same with one step, 1. `e4m3` is what PyTorch calls `float8_e4m3fn`: no infinity, and one pattern per sign for NaN, so
that its largest number is 448.

Reference: Micikevicius et al. 2022, FP8 formats for deep learning (arXiv 2209.05433), table 1; IEEE 754 for rounding to
the nearest, ties to even.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from .errors import InputError


@dataclass(frozen=True)
class Format:
    """A number format. Whole-number formats have no exponent bits."""

    name: str
    exponent_bits: int
    fraction_bits: int  # of a whole number: all bits but the sign
    largest: float
    dtype: torch.dtype | None = None  # PyTorch's own, where it has one

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        """What is taken off the stored exponent."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def smallest_normal(self) -> float:
        """Below it the steps no longer shrink; 1 for whole numbers."""
        return 2.0 ** (1 - self.bias) if self.exponent_bits else 1.0

    @property
    def smallest(self) -> float:
        """The smallest number above zero."""
        return self.smallest_normal * 2.0**-self.fraction_bits if self.exponent_bits else 1.0


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("fp32", 8, 23, torch.finfo(torch.float32).max, torch.float32),
        Format("bf16", 8, 7, torch.finfo(torch.bfloat16).max, torch.bfloat16),
        Format("fp16", 5, 10, 65_504.0, torch.float16),
        Format("e4m3", 4, 3, 448.0, torch.float8_e4m3fn),
        Format("e5m2", 5, 2, 57_344.0, torch.float8_e5m2),
        Format("int8", 0, 7, 127.0, torch.int8),
        Format("int4", 0, 3, 7.0),
    )
}


def find_format(name: str | Format) -> Format:
    """Raises InputError for a name that is not in `FORMATS`."""
    if isinstance(name, Format):
        return name
    if name not in FORMATS:
        raise InputError(f"There is no number format {name!r}; use {', '.join(FORMATS)}.")
    return FORMATS[name]


def step(x: Tensor, fmt: str | Format) -> Tensor:
    """The distance between the format's neighbours at each |x|, in x's shape."""
    fmt, x = find_format(fmt), x.double().abs()
    if not fmt.exponent_bits:
        return torch.ones_like(x)
    _, exponent = torch.frexp(x.clamp(min=fmt.smallest_normal, max=fmt.largest))  # x = fraction · 2^exponent, ½ ≤ f < 1
    return torch.ldexp(torch.ones_like(x), exponent - 1 - fmt.fraction_bits)


def round_to(x: Tensor, fmt: str | Format) -> Tensor:
    """The format's number nearest to each x, of two equally near ones the even one; in x's shape and dtype.

    What is larger than the largest becomes the largest, as quantisers do it. Whole numbers keep the balance, −largest
    to +largest, and leave out the one more that two's complement has below. NaN stays NaN.
    """
    fmt = find_format(fmt)
    width = step(x, fmt)
    near = (x.double() / width).round() * width  # torch rounds ties to even, and width is a power of two: exact
    return near.clamp(-fmt.largest, fmt.largest).to(x.dtype)


@cache
def _positive(fmt: Format) -> Tensor:
    if not fmt.exponent_bits:
        return torch.arange(int(fmt.largest) + 1, dtype=torch.float64)
    exponents = 2**fmt.exponent_bits
    fraction = torch.arange(2**fmt.fraction_bits, dtype=torch.float64) / 2**fmt.fraction_bits
    scale = 2.0 ** (torch.arange(exponents, dtype=torch.float64).clamp(min=1) - fmt.bias)
    lead = torch.arange(exponents).clamp(max=1)  # subnormal numbers begin with 0., normal ones with 1.
    values = (scale[:, None] * (lead[:, None] + fraction)).flatten()
    return values[values <= fmt.largest]


def grid(fmt: str | Format) -> Tensor:
    """All numbers of a format of up to 16 bits, rising, zero once: [number], float64.

    Raises:
        InputError: a format with more bits.
    """
    fmt = find_format(fmt)
    if fmt.bits > 16:
        raise InputError(f"{fmt.name} has too many numbers to list; ask for a format of up to 16 bits.")
    positive = _positive(fmt)
    return torch.cat((-positive[1:].flip(0), positive))


def bits(x: float, fmt: str | Format) -> str:
    """The bits of the format's number nearest to x: sign, exponent, fraction, such as `0 1000 110` for 3.5 in e4m3."""
    fmt = find_format(fmt)
    value = float(round_to(torch.tensor(x, dtype=torch.float64), fmt))
    if not fmt.exponent_bits:
        return f"{int(value) % 2**fmt.bits:0{fmt.bits}b}"  # two's complement
    size = abs(value)
    width = float(step(torch.tensor(size, dtype=torch.float64), fmt))
    whole = int(size / width)  # with the leading 1 of a normal number
    normal = whole >= 2**fmt.fraction_bits
    exponent = round(torch.tensor(width, dtype=torch.float64).log2().item()) + fmt.fraction_bits + fmt.bias
    fraction = whole % 2**fmt.fraction_bits
    sign = int(value < 0)
    return f"{sign} {exponent if normal else 0:0{fmt.exponent_bits}b} {fraction:0{fmt.fraction_bits}b}"
