"""Where tokens stand: the three positions of every token, and which of them each rotated pair of features follows."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..config import RopeConfig
from ..errors import InputError
from ..model.rope import inverse_frequencies
from . import theme
from .figure import Figure
from .words import listed, short, visible

AXES = ("time", "height", "width")
INK = dict(zip(AXES, ("deltanet", "attention", "ffn"), strict=True))
LINES = {"time": ("solid", "circle"), "height": ("dash", "square"), "width": ("dot", "diamond")}
HATCH = {"time": "", "height": "/", "width": "x"}


def position_chart(
    tokens: Sequence[str], positions: Tensor, pictured: Sequence[bool] | Tensor, *, provenance: object
) -> Figure:
    """The three positions of every token of a text with pictures.

    Args:
        tokens: their texts.
        positions: [3, token], time, height and width.
        pictured: which tokens are a picture's.
    Raises:
        InputError: the sizes do not fit.
    """
    where, marks = positions.tolist(), torch.as_tensor(pictured).tolist()
    if len(where) != 3 or {len(row) for row in where} != {len(tokens)} or len(marks) != len(tokens):
        raise InputError(f"There are {len(tokens)} tokens; pass positions [3, token] and one mark for each of them.")
    runs = _runs(marks)
    end = max(row[-1] for row in where)
    saved = len(tokens) - 1 - end
    figure = Figure(
        caption=f"{len(tokens)} tokens, {sum(marks)} of them in {_count(len(runs), 'picture')} (shaded). "
        f"The last token stands at position {end}"
        + (f": pictures take up {saved} positions fewer than they have tokens." if saved else ", its own number."),
        alt="Lines of time, height and width position over tokens. "
        + "; ".join(f"tokens {a} to {b - 1}: " + _spans(where, a, b) for a, b in _pieces(runs, len(tokens))),
        provenance=provenance,
    )  # fmt: skip
    for a, b in runs:
        figure.add_vrect(x0=a - 0.5, x1=b - 0.5, fillcolor=theme.COLOURS["stream"], opacity=0.16, line_width=0)
    names = [visible(token) if not mark else f"cell {n}" for n, (token, mark) in enumerate(zip(tokens, marks))]
    for axis, row in zip(AXES, where):
        dash, symbol = LINES[axis]
        figure.add_scatter(
            x=list(range(len(tokens))), y=row, mode="lines+markers", name=axis,
            line={"color": theme.COLOURS[INK[axis]], "dash": dash, "width": 2}, marker={"symbol": symbol, "size": 6},
            customdata=names, hovertemplate="token %{x} “%{customdata}”<br>" + axis + " %{y}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="token")
    figure.update_yaxes(title="position", rangemode="tozero")
    return figure


def _spans(where: Sequence[Sequence[int]], a: int, b: int) -> str:
    return listed([f"{name} {row[a]} to {max(row[a:b])}" for name, row in zip(AXES, where)])


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _runs(marks: Sequence[bool]) -> list[tuple[int, int]]:
    """Stretches of tokens that are marked, [first, after the last)."""
    found: list[tuple[int, int]] = []
    for n, mark in enumerate(marks):
        if mark and found and found[-1][1] == n:
            found[-1] = (found[-1][0], n + 1)
        elif mark:
            found.append((n, n + 1))
    return found


def _pieces(runs: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    edges = sorted({0, size, *(edge for run in runs for edge in run)})
    return list(pairwise(edges))


def axis_of_pair(pair: int, section: Sequence[int]) -> str:
    """Which position a rotated pair follows: 1, 4, 7, … height and 2, 5, 8, … width, as far as their sections go."""
    for offset, axis in ((1, "height"), (2, "width")):
        if pair % 3 == offset and pair < 3 * section[offset]:
            return axis
    return "time"


def channel_chart(head_dim: int, rope: RopeConfig, *, provenance: object, name: str = "") -> Figure:
    """Every rotated pair of a head: how many positions it needs for a turn, and which of the three it follows."""
    turns = 2 * torch.pi / inverse_frequencies(head_dim, rope)[0]
    axes = [axis_of_pair(n, rope.mrope_section) for n in range(len(turns))]
    counts = {axis: axes.count(axis) for axis in AXES}
    figure = Figure(
        caption=f"{name + ': ' if name else ''}{len(turns)} pairs turn, of {head_dim // 2} in a head: "
        + listed([f"{counts[axis]} by {axis}" for axis in AXES])
        + f". The fastest needs {short(float(turns[0]))} positions for a turn, the slowest {float(turns[-1]):,.0f}.",
        alt="Bars, pair by pair: "
        + ", ".join(f"{n} {axis} {short(float(t))}" for n, (axis, t) in enumerate(zip(axes, turns))),
        provenance=provenance,
    )  # fmt: skip
    for axis in AXES:
        own = [n for n, found in enumerate(axes) if found == axis]
        look: dict[str, Any] = {"color": theme.COLOURS[INK[axis]], "pattern": {"shape": HATCH[axis]}}
        figure.add_bar(
            x=own, y=turns[own].tolist(), name=axis, width=0.85, marker=look, text=[axis[0]] * len(own),
            textposition="outside", textfont={"color": theme.COLOURS["stream"]},
            hovertemplate="pair %{x} follows " + axis + "<br>a turn takes %{y:.4s} positions<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="rotated pair of features")
    figure.update_yaxes(title="positions for one turn, log scale", type="log", dtick=1, exponentformat="power")
    figure.update_layout(bargap=0.15, barmode="overlay")
    return figure
