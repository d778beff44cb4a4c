"""Claims that are checked where they are made.

claim("the cache changes nothing", gap(cached, full), below=1e-4)
✓ the cache changes nothing (measured 3.1e-07, below 0.0001)
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Claim:
    """A statement, what was measured, and what had to hold."""

    statement: str
    measured: Any
    bound: str  # "below 0.0001"
    holds: bool

    def __str__(self) -> str:
        measured = f"measured {show(self.measured)}"
        if self.holds and self.bound == f"equal to {show(self.measured)}":
            return f"✓ {self.statement} ({measured})"
        if self.holds and self.bound.startswith("equal in all"):
            return f"✓ {self.statement} ({self.bound})"
        if self.holds:
            return f"✓ {self.statement} ({measured}, {self.bound})"
        return f"Not so: “{self.statement}”. Measured {show(self.measured)}, which is not {self.bound}."


_claims: dict[str, Claim] = {}


def claim(
    statement: str, measured: Any, *, below: float | None = None, above: float | None = None, equals: Any = None,
    within: float = 0.0,
) -> None:  # fmt: skip
    """Print a ✓ line if a measured value keeps what the statement promises; raise AssertionError if it does not.

    Args:
        measured: a number, a truth value, or anything that `equals` can be compared with; with bounds alone, a tensor
            must satisfy them everywhere. NaN satisfies nothing.
        below, above: strict bounds.
        equals: the value it must have, up to `within` for numbers. With none of the three it must be true.
    """
    if below is None and above is None and equals is None:
        equals = True
    if within and equals is None:
        raise TypeError("`within` is the tolerance of `equals`; pass both")
    places = measured.numel() if isinstance(measured, Tensor) and isinstance(equals, Tensor) else 0
    wanted = [f"{word} {show(bound)}" for word, bound in (("below", below), ("above", above)) if bound is not None]
    if equals is not None:
        target = f"equal in all {places:,} places" if places > 1 else f"equal to {show(equals)}"
        wanted.append(target + (f" ± {within:g}" if within else ""))
    holds = (
        (below is None or _everywhere(measured, lambda x: x < below))
        and (above is None or _everywhere(measured, lambda x: x > above))
        and (equals is None or _equal(measured, equals, within))
    )
    found = Claim(statement, measured, " and ".join(wanted), bool(holds))
    _claims[statement] = found  # a cell that runs twice makes its claim once
    if not found.holds:
        raise AssertionError(str(found))
    print(found)


def made() -> tuple[Claim, ...]:
    """All claims made in this kernel so far, in order."""
    return tuple(_claims.values())


def _everywhere(measured: Any, holds: Any) -> bool:
    return bool(holds(measured).all()) if isinstance(measured, Tensor) else bool(holds(measured))


def _equal(measured: Any, wanted: Any, within: float) -> bool:
    if isinstance(measured, Tensor) or isinstance(wanted, Tensor):
        a, b = torch.as_tensor(measured), torch.as_tensor(wanted)
        return a.shape == b.shape and bool(((a - b).abs() <= within).all() if within else (a == b).all())
    if within:
        return math.isclose(measured, wanted, rel_tol=0, abs_tol=within)
    return bool(measured == wanted)


def show(value: Any) -> str:
    """A value as short as it can be said."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            return f"a tensor {list(value.shape)} from {show(value.min())} to {show(value.max())}"
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)
    return f"{value:.2g}" if value and abs(value) < 1e-3 else f"{value:.4g}"
