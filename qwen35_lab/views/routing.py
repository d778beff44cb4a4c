"""Who answers: the experts that a router chose, token by token and prompt by prompt."""

import math
from collections.abc import Mapping

import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ..analysis.recorded import values
from ..analysis.routing import entropy, load
from ..errors import InputError
from ..trace import Trace
from . import theme
from .deck import Axis, Curves, Deck, Dial, Heat
from .figure import Figure
from .maps import crowded, heat_map, token_axis
from .words import listed, numbered, short

SHOWN = {
    "weights": "weight of the expert's answer, 0 if it was not chosen",
    "probabilities": "softmax of the router over all experts",
    "logits": "router logit",
}


def expert_heat_map(trace: Trace, layer: int, show: str = "weights") -> Figure:
    """Tokens × experts of one layer; a number in a cell is the place at which the expert was chosen.

    Args:
        trace: with `layers.N.ffn.{router_logits,expert_ids,expert_weights}`.
        show: "weights", "probabilities" or "logits".
    """
    if show not in SHOWN:
        raise InputError(f"show={show!r} is none of {', '.join(SHOWN)}; choose one of them.")
    logits, ids, weights = _routing(trace, layer)
    dense = torch.zeros_like(logits).scatter(-1, ids, weights)
    shown = {"weights": dense, "probabilities": logits.softmax(-1), "logits": logits}[show]
    places = [[""] * logits.shape[1] for _ in ids]
    for row, chosen in zip(places, ids.tolist(), strict=True):
        for place, expert in enumerate(chosen, 1):
            row[expert] = str(place)
    counts = ids.flatten().bincount(minlength=logits.shape[1])
    busiest, never = int(counts.argmax()), int((counts == 0).sum())
    tokens, experts = logits.shape
    figure = heat_map(
        shown.T, [str(n) for n in range(experts)], numbered(trace.tokens), provenance=trace.provenance, what=show,
        axes=("expert", "token"), written=[list(column) for column in zip(*places, strict=True)],
        caption=f"Layer {layer}: each of {tokens} tokens asks {ids.shape[1]} of {experts} experts. Expert {busiest} "
        f"answers most, {int(counts[busiest])} times; {never} answer nobody. "
        f"Colour: {SHOWN[show]}. A number is the order of choice.",
        alt=f"Heat map, {experts} experts × {tokens} tokens. Chosen experts: "
        + "; ".join(f"{name}: {listed([str(e) for e in row])}" for name, row in
                    zip(numbered(trace.tokens), ids.tolist(), strict=True)),
    )  # fmt: skip
    figure.update_yaxes(tickmode="auto" if experts > 32 else "linear", autorange=True)
    figure.update_xaxes(**token_axis(trace.tokens), tickangle=-90 if crowded(trace.tokens) else 0)
    if experts > 48:
        figure.update_traces(texttemplate="", ygap=0)  # no room for numbers
    return figure


def expert_deck(trace: Trace) -> Deck:
    """Tokens × experts layer by layer: weights and router probabilities, each expert's load, each token's entropy.

    Raises:
        InputError: the trace holds no routing.
    """
    layers = [int(name.split(".")[1]) for name in trace if name.endswith(".ffn.expert_ids")]
    if not layers:
        raise InputError('The trace holds no routing; trace a model with experts and record "layers.*.ffn.*".')
    found = [_routing(trace, layer) for layer in layers]
    logits, ids, weights = (torch.stack(column) for column in zip(*found, strict=True))  # [layer, token, …]
    dense = torch.zeros_like(logits).scatter(-1, ids, weights)
    E, loads = logits.shape[-1], torch.stack([load(chosen, logits.shape[-1]) for chosen in ids])
    tokens, experts = Axis("token", trace.tokens), Axis("expert")
    certain = entropy(logits)
    busy = int(loads.amax(-1).argmax())
    return Deck(
        [
            Heat("Weight of the chosen experts", dense.mT, ("layer",), experts, tokens, signed=False, limit=1.0,
                 reading="expert {row}, “{column}”"),
            Heat("Router: softmax over all experts", logits.softmax(-1).mT, ("layer",), experts, tokens, signed=False,
                 reading="expert {row}, “{column}”"),
            Curves("Load, share of all choices", experts, {"load": loads, "even": torch.full_like(loads, 1 / E)},
                   ("layer",)),
            Curves("Entropy of the router, nats", tokens,
                   {"entropy": certain, "no preference": torch.full_like(certain, math.log(E))}, ("layer",)),
        ],
        [Dial("layer", layers)],
        notes=[f"busiest: expert {int(share.argmax())}, {float(share.max()):.1%} of all choices; "
               f"{int((share == 0).sum())} of {E} never asked" for share in loads],
        caption=f"{len(layers)} layers, {ids.shape[-1]} of {E} experts per token. The most uneven is layer "
        f"{layers[busy]}: {float(loads[busy].max()):.1%} of its choices fall on one expert; even would be {1 / E:.1%}.",
        provenance=trace.provenance,
    )  # fmt: skip


def expert_load(loads: Mapping[str, Tensor], *, provenance: object) -> Figure:
    """How often each expert was asked, one row of bars per prompt, against an even load.

    Args:
        loads: name of a prompt -> times or shares [expert]; shown as shares of all choices.
    Raises:
        InputError: there is no load, the numbers of experts differ, or nobody was asked.
    """
    shares = {name: torch.as_tensor(counts).double().cpu() for name, counts in loads.items()}
    sizes = {len(share) for share in shares.values()}
    if len(sizes) != 1 or any(float(share.sum()) <= 0 for share in shares.values()):
        raise InputError("Pass one load per prompt, each with the choices of the same experts and at least one choice.")
    shares = {name: share / share.sum() for name, share in shares.items()}
    (experts,) = sizes
    said = [_load_in_words(name, share) for name, share in shares.items()]
    figure = Figure(
        make_subplots(
            rows=len(shares),
            shared_xaxes=True,
            shared_yaxes="all",  # pyright: ignore[reportArgumentType]
            vertical_spacing=0.25 / len(shares),
        ),
        caption=f"Share of all choices that went to each of {experts} experts; even would be {1 / experts:.1%} "
        f"(dashed). {' '.join(said)}",
        alt="Bars. " + " ".join(f"{name}: {_shares_in_words(share)}." for name, share in shares.items()),
        provenance=provenance,
    )
    colours = [theme.COLOURS[name] for name in ("deltanet", "attention", "ffn", "stream")]
    for row, (name, share) in enumerate(shares.items(), 1):
        figure.add_bar(
            x=list(range(experts)), y=share.tolist(), name=name, row=row, col=1, showlegend=False,
            marker={"color": colours[(row - 1) % 4], "line": {"width": 0}},
            hovertemplate=f"{name}<br>expert %{{x}}: %{{y:.1%}}<extra></extra>",
        )  # fmt: skip
        figure.add_hline(y=1 / experts, line={"dash": "dash", "width": 1, "color": theme.COLOURS["stream"]}, row=row)  # pyright: ignore[reportArgumentType]
        figure.add_annotation(
            text=name, x=1, y=1, xref="x domain", yref="y domain", showarrow=False, xanchor="right", yanchor="bottom",
            row=row, col=1, font={"color": theme.COLOURS["stream"], "size": 12},
        )  # fmt: skip
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=4)
    figure.update_xaxes(title="expert", row=len(shares))
    figure.update_layout(height=90 + 110 * len(shares), bargap=0.15)
    return figure


def _routing(trace: Trace, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Router logits [token, expert], chosen ids and weights [token, choice]."""
    found = values(trace, [f"layers.{layer}.ffn.{tap}" for tap in ("router_logits", "expert_ids", "expert_weights")])
    logits, ids, weights = (torch.as_tensor(value).cpu() for value in found)
    return logits.float(), ids.long(), weights.float()


def _load_in_words(name: str, share: Tensor) -> str:
    busiest, never = int(share.argmax()), int((share == 0).sum())
    return f"{name}: most to expert {busiest}, {float(share[busiest]):.1%}; {never} never asked."


def _shares_in_words(share: Tensor) -> str:
    asked = share.argsort(descending=True)[:8].tolist()
    return "most asked " + ", ".join(f"expert {e} {short(100 * float(share[e]))} %" for e in asked)
