"""How far apart two tensors, or two traces, are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..trace import Trace, slots, text_axes
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
    difference: float  # max |a − b|; infinite where the shapes differ
    scale: float  # max |b|
    shapes: tuple[str, str] | None = None  # "token 11 × choice 2" in each trace, where they are not the same

    @property
    def gap(self) -> float:
        return self.difference / self.scale if self.scale else self.difference

    def __repr__(self) -> str:
        if self.shapes:
            return f"{self.name} has another shape: {' and '.join(self.shapes)}"
        return f"{self.name} differs by {self.difference:.2g}, {self.gap:.2g} of its largest value"


class Differences(tuple[Difference, ...]):
    """One `Difference` per tap, in the order in which the forward pass made the values.

    `tokens` says how many were compared, `note` why not more: empty if the traces are of the same ones.
    """

    def __new__(cls, rows: Iterable[Difference], tokens: int, note: str = "") -> "Differences":
        found = super().__new__(cls, rows)
        found.tokens, found.note = tokens, note
        return found

    tokens: int
    note: str

    def first(self, above: float = 1e-5) -> Difference | None:
        """The earliest value that differs by more than rounding, or None."""
        return next((d for d in self if not d.gap <= above), None)

    def table(self) -> Table:
        rows = tuple(
            (d.name, *d.shapes, "other shape")
            if d.shapes
            else (d.name, f"{d.difference:.1e}", f"{d.scale:.3g}", f"{d.gap:.1e}")
            for d in self
        )
        headers = ("value", "max |difference|", "max |value|", "ratio")
        return Table(headers, rows, "<>>>", f"In the order of the forward pass. {self.note}".rstrip())

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass(frozen=True)
class Pair:
    """What two traces have in common: their first tokens, and the values of these by name, in the order of `a`."""

    tokens: int
    note: str  # where the traces part, in a sentence; empty if they are of the same tokens
    values: dict[str, tuple[Tensor, Tensor]]
    shapes: dict[str, tuple[str, str]]  # of the values that cannot be compared number by number


def pair(a: Trace, b: Trace) -> Pair:
    """Cut two traces to the tokens that they begin with alike.

    A token's values depend on nothing after it, so those of the common tokens can be compared whatever follows.

    Raises:
        InputError: no traces, different first tokens, or no value in common.
    """
    for each in (a, b):
        if not isinstance(each, Trace):
            raise InputError(f"A {type(each).__name__} is no trace; pass two that qwen.trace(…) returned.")
    ours, theirs = a.ids.tolist(), b.ids.tolist()
    tokens = next(
        (n for n, (x, y) in enumerate(zip(ours, theirs, strict=False)) if x != y), min(len(ours), len(theirs))
    )
    if not tokens:
        raise InputError(
            f"The traces begin with different tokens ({a.tokens[0]!r} and {b.tokens[0]!r}); trace texts that begin "
            "alike."
        )
    common = [name for name in a if name in b.tensors]
    if not common:
        raise InputError("The traces have no value in common; record the same taps in both.")
    values, shapes = {}, {}
    for name in common:
        kept = slots(name, tokens)
        x, y = (_beginning(trace[name].as_subclass(Tensor), trace.axes[name], kept) for trace in (a, b))
        values[name] = (x, y)
        if x.shape != y.shape or a.axes[name] != b.axes[name]:
            shapes[name] = (_in_words(x, a.axes[name]), _in_words(y, b.axes[name]))
    return Pair(tokens, _parting(a, b, tokens), values, shapes)


def _beginning(value: Tensor, axes: Sequence[str], tokens: int) -> Tensor:
    for axis in text_axes(axes):
        value = value.narrow(axis, 0, tokens)
    return value


def _in_words(value: Tensor, axes: Sequence[str]) -> str:
    return " × ".join(f"{axis} {size}" for axis, size in zip(axes, value.shape, strict=True))


def _parting(a: Trace, b: Trace, tokens: int) -> str:
    if tokens == len(a.ids) == len(b.ids):
        return ""
    if tokens == min(len(a.ids), len(b.ids)):
        return f"The traces have {len(a.ids)} and {len(b.ids)} tokens; the {tokens} that both have are compared."
    return (
        f"The first {tokens} tokens are the same and are compared; token {tokens} is {a.tokens[tokens]!r} in one trace "
        f"and {b.tokens[tokens]!r} in the other."
    )


def diff(a: Trace, b: Trace) -> Differences:
    """Compare two traces value by value, in the order in which the pass of `a` made them.

    Of different texts the tokens before the first different one are compared, and `note` says so. A value of another
    shape (fewer experts per token, another model) is a row that says its shapes, and counts as different.

    Raises:
        InputError: the traces begin with different tokens, or have no value in common.
    """
    found = pair(a, b)
    rows = (
        Difference(name, torch.inf, _size(both[1]), found.shapes[name])
        if name in found.shapes
        else Difference(name, *largest(*both))
        for name, both in found.values.items()
    )
    return Differences(rows, found.tokens, found.note)


def _size(value: Tensor) -> float:
    """max |value| over the finite places."""
    return largest(value, value)[1]
