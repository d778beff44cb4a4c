"""How far apart two tensors, or two traces, are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..trace import Trace
from .table import Table


def gap(ours: Tensor, reference: Tensor) -> float:
    """The largest difference, as a share of the largest reference value: max |a − b| / max |b|.

    Equal infinities count as equal. NaN anywhere gives NaN, which is below no bound.
    """
    difference, scale = largest(ours, reference)
    return difference / scale if scale else difference


def largest(ours: Tensor, reference: Tensor) -> tuple[float, float]:
    """max |a − b| and max |b| over the finite places, in float64."""
    if ours.shape != reference.shape:
        raise InputError(
            f"Shapes {list(ours.shape)} and {list(reference.shape)} differ; "
            "compare values of the same tokens and features."
        )
    a, b = ours.detach().double().cpu(), reference.detach().double().cpu()
    same = (a == b) & a.isinf()
    difference = (a - b).masked_fill(same, 0).abs()
    scale = b.masked_fill(b.isinf(), 0).abs()
    return (float(difference.max()), float(scale.max())) if a.numel() else (0.0, 0.0)


@dataclass(frozen=True, repr=False)
class Difference:
    """One value of two traces."""

    name: str  # of the tap
    difference: float  # max |a − b|
    scale: float  # max |b|

    @property
    def gap(self) -> float:
        return self.difference / self.scale if self.scale else self.difference

    def __repr__(self) -> str:
        return f"{self.name} differs by {self.difference:.2g}, {self.gap:.2g} of its largest value"


class Differences(tuple[Difference, ...]):
    """One `Difference` per tap, in the order in which the forward pass made the values."""

    def first(self, above: float = 1e-5) -> Difference | None:
        """The earliest value that differs by more than rounding, or None."""
        return next((d for d in self if not d.gap <= above), None)

    def table(self) -> Table:
        rows = tuple((d.name, f"{d.difference:.1e}", f"{d.scale:.3g}", f"{d.gap:.1e}") for d in self)
        headers = ("value", "max |difference|", "max |value|", "ratio")
        return Table(headers, rows, "<>>>", "In the order of the forward pass.")

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def diff(a: Trace, b: Trace) -> Differences:
    """Compare two traces of the same tokens, value by value, in the order in which the pass of `a` made them.

    Raises:
        InputError: the traces are of different tokens, or have no value in common.
    """
    if not torch.equal(a.ids.cpu(), b.ids.cpu()):
        raise InputError("The traces are of different tokens; trace the same prompt with both models.")
    common = [name for name in a if name in b.tensors]
    if not common:
        raise InputError("The traces have no value in common; record the same taps in both.")
    return Differences(Difference(name, *largest(a[name], b[name])) for name in common)
