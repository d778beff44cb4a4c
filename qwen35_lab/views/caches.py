"""What caches weigh: of a text as it is read, and of the eight models at any context."""

from collections.abc import Sequence
from itertools import pairwise
from math import log10

from ..analysis import Growth, TakenBack
from ..config import FULL, LINEAR
from ..errors import InputError
from ..family import OFFICIAL, break_even_tokens, load_config, memory
from . import theme
from .figure import Figure
from .words import listed, short

KIB, MIB, GIB = 2**10, 2**20, 2**30
CONTEXTS = [round(2 ** (n / 2)) for n in range(16, 37)]
APART = 0.13  # least distance of two names, in powers of ten
LOOKS = {"replay": ("deltanet", "circle"), "record": ("ffn", "diamond"), "crop": ("attention", "x")}


def cache_growth(growth: Growth) -> Figure:
    """Bytes of the cache after every token, the two kinds of layers on top of each other, and what the config said."""
    x = list(range(1, len(growth.measured) + 1))
    of_kind = {
        kind: growth.measured[:, [n for n, found in enumerate(growth.kinds) if found == kind]].sum(1).tolist()
        for kind in (LINEAR, FULL)
    }
    names = {LINEAR: "DeltaNet", FULL: "attention"}
    layers = {kind: _layers(name, growth.kinds.count(kind)) for kind, name in names.items()}
    first, last = ({kind: size(values[at]) for kind, values in of_kind.items()} for at in (0, -1))
    agree = bool((growth.measured == growth.predicted).all())
    figure = Figure(
        caption=f"For {layers[LINEAR]} it is {first[LINEAR]} after one token and {last[LINEAR]} after {len(x)}, for "
        f"{layers[FULL]} {first[FULL]} and then {last[FULL]}. The dashed line is what the config predicts: "
        f"{'the same, to the byte' if agree else 'something else'}.",
        alt=f"Stacked areas over {len(x)} tokens. DeltaNet from {first[LINEAR]} to {last[LINEAR]}, attention from "
        f"{first[FULL]} to {last[FULL]}.",
        provenance=growth.provenance,
    )
    for kind, pattern in ((LINEAR, ""), (FULL, "/")):
        colour = theme.COLOURS["deltanet" if kind == LINEAR else "attention"]
        figure.add_scatter(
            x=x, y=[value / KIB for value in of_kind[kind]], stackgroup="kept", name=f"{theme.NAMES[kind]}",
            line={"color": colour, "width": 1.5}, fillcolor=theme.rgba(colour, 0.35),
            fillpattern={"shape": pattern, "fgcolor": colour, "size": 6} if pattern else None,
            hovertemplate=f"{theme.NAMES[kind]}<br>token %{{x}}: %{{y:,.1f}} KiB<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=[value / KIB for value in growth.predicted.sum(1).tolist()], mode="lines", name="predicted, all",
        line={"color": theme.COLOURS["stream"], "width": 3, "dash": "dash"},
        hovertemplate="predicted<br>token %{x}: %{y:,.1f} KiB<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="tokens read")
    figure.update_yaxes(title="bytes kept, KiB", rangemode="tozero")
    return figure


def cache_sizes(names: Sequence[str] = OFFICIAL, dtype: str = "bfloat16") -> Figure:
    """Bytes of one text's cache against its length, for every model; a diamond where the growing part overtakes.

    Raises:
        ConfigError: a name that is none of the eight.
    """
    configs = {name: load_config(name) for name in names}
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, config in configs.items():
        alike.setdefault(tuple(memory(config, n, kv_dtype=dtype).cache for n in CONTEXTS), []).append(name)
    called = {curve: listed([_short(name) for name in models]) for curve, models in alike.items()}
    overtaken = {curve: break_even_tokens(configs[models[0]], dtype) for curve, models in alike.items()}
    ends = ", ".join(f"{called[curve]} {size(curve[-1])}" for curve in alike)
    figure = Figure(
        caption=f"One text of {CONTEXTS[-1]:,} tokens: {ends}. Where a curve is flat, the states outweigh keys and "
        f"values; they are overtaken (diamonds) between {min(overtaken.values()):,.0f} and "
        f"{max(overtaken.values()):,.0f} tokens. Models with the same cache share a curve; dashed are those with "
        "experts.",
        alt="Bytes of the cache against tokens, both logarithmic. "
        + "; ".join(f"{called[c]}: {size(c[0])} at {CONTEXTS[0]}, {size(c[-1])} at {CONTEXTS[-1]}" for c in alike),
        provenance=f"PUBLISHED · the official config.json files, counted here · {dtype}, states float32",
    )
    for curve, models in alike.items():
        sparse = configs[models[0]].text.is_moe
        look = {"color": theme.COLOURS["attention" if sparse else "deltanet"], "dash": "dash" if sparse else "solid"}
        figure.add_scatter(
            x=CONTEXTS, y=curve, mode="lines", line={**look, "width": 2}, name=called[curve], showlegend=False,
            customdata=[size(y) for y in curve],
            hovertemplate=f"{called[curve]}<br>%{{x:,}} tokens: %{{customdata}}<extra></extra>",
        )  # fmt: skip
        at = overtaken[curve]
        weight = memory(configs[models[0]], round(at), kv_dtype=dtype).cache
        figure.add_scatter(
            x=[at], y=[weight], mode="markers", showlegend=False, marker={"symbol": "diamond", "size": 9, **_ink(look)},
            hovertemplate=f"{called[curve]}<br>keys and values overtake at %{{x:,.0f}} tokens<extra></extra>",
        )  # fmt: skip
    for curve, height in zip(alike, _spread([log10(curve[-1]) for curve in alike]), strict=True):
        figure.add_annotation(
            x=1.01, xref="paper", xanchor="left", y=height, text=called[curve], showarrow=False,
            font={"color": theme.COLOURS["stream"]},
        )  # fmt: skip
    places = [2**n for n in (8, 10, 12, 14, 16, 18)]
    marks = [n * unit for unit in (MIB, GIB) for n in (1, 10, 100)]
    figure.update_xaxes(
        title="tokens of context, log scale", type="log", tickvals=places, ticktext=list(map(_k, places))
    )
    figure.update_yaxes(
        title="cache of one text, log scale", type="log", tickvals=marks, ticktext=list(map(size, marks))
    )
    figure.update_layout(height=420, margin_r=170)
    return figure


def rollback_errors(found: TakenBack) -> Figure:
    """How wrong the next token's logits are after taking tokens back, for each way; logarithmic."""
    floor = 1e-8
    worst = {way: float(found.logits[n].max()) for n, way in enumerate(found.ways)}
    states = {way: float(found.states[n].max()) for n, way in enumerate(found.ways)}
    figure = Figure(
        caption=f"Of {found.tokens} tokens read, the last 1 to {found.tokens} are taken back. The next logits are then "
        f"off by up to {short(worst['replay'])} (replay), {short(worst['record'])} (record) and "
        f"{short(worst['crop'])} (crop) of the largest one; the states of the DeltaNet layers by up to "
        f"{short(states['replay'])}, {short(states['record'])} and {short(states['crop'])}. "
        "Open symbols are equal to the bit.",
        alt="Error of the next logits by number of tokens taken back. "
        + "; ".join(f"{way}: up to {short(value)}" for way, value in worst.items()),
        provenance=found.provenance,
    )
    for n, way in enumerate(found.ways):
        colour, symbol = LOOKS[way]
        figure.add_scatter(
            x=list(found.taken), y=[max(floor, value) for value in found.logits[n].tolist()], name=way,
            mode="lines+markers", line={"color": theme.COLOURS[colour], "width": 2},
            marker={"size": 10, "symbol": [symbol + "-open" * (e < floor) for e in found.logits[n].tolist()]},
            customdata=found.logits[n].tolist(),
            hovertemplate=f"{way}, %{{x}} tokens taken back: %{{customdata:.2g}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="tokens taken back", dtick=1)
    figure.update_yaxes(title="error of the logits, log scale", type="log", exponentformat="power", dtick=1)
    return figure


def size(value: float) -> str:
    """Bytes with a unit of two to the power of ten."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if value >= unit:
            return f"{short(value / unit)} {name}"
    return f"{value:.0f} B"


def _layers(kind: str, count: int) -> str:
    return f"the {kind} layer" if count == 1 else f"the {count} {kind} layers"


def _k(tokens: int) -> str:
    return f"{tokens // 1024}K" if tokens >= 1024 else str(tokens)


def _short(name: str) -> str:
    return name.removeprefix("Qwen3.5-")


def _ink(look: dict) -> dict:
    return {"color": look["color"]}


def _spread(heights: Sequence[float]) -> list[float]:
    """The same heights, moved up where two of them are nearer than `APART`."""
    if not heights:
        raise InputError("There is no model to draw; name at least one.")
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = {order[0]: heights[order[0]]}
    for below, n in pairwise(order):
        placed[n] = max(heights[n], placed[below] + APART)
    return [placed[n] for n in range(len(heights))]
