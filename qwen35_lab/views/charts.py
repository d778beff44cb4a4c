"""Charts of one forward pass: how the residual stream grows, what each layer adds, and who reads from whom."""

from collections.abc import Sequence
from typing import Any

import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ..analysis import contributions, influence_map, layer_kinds, strongest_reader
from ..config import FULL, LINEAR
from ..errors import InputError
from ..trace import Trace
from . import theme
from .figure import Figure
from .words import LABELS, numbered, short, signed, visible


def residual_norms(trace: Trace, token: int = -1) -> Figure:
    """The length of the residual stream after every layer: one token, and the range over all of them."""
    numbers = contributions(trace)
    norms = torch.cat((numbers.stream[:1], numbers.output))  # [layer + 1, token]
    low, high, own = norms.amin(1).tolist(), norms.amax(1).tolist(), norms[:, token].tolist()
    marks = ["embedding", *(f"{n} {theme.LETTERS[kind]}" for n, kind in enumerate(layer_kinds(trace)))]
    shapes = ["circle", *("square" if kind == LINEAR else "diamond" for kind in layer_kinds(trace))]
    name = f"token {token % norms.shape[1]}, “{visible(trace.tokens[token])}”"
    growth = own[-1] / own[0] if own[0] else float("nan")
    figure = Figure(
        caption=f"‖h‖ of {name} goes from {short(own[0])} to {short(own[-1])}, {short(growth)} times as long; "
        f"at the end all {norms.shape[1]} tokens lie between {short(low[-1])} and {short(high[-1])}. "
        "L is Gated DeltaNet, F gated attention.",
        alt=f"Line chart of the residual stream's norm. {name}: "
        + ", ".join(f"{mark} {short(value)}" for mark, value in zip(marks, own, strict=True)),
        provenance=trace.provenance,
    )
    grey = theme.COLOURS["stream"]
    for values, fill, text in ((low, None, "smallest"), (high, "tonexty", "all tokens")):
        figure.add_scatter(
            x=marks, y=values, mode="lines", line={"color": grey, "width": 0.5}, fill=fill, name=text,
            fillcolor=theme.rgba(grey, 0.25), showlegend=fill is not None, hoverinfo="skip",
        )  # fmt: skip
    figure.add_scatter(
        x=marks, y=own, mode="lines+markers", name=name, line={"color": theme.COLOURS["deltanet"], "width": 2.5},
        marker={"symbol": shapes, "size": 9},
    )  # fmt: skip
    figure.update_xaxes(title="after layer", type="category")
    if min(low) > 0 and max(high) > 30 * min(low):
        figure.update_yaxes(title="‖h‖ (Euclidean norm, log scale)", type="log", dtick=1)
    else:
        figure.update_yaxes(title="‖h‖ (Euclidean norm)", rangemode="tozero")
    return figure


def layer_contributions(trace: Trace, token: int = -1) -> Figure:
    """The length of what mixer and feed-forward of every layer add for one token."""
    numbers = contributions(trace)
    added = {"mixer": numbers.mixer[:, token].tolist(), "feed-forward": numbers.ffn[:, token].tolist()}
    marks = [f"{n} {theme.LETTERS[kind]}" for n, kind in enumerate(layer_kinds(trace))]
    name = f"token {token % len(trace.tokens)}, “{visible(trace.tokens[token])}”"
    largest, half, layer = max((value, half, layer) for half, row in added.items() for layer, value in enumerate(row))
    figure = Figure(
        caption=f"For {name}, the {half} of layer {layer} adds the longest vector, {short(largest)}; the stream "
        f"entered that layer with {short(float(numbers.stream[layer, token]))}. "
        "L is Gated DeltaNet, F gated attention.",
        alt=f"Paired bars for every layer, {name}. "
        + "; ".join(
            f"layer {mark}: mixer {short(a)}, feed-forward {short(b)}"
            for mark, a, b in zip(marks, added["mixer"], added["feed-forward"], strict=True)
        ),
        provenance=trace.provenance,
    )
    mixers = ["deltanet" if kind == LINEAR else "attention" for kind in layer_kinds(trace)]
    for half, colours, hatching in (("mixer", mixers, ""), ("feed-forward", ["ffn"] * len(mixers), "/")):
        look = {"color": [theme.COLOURS[colour] for colour in colours], "pattern": {"shape": hatching}}
        figure.add_bar(x=marks, y=added[half], name=half, marker=look)
    figure.update_xaxes(title="layer", type="category")
    figure.update_yaxes(title="‖what is added‖", rangemode="tozero")
    return figure


def reading_maps(
    trace: Trace, deltanet: tuple[int, int] | None = None, attention: tuple[int, int] | None = None
) -> Figure:
    """Who reads from whom: one DeltaNet head's exact influence map beside one attention head's softmax weights.

    The trace must hold q, k, decay and beta of the DeltaNet layer and the weights of the attention layer, and more than
    one token.

    Args:
        deltanet: layer and head; by default those in which the last token takes most from an earlier one.
        attention: layer and head; by default the last attention layer, and its head that looks back most.
    """
    of_kind = {kind: [n for n, found in enumerate(layer_kinds(trace)) if found == kind] for kind in theme.LETTERS}
    if len(trace.tokens) < 2 or not all(of_kind.values()):
        raise InputError(
            "A map of who reads from whom needs two tokens and a layer of each kind; trace another prompt."
        )
    layer, head = deltanet or strongest_reader(trace)
    full = attention[0] if attention else of_kind[FULL][-1]
    every = trace[f"layers.{full}.mixer.weights"].float().cpu()
    full_head = attention[1] if attention else int(every[:, -1, :-1].sum(-1).argmax())
    influence, weights = influence_map(trace, layer)[head].float(), every[full_head]
    below = torch.ones_like(influence, dtype=torch.bool).tril()
    sums = influence.sum(1)
    figure = Figure(
        make_subplots(
            cols=2,
            subplot_titles=(
                f"layer {layer} (L), head {head}:<br>influence",
                f"layer {full} (F), head {full_head}:<br>softmax",
            ),
            shared_yaxes=True,
            horizontal_spacing=0.04,
        ),
        caption="A row is a token that reads; a cell is the share of a column's value that it takes. Rows of the "
        f"softmax sum to 1; rows of the influence sum to between {signed(sums.min())} and {signed(sums.max())}, and "
        f"{float((influence[below] < 0).float().mean()):.0%} of its entries are negative.",
        alt=f"Two lower-triangular heat maps of {len(influence)} tokens. "
        f"{_strongest(influence, trace.tokens, 'Influence')} {_strongest(weights, trace.tokens, 'Softmax')}",
        provenance=trace.provenance,
    )
    limit = float(influence.abs().max()) or 1.0
    names = numbered(trace.tokens)
    named = len(names) <= LABELS
    height = max(264, 14 * len(names) if named else 0)  # of the maps; below them, upright, the names and the title
    room = 44 + (6.5 * max(len(visible(token)) for token in trace.tokens) if named else 0)
    bar = {"orientation": "h", "thickness": 10, "len": 0.46, "y": -room / height, "yanchor": "top", "nticks": 5}
    bar |= {"tickangle": 0}
    panels = ((influence, theme.DIVERGING, -limit, limit, 0.24), (weights, theme.SEQUENTIAL, 0, 1, 0.76))
    for column, (matrix, scale, low, high, middle) in enumerate(panels, 1):
        figure.add_heatmap(
            z=matrix.numpy(), x=names, y=names, colorscale=scale, zmin=low, zmax=high, xgap=1, ygap=1,
            row=1, col=column, colorbar={**bar, "x": middle},
            hovertemplate="%{y} reads %{x}: %{z:.3f}<extra></extra>",
        )  # fmt: skip
    axis: dict[str, Any] = {"showgrid": False}
    if named:
        axis |= {"tickvals": names, "ticktext": [visible(token) for token in trace.tokens]}
    figure.update_xaxes(title="read from (token)", tickangle=-90, **axis)
    figure.update_yaxes(autorange="reversed", **axis)
    figure.update_yaxes(title="reading (token)", col=1)
    figure.update_annotations(font_size=12)
    figure.update_layout(height=round(height + room + 100), margin_t=50)
    return figure


def _strongest(matrix: Tensor, tokens: Sequence[str], what: str) -> str:
    """The largest entry below the diagonal, in words."""
    query, key = divmod(int(matrix.tril(-1).abs().argmax()), matrix.shape[1])
    return (
        f"{what}: the strongest link to an earlier token is from token {query} “{visible(tokens[query])}” to token "
        f"{key} “{visible(tokens[key])}”, {float(matrix[query, key]):.2f}."
    )
