"""Where in a long text a fact is still known, which layer it is read from, and what large models score."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..analysis.needles import CUTS, PIECES, NeedleCuts
from ..config import LINEAR
from ..errors import InputError
from ..family import load_config, memory
from . import theme
from .caches import GIB, size
from .curves import LOOKS
from .deck import Axis, Bars, Curves, Deck, Dial, Heat
from .figure import Figure
from .words import listed, short

CURVES = 4  # layers whose reading is drawn
TOGETHER = ("lengths", "depths", "kinds")  # what documents of one deck share


def needle_deck(maps: NeedleCuts | Mapping[str, NeedleCuts], start: tuple[int, int] = (-1, 0)) -> Deck:
    """Recall by length and depth; of the chosen cell, what every cut leaves, and what the memories hold on the way.

    Args:
        maps: one grid, or several that a dial chooses among, by the names of their documents.
        start: the row and column that are chosen at first.
    Raises:
        InputError: no grid, or grids of different lengths, depths or layers.
    """
    maps = {"": maps} if isinstance(maps, NeedleCuts) else dict(maps)
    if not maps or any(len({getattr(each, name) for each in maps.values()}) > 1 for name in TOGETHER):
        raise InputError("Pass one grid or several with the same lengths, depths and layers; measure them alike.")
    first = next(iter(maps.values()))
    lengths = [str(n) for n in first.lengths]
    depths = [f"{depth:.0%}" for depth in first.depths]
    over = ("document",) * (len(maps) > 1)
    cell = (*over, "sentences", "depth")
    heat = Heat(
        "Recall", 100 * _all(maps, "recall", over), over, Axis("sentences", lengths), Axis("depth", depths),
        signed=False, limit=100.0, text=True, unit="%", reading="{row} sentences, depth {column}",
        choose=("sentences", "depth"),
    )  # fmt: skip
    dials = [Dial("document", [*maps])] * len(over)
    dials += [Dial("sentences", lengths, start=start[0]), Dial("depth", depths, start=start[1])]
    return Deck(
        [heat, _strip(maps, over, cell), _curves(maps, over, cell)], dials,
        caption=" ".join(_caption(name, each) for name, each in maps.items()), provenance=first.provenance,
    )  # fmt: skip


def _all(maps: Mapping[str, NeedleCuts], name: str, over: tuple[str, ...]) -> np.ndarray:
    """One field or cut of every grid, with an axis for the documents if there are several."""
    found = [each.cut[name] if name in CUTS else getattr(each, name) for each in maps.values()]
    return torch.stack(found).numpy() if over else found[0].numpy()


def _strip(maps: Mapping[str, NeedleCuts], over: tuple[str, ...], cell: tuple[str, ...]) -> Bars:
    """What is left when a layer is cut, in each way that was measured."""
    kinds = next(iter(maps.values())).kinds
    found = {name: 100 * _all(maps, name, over) for name in CUTS}
    series = {name: values for name, values in found.items() if np.isfinite(values).any()}
    labels = [f"layer {n} {theme.LETTERS[kind]}" for n, kind in enumerate(kinds)]
    return Bars("Recall when a layer is cut", labels, series, cell, signed=False, unit="%")


def _curves(maps: Mapping[str, NeedleCuts], over: tuple[str, ...], cell: tuple[str, ...]) -> Curves:
    """Of the DeltaNet layers that hold most in the end."""
    first = next(iter(maps.values()))
    reading = _all(maps, "reading", over)
    linear = [n for n, kind in enumerate(first.kinds) if kind == LINEAR]
    most = sorted(linear, key=lambda n: -float(reading[..., n, -1].mean()))[:CURVES]
    series = {f"layer {n}": reading[..., n, :] for n in sorted(most)}
    read = Axis("document read", [f"{n / PIECES:.0%}" for n in range(PIECES + 1)])
    return Curves("Share of the reading that hangs on the needle", read, series, cell)


def _caption(name: str, found: NeedleCuts) -> str:
    """The range of recall, and the layer whose emptying costs most."""
    low, high = found.recall.min(), found.recall.max()
    said = f"{name}: " if name else ""
    said += f"recall from {low:.0%} to {high:.0%} ({found.texts} texts a cell, guessing {found.chance:.0%})"
    left = found.cut["emptied"].mean((0, 1))
    if bool(left.isfinite().all()):
        worst, full = int(left.argmin()), [n for n, kind in enumerate(found.kinds) if kind != LINEAR]
        said += f"; on average {found.recall.mean():.0%}, with layer {worst} emptied {left[worst]:.0%}"
        if full:
            said += f", with attention layer {full[0]}" if len(full) == 1 else ", with the worst attention layer"
            said += f" {left[full].min():.0%}"
    return said[0].upper() + said[1:] + "."


def rank_curves(ranks: Mapping[str, Tensor | Sequence[float]], most: int, *, provenance: object) -> Figure:
    """How the effective rank of memories grows over documents of one length.

    Args:
        ranks: name -> one number for each token.
        most: what a memory of this size could hold.
    Raises:
        InputError: no curve, or curves of different lengths.
    """
    curves = {name: [float(value) for value in values] for name, values in ranks.items()}
    if len({len(values) for values in curves.values()}) != 1 or not next(iter(curves.values())):
        raise InputError("Pass at least one curve, and all of one length: one number for each token.")
    tokens = len(next(iter(curves.values())))
    quarter = (tokens - 1) // 4
    ends = ", ".join(f"{name} {short(values[-1])}" for name, values in curves.items())
    early = ", ".join(f"{name} {short(values[quarter])}" for name, values in curves.items())
    figure = Figure(
        caption=f"Effective rank after a quarter of the {tokens} tokens: {early}; after all: {ends}. "
        f"A matrix of this size could hold {most}.",
        alt=f"Lines over {tokens} tokens. Effective rank at the end: {ends}.",
        provenance=provenance,
    )
    for (name, values), (colour, dash, _) in zip(curves.items(), LOOKS * len(curves), strict=False):
        figure.add_scatter(
            x=list(range(1, tokens + 1)), y=values, name=name, mode="lines",
            line={"color": theme.COLOURS[colour], "dash": dash, "width": 2},
            hovertemplate=f"{name}<br>token %{{x}}: %{{y:.3g}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="tokens read")
    figure.update_yaxes(title="effective rank, mean of the heads", rangemode="tozero")
    return figure


def long_context_chart(scores: Mapping[str, float], benchmark: str, source: str, tokens: int = 262_144) -> Figure:
    """A published long-context score of official models against what their cache weighs at a length.

    Args:
        scores: model -> per cent.
        benchmark, source: what was measured, and where it is published.
        tokens: the length at which the cache is weighed.
    Raises:
        InputError: no score.
        ConfigError: a model that is none of the eight.
    """
    if not scores:
        raise InputError('There is no score; pass model -> per cent, such as {"Qwen3.5-9B": 63.0}.')
    weights = {name: memory(load_config(name), tokens).cache for name in scores}
    best, worst = (pick(scores, key=lambda name: scores[name]) for pick in (max, min))
    alike = [[n for n in scores if weights[n] == weight] for weight in dict.fromkeys(weights.values())]
    pairs = "; ".join(listed(group) for group in alike if len(group) > 1)
    figure = Figure(
        caption=f"{benchmark}: from {scores[worst]:g} % ({worst}) to {scores[best]:g} % ({best}). At {tokens:,} tokens "
        f"their caches weigh {size(min(weights.values()))} to {size(max(weights.values()))}."
        + (f" The same cache, other scores: {pairs}." if pairs else ""),
        alt=f"{benchmark} against bytes of cache. "
        + "; ".join(f"{name}: {score:g} %, {size(weights[name])}" for name, score in scores.items()),
        provenance=f"PUBLISHED · {source}; bytes counted from the configs",
    )
    for sparse in (False, True):
        names = [name for name in scores if load_config(name).text.is_moe == sparse]
        sides = ["top center", "bottom center"] * len(names)  # in turn, since they stand close together
        figure.add_scatter(
            x=[weights[name] / GIB for name in names], y=[scores[name] for name in names], mode="markers+text",
            text=[name.removeprefix("Qwen3.5-") for name in names],
            textposition=sides[: len(names)] if sparse else "middle right",
            name="with experts" if sparse else "dense", textfont={"color": theme.COLOURS["stream"]},
            marker={"size": 11, "symbol": "diamond-open" if sparse else "circle", "line": {"width": 2 * sparse},
                    "color": theme.COLOURS["attention" if sparse else "deltanet"]},
            hovertemplate="%{text}: %{y:g} %, %{x:.3g} GiB<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(
        title=f"GiB of cache for {tokens:,} tokens, log scale",
        type="log",
        tickvals=[2, 3, 4, 6, 8, 12, 16, 24],
        range=[math.log10(end) for end in (0.8 * min(weights.values()) / GIB, 1.6 * max(weights.values()) / GIB)],
    )
    figure.update_yaxes(title=f"{benchmark}, %", range=[-6, 1.3 * max(scores.values())])
    return figure
