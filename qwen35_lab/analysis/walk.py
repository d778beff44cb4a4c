"""A forward pass as a list of stops, one per value, in the order in which the pass made them.

Each stop knows its equation, its meaning, the line of our source that makes the value, and the values it is made from.
`divergence` says at which of them, and at which token, two passes part.
"""

import ast
import inspect
import linecache
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..model import TextModel, delta_rule, taps
from ..trace import Trace, slots
from .compare import pair
from .equations import EQUATIONS, STREAM, Equation

PARTS = {"mixer": "mixer", "ffn": "feed-forward"}  # of a layer, as the tree calls them
RECURRENT = ("erase", "write", "state")  # made by the loop over tokens, in this order
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Place:
    """Where a value is made: the call of its tap, or of `watch` inside the recurrence."""

    file: str  # below the folder that holds the package, with forward slashes
    line: int  # the first is 1
    last_line: int
    start: int  # columns of the call, in characters: from `start` on `line` to before `end` on `last_line`
    end: int

    def excerpt(self, around: int = 3) -> tuple[int, list[str]]:
        """The lines round it in its function, without their line ends, and the number of the first."""
        lines = [line.rstrip() for line in linecache.getlines(str(PACKAGE.parent / self.file))]
        first, last = self.line, self.last_line
        while first > max(1, self.line - around) and lines[first - 2] and not _begins(lines[first - 1]):
            first -= 1
        while last < min(len(lines), self.last_line + around) and lines[last] and not _begins(lines[last]):
            last += 1
        return first, lines[first - 1 : last]


@dataclass(frozen=True)
class Stop:
    """One value of the pass."""

    name: str  # of the tap
    layer: int | None
    kind: str | None  # of the layer, as `layer_types` writes it
    operation: str  # the last part of the name
    axes: tuple[str, ...]
    equation: Equation
    meaning: str
    place: Place
    reads: tuple[str, ...]  # names of stops before this one


@dataclass(frozen=True)
class Node:
    """A branch of the tree of the computation: its leaves, from top to bottom, are the stops in their order."""

    label: str
    kind: str | None  # "linear_attention" or "full_attention" for a layer, None otherwise
    children: "tuple[Node | Stop, ...]"


def _begins(line: str) -> bool:
    return line.lstrip().startswith(("def ", "class "))


def walk(model: TextModel, trace: Trace) -> list[Stop]:
    """The stops of a trace, in the order in which the pass made the values.

    Raises:
        InputError: the trace has a value that is none of this model's.
    """
    found = dict(taps(model))
    if strange := [name for name in trace if name not in found]:
        raise InputError(f"This model has no tap {strange[0]!r}; pass the model that the trace was made with.")
    stops, stream = [], ""
    for name in trace:
        owner, operation = _owner(name, model)
        layer = int(name.split(".")[1]) if name.startswith("layers.") else None
        stops.append(
            Stop(
                name, layer, None if layer is None else model.config.layer_types[layer], operation, trace.axes[name],
                EQUATIONS[owner.__name__][operation], found[name].meaning, place(owner, operation),
                tuple(dict.fromkeys(_reads(name, model, trace, stream))),
            )
        )  # fmt: skip
        if name in ("embed", "vision.patches", "mtp.joined") or operation == "output":
            stream = name
    return stops


def _owner(name: str, model: TextModel) -> tuple[type, str]:
    """The class whose code calls a tap, and the tap's name there."""
    owner, _, operation = name.rpartition(".")
    classes = type(model.get_submodule(owner)).__mro__  # a model with eyes leaves the most to the text model
    return next(each for each in classes if operation in EQUATIONS.get(each.__name__, ())), operation


def _reads(name: str, model: TextModel, trace: Trace, stream: str) -> Iterator[str]:
    """What a tap's equation reads; in place of a value that was not recorded, what that one is made from."""
    owner, operation = _owner(name, model)
    inside = re.match(r"((mtp\.)?layers|vision\.blocks)\.\d+\.", name)
    prefix = inside[0] if inside else ""
    for path in EQUATIONS[owner.__name__][operation].reads:
        source = stream if path == STREAM else prefix + path
        if source in trace.tensors:
            yield source
        elif source:
            yield from _reads(source, model, trace, stream)


def tree(stops: Sequence[Stop]) -> Node:
    """Model, then layers, then mixer and feed-forward, then operations."""
    children: list[Node | Stop] = []
    for layer, group in groupby(stops, lambda stop: stop.layer):
        inside = list(group)
        if layer is None:
            children += inside
        else:
            children.append(Node(f"layer {layer}", inside[0].kind, tuple(_parts(inside))))
    return Node("model", None, tuple(children))


def _parts(stops: Sequence[Stop]) -> Iterator[Node | Stop]:
    for part, group in groupby(stops, lambda stop: stop.name.split(".")[2]):
        if part in PARTS:
            yield Node(PARTS[part], None, tuple(group))
        else:
            yield from group


@cache
def place(owner: type, operation: str) -> Place:
    """Where `owner` makes the value of one of its taps, found by reading its source.

    Raises:
        InputError: nothing in the source calls this tap.
    """
    for thing in (owner, delta_rule.recurrent):  # the taps of the recurrence are called by the loop itself
        lines, first = inspect.getsourcelines(thing)
        for node in ast.walk(ast.parse("".join(lines))):
            if isinstance(node, ast.Call) and _calls(node, operation):
                return _place(thing, lines, first, node)
    raise InputError(f"{owner.__name__} has no line that calls the tap {operation!r}; is it one of its taps?")


def _calls(node: ast.Call, operation: str) -> bool:
    """`self.beta(…)`, or `watch("state", …)`"""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr == operation and isinstance(function.value, ast.Name) and function.value.id == "self"
    first = node.args[0] if node.args else None
    return (
        isinstance(function, ast.Name) and function.id == "watch"
        and isinstance(first, ast.Constant) and first.value == operation
    )  # fmt: skip


def _place(thing: Any, lines: list[str], first: int, node: ast.Call) -> Place:
    file = Path(inspect.getsourcefile(thing) or "").relative_to(PACKAGE.parent)
    last = node.end_lineno or node.lineno
    start, end = (  # ast counts bytes
        len(lines[line - 1].encode()[:column].decode())
        for line, column in ((node.lineno, node.col_offset), (last, node.end_col_offset or 0))
    )
    return Place(file.as_posix(), first + node.lineno - 1, first + last - 1, start, end)


def token_axis(axes: Sequence[str]) -> int:
    """Which axis is the tokens': in an attention map the queries'."""
    return axes.index("token") if "token" in axes else axes.index("query")


def token_gaps(a: Trace, b: Trace) -> dict[str, Tensor]:
    """How far two passes are apart at every token that they begin with alike: name -> [token].

    max |a − b| over what belongs to the token, as a share of max |b| over all tokens; the largest is `diff`'s ratio.
    NaN in one place is NaN at its token only. A value of another shape is infinitely far. What the vision tower makes
    belongs to no token, and is left out.

    Raises:
        InputError: the traces begin with different tokens, or have no value in common.
    """
    gaps, found = {}, pair(a, b)
    for name, both in found.values.items():
        if name.startswith("vision.") or not slots(name, found.tokens):
            continue
        if name in found.shapes:
            gaps[name] = torch.full((slots(name, found.tokens),), torch.inf, dtype=torch.float64)
            continue
        ours, theirs = (value.detach().double().cpu() for value in both)
        difference = (ours - theirs).masked_fill((ours == theirs) & ours.isinf(), 0).abs()
        rows = difference.movedim(token_axis(a.axes[name]), 0).flatten(1)
        gaps[name] = rows.amax(1) / (float(theirs.nan_to_num(0, 0, 0).abs().max()) or 1)
    return gaps


class Divergence(tuple[str, int]):
    """(name, token): the earliest value that differs, and the earliest token there. Prints itself as a sentence."""

    note: str  # where the texts part, if they do; see `compare.Differences`

    def __new__(cls, name: str, token: int, note: str = "") -> "Divergence":
        found = super().__new__(cls, (name, token))
        found.note = note
        return found

    def __repr__(self) -> str:
        return f"{self[0]} differs first, at token {self[1]}. {self.note}".rstrip()


def divergence(a: Trace, b: Trace, above: float = 1e-5) -> Divergence | None:
    """The earliest value of `a` that differs from `b` by more than rounding, and the earliest token there, or None.

    Of different texts the tokens before the first different one are compared.

    Args:
        above: what counts as rounding, as a share of the value's largest entry.
    Raises:
        InputError: the traces begin with different tokens, or have no value in common.
    """
    apart = {name: ~(gaps <= above) for name, gaps in token_gaps(a, b).items()}  # NaN is no rounding
    first = {name: int(where.nonzero()[0]) for name, where in apart.items() if where.any()}
    if not first:
        return None
    name = next(iter(first))
    owner, _, operation = name.rpartition(".")
    if operation in RECURRENT:  # these are made in turns, token by token
        turns = [f"{owner}.{turn}" for turn in RECURRENT if f"{owner}.{turn}" in first]
        name = min(turns, key=lambda turn: first[turn])
    return Divergence(name, first[name], pair(a, b).note)
