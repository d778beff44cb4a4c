"""What the stepper shows, as plain values and arrays: no widget and no picture here."""

from dataclasses import replace
from functools import cache
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..analysis.compare import pair
from ..analysis.walk import PACKAGE, Node, Place, Stop, divergence, token_axis, token_gaps, tree, walk
from ..errors import InputError
from ..model import TextModel
from ..trace import Trace
from . import theme
from .elevator_data import peaks
from .words import sizes, visible

BYTES = 1_750_000  # of all values and differences together, before base64 makes a third more of them


def describe(model: TextModel, trace: Trace, against: Trace | None = None, above: float = 1e-5) -> dict[str, Any]:
    """All that the stepper shows. `above` is what counts as rounding, see `divergence`."""
    stops = walk(model, trace)
    gaps, shapes = _compare(trace, against) if against else ({}, {})
    places = {stop.name: n for n, stop in enumerate(stops)}
    apart = divergence(trace, against, above) if against else None
    sources: dict[Place, int] = {}
    values = {stop.name: per_token(trace[stop.name], stop.axes) for stop in stops}
    differences = {name: _difference(values[name], per_token(against[name], trace.axes[name]))
                   for name in gaps if against and name not in shapes}  # fmt: skip
    cells, exact = room([prod(x.shape[1:]) for x in (*values.values(), *differences.values())], len(trace.tokens))
    return {
        "provenance": str(trace.provenance),
        "badge": theme.kind_of(trace.provenance),
        "against": str(against.provenance) if against else None,
        "colours": theme.COLOURS,
        "tokens": [visible(token) for token in trace.tokens],
        "ids": trace.ids.tolist(),
        "above": above,
        "apart": [places[apart[0]], apart[1]] if apart else None,  # stop and token of the first difference
        "exact": exact,
        "tree": _branch(tree(stops), places),
        "stops": [
            _stop(stop, trace) | {
                "reads": [places[name] for name in stop.reads],
                "source": sources.setdefault(stop.place, len(sources)),
                "stats": statistics(values[stop.name]),
                "values": picture(values[stop.name], cells, exact),
                "gaps": gaps[stop.name].numpy().astype("float32") if stop.name in gaps else None,
                "difference": picture(differences[stop.name], cells, exact) if stop.name in differences else None,
                "otherShape": shapes.get(stop.name),  # in words, where the other pass made a value of another shape
            }
            for stop in stops
        ],
        "sources": [_source(place) for place in sources],
    }  # fmt: skip


def of_the_text(trace: Trace) -> Trace:
    """A trace without the values that have no place at every token: the vision tower's and the MTP head's."""
    kept = {name: tensor for name, tensor in trace.tensors.items() if not name.startswith(("vision.", "mtp."))}
    return replace(trace, tensors=kept, axes={name: trace.axes[name] for name in kept})


def _compare(trace: Trace, against: Trace) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The gaps of every token by name, and the other trace's shapes where they are not this one's."""
    found = pair(trace, against)
    if found.note:
        raise InputError(
            "The traces are of different tokens, and the stepper shows one text; trace the same text with both, or "
            "compare what they begin with by lab.diff."
        )
    return token_gaps(trace, against), {name: theirs for name, (_, theirs) in found.shapes.items()}


def _stop(stop: Stop, trace: Trace) -> dict[str, Any]:
    value, token = trace[stop.name], token_axis(stop.axes)
    return {
        "name": stop.name,
        "layer": stop.layer,
        "kind": stop.kind,
        "equation": typeset(stop.equation.text),
        "where": typeset(stop.equation.where),
        "meaning": stop.meaning,
        "axes": list(stop.axes),
        "shape": list(value.shape),
        "own": [axis for n, axis in enumerate(stop.axes) if n != token],  # the axes of what belongs to one token
        "map": "key" in stop.axes and "query" in stop.axes,  # a row per token: all rows are drawn
        "dtype": str(value.dtype).removeprefix("torch."),
    }


def _branch(node: Node, places: dict[str, int]) -> dict[str, Any]:
    """Leaves as places in the list of stops."""
    children = [_branch(c, places) if isinstance(c, Node) else places[c.name] for c in node.children]
    return {"label": node.label, "kind": node.kind, "children": children}


# ------------------------------------------------------------------------- values


def per_token(value: Tensor, axes: tuple[str, ...]) -> Tensor:
    """[token, …] on the CPU in float32: the tokens' axis first, at least one axis behind it."""
    value = value.detach().cpu().float().movedim(token_axis(axes), 0)
    return value if value.ndim > 1 else value[:, None]


def _difference(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).masked_fill((ours == theirs) & ours.isinf(), 0)


def statistics(value: Tensor) -> np.ndarray:
    """Minimum, mean, maximum and norm of what is finite, for every token: [token, …] -> [token, 4]"""
    rows = [row[row.isfinite()] for row in value.flatten(1)]
    numbers = [(float(r.min()), float(r.mean()), float(r.max()), float(r.norm())) if len(r) else (0.0,) * 4
               for r in rows]  # fmt: skip
    return np.array(numbers, dtype="float32")


def room(sizes: list[int], tokens: int) -> tuple[int, bool]:
    """How many cells one token of one value may have, and whether numbers can travel in float32 (else in bfloat16).

    What small values leave over is shared by the large ones; everything that fits is sent whole.
    """
    exact = sum(sizes) * tokens * 4 <= BYTES
    left = BYTES // (tokens * (4 if exact else 2))
    for n, size in enumerate(sorted(sizes)):
        if size > (share := left // (len(sizes) - n)):
            return max(1, share), exact
        left -= size
    return max(sizes), exact


def picture(value: Tensor, cells: int, exact: bool) -> dict[str, Any]:
    """[token, …] as it is sent, each token shortened to `cells` cells: the values of largest magnitude stay."""
    sizes = list(value.shape[1:])
    while prod(sizes) > cells and max(sizes) > 1:
        longest = max(range(len(sizes)), key=lambda n: (sizes[n], n))  # features before heads
        sizes[longest] = (sizes[longest] + 1) // 2
    shown = value
    for axis, size in enumerate(sizes, 1):
        moved = shown.movedim(axis, -1)
        shown = peaks(moved.flatten(0, -2), size).reshape(*moved.shape[:-1], -1).movedim(-1, axis)
    finite = torch.where(value.isfinite(), value, 0).flatten(1).abs().amax(1)
    limit = float(finite[finite > 0].median()) if bool((finite > 0).any()) else 1.0
    sent = shown.numpy() if exact else shown.contiguous().to(torch.bfloat16).view(torch.int16).numpy().view("uint8")
    return {
        "sizes": list(value.shape[1:]),
        "cells": sizes,  # fewer than `sizes` where it was shortened
        "limit": limit,  # drawn in full colour: the median token's largest value; larger ones are clipped
        "numbers": sent,
    }


# ------------------------------------------------------------------------- equations and source


def typeset(markup: str) -> list[Any]:
    """`S_{t−1}^⊤ k` as ["S", {"sub": ["t−1"]}, {"sup": ["⊤"]}, " k"]."""
    found: list[Any] = []
    n = 0
    while n < len(markup):
        if (level := {"_": "sub", "^": "sup"}.get(markup[n])) is None:
            end = next((m for m in range(n, len(markup)) if markup[m] in "_^"), len(markup))
            found.append(markup[n:end])
        else:
            end = _argument_end(markup, n + 1)
            found.append({level: typeset(markup[n + 1 : end].removeprefix("{").removesuffix("}"))})
        n = end
    return found


def _argument_end(markup: str, start: int) -> int:
    """Where the character, or the part in braces, that begins at `start` ends."""
    depth = 0
    for n in range(start, len(markup)):
        depth += (markup[n] == "{") - (markup[n] == "}")
        if not depth:
            return n + 1
    return len(markup)


def _source(place: Place) -> dict[str, Any]:
    """The lines round a place: each line is parts [colour, whether it is in the call, text]."""
    first, lines = place.excerpt()
    colours = _colours(place.file)
    return {
        "file": place.file,
        "line": place.line,
        "last": place.last_line,
        "first": first,
        "lines": [_parts(line, number, colours[number - 1], place) for number, line in enumerate(lines, first)],
    }


def _parts(line: str, number: int, colours: str, place: Place) -> list[list[Any]]:
    start = place.start if number == place.line else 0
    end = place.end if number == place.last_line else len(line)
    inside = place.line <= number <= place.last_line
    marks = [(colours[n], int(inside and start <= n < end)) for n in range(len(line))]
    parts, n = [], 0
    for (colour, mark), group in groupby(marks):
        length = len(list(group))
        parts.append([colour.strip(), mark, line[n : n + length]])
        n += length
    return parts


@cache
def _colours(file: str) -> list[str]:
    """A source file with a letter for every character: what the character is part of, a space for nothing special."""
    from pygments.lexers.python import PythonLexer
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    letters = {Keyword: "k", Operator.Word: "k", String: "s", Comment: "c", Number: "n", Name.Function: "f",
               Name.Builtin.Pseudo: "b"}  # fmt: skip
    text = (PACKAGE.parent / Path(file)).read_text(encoding="utf-8")
    coloured = ""
    for kind, piece in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        letter = next((letter for known, letter in letters.items() if kind in known), " ")
        coloured += "".join("\n" if character == "\n" else letter for character in piece)
    return coloured.split("\n")


# ------------------------------------------------------------------------- in words


def plain(parts: list[Any]) -> str:
    """An equation in one line of text: what `typeset` took apart."""
    marks = {"sub": "_", "sup": "^"}
    found = ""
    for part in parts:
        if isinstance(part, str):
            found += part
        else:
            ((level, inside),) = part.items()
            text = plain(inside)
            found += marks[level] + (text if len(text) == 1 else f"{{{text}}}")
    return found


def in_words(data: dict[str, Any], stop: int, token: int) -> str:
    """One stop as a paragraph."""
    shown = data["stops"][stop]
    source = data["sources"][shown["source"]]
    low, mean, high, norm = (float(x) for x in shown["stats"][token])
    shape = sizes(shown["axes"], shown["shape"])
    apart = ""
    if shown["gaps"] is not None:
        gap = float(shown["gaps"][token])
        same = "the same up to rounding as" if gap <= data["above"] else "different from"
        how = f"that is {other}" if (other := shown["otherShape"]) else f"{gap:.2g} of its largest value"
        apart = f" It is {same} that of {data['against']}: {how}."
    return (
        f"Stepper, {data['provenance']}. Stop {stop + 1} of {len(data['stops'])}: {shown['name']}, {shown['meaning']}. "
        f"{plain(shown['equation'])}. Made by {source['file']}, line {source['line']}. {shape}, {shown['dtype']}. "
        f"Token {token} “{data['tokens'][token]}”: minimum {low:.3g}, mean {mean:.3g}, maximum {high:.3g}, "
        f"norm {norm:.3g}.{apart}"
    )
