"""Experts and kinds of input: who is asked, who is missed; what hangs on a rounding, on a batch, on the balance."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ..analysis.balancing import Evening, Imitation
from ..analysis.near_ties import Rounded
from ..analysis.specialists import Missed
from ..analysis.touched import Touched, step_bytes
from ..errors import InputError
from ..family import load_config
from ..family.sizes import weight_bytes
from ..nano.experts import Loads, Separation
from . import theme
from .curves import LOOKS
from .deck import Axis, Bars, Deck, Dial, Heat
from .figure import Figure
from .words import short

MIXTURES = ("Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B", "Qwen3.5-397B-A17B")
BATCHES = tuple(2**n for n in range(13))  # sequences
BINS = 5  # of a power of ten


def kinds_deck(loads: Loads, tests: Mapping[str, Separation], *, provenance: object) -> Deck:
    """Kinds × experts, layer by layer: how often a kind asks an expert; and the kinds' distance.

    Args:
        loads: of `nano.expert_loads`.
        tests: layer -> its permutation test.
    Raises:
        InputError: a layer was not tested.
    """
    if missing := [layer for layer in loads.counts if layer not in tests]:
        raise InputError(f"There is no test of {missing[0]}; pass permutation_test(loads, layer) for every layer.")
    shares = loads.shares()
    kinds = list(dict.fromkeys(loads.kinds))
    table = torch.tensor([[shares[layer][kind] for kind in kinds] for layer in loads.counts])  # [layer, kind, expert]
    table = table * table.shape[-1]
    clear = sum(test.distance > test.by_chance for test in tests.values())
    layer, kind, expert = _largest(table)
    names = [name.removesuffix(".ffn") for name in loads.counts]
    apart = [tests[name] for name in loads.counts]
    return Deck(
        [
            Heat("More or less than an even share", table - 1, ("layer",), Axis("kind", kinds), Axis("expert"),
                 reading="{row}, expert {column}"),
            Bars("How far apart the kinds are, 0 to 1", names, {
                "measured": torch.tensor([test.distance for test in apart]),
                "99 of 100 shuffles stay below": torch.tensor([test.by_chance for test in apart]),
            }, signed=False),
        ],
        [Dial("layer", names)],
        notes=[f"kinds {test.distance:.3f} apart, chance {test.by_chance:.3f}, p = {test.p:.3f}" for test in apart],
        caption=f"0 is an even share, +1 twice as much. In {clear} of {len(tests)} layers the kinds are farther apart "
        f"than 99 of 100 shuffles of the documents set them. Most one-sided: expert {expert} of {names[layer]}, "
        f"which {kinds[kind]} asks {float(table[layer, kind, expert]):.1f} times its even share.",
        provenance=provenance,
    )  # fmt: skip


def missed_deck(found: Missed, *, provenance: object) -> Deck:
    """Kinds × experts, layer by layer: what the right answers lose without an expert, and how often it is asked."""
    layer, kind, expert = found.dearest
    names = [str(n) for n in range(len(found.experts[0]))]
    whole = all(list(row) == list(range(len(row))) for row in found.experts)
    experts = Axis("expert" if whole else "expert, by its place in the list", names)
    small = float((found.cost.abs() < 0.02).double().mean())
    kinds = Axis("kind", found.kinds)
    return Deck(
        [
            Heat("Lost without it, nats a token of the answer", found.cost, ("layer",), kinds, experts, text=True,
                 reading="{row} without expert {column}"),
            Heat("Asked, in even shares", found.load * found.of, ("layer",), kinds, experts, signed=False,
                 text=True, reading="{row}, expert {column}"),
        ],
        [Dial("layer", found.layers, start=found.layers.index(layer))],
        notes=None if whole else [f"experts {', '.join(map(str, row))}" for row in found.experts],
        caption=f"{small:.0%} of the cells are within 0.02 nats of nothing. The largest: without expert {expert} of "
        f"layer {layer}, right answers in {kind} lose {float(found.cost.max()):.2f} nats a token. "
        f"By half the documents and by the other half, ranks correlate by {found.agreement:.2f}.",
        provenance=provenance,
    )  # fmt: skip


def near_tie_chart(found: Rounded, *, provenance: object, dtype: str = "bfloat16") -> Figure:
    """Above, how close the decisions were; below, how many of each closeness come out otherwise in `dtype`."""
    power = found.margin.clamp(min=1e-6, max=1e3).log10()
    edges = torch.arange(int(BINS * power.min().floor()), int(BINS * power.max().ceil()) + 1) / BINS
    which = (torch.bucketize(power, edges, right=True) - 1).clamp(0, len(edges) - 2)
    number = torch.bincount(which, minlength=len(edges) - 1)
    other = torch.bincount(which[found.changed], minlength=len(edges) - 1)
    middle = (10 ** ((edges[:-1] + edges[1:]) / 2)).tolist()
    share = (other / number.clamp(min=1)).tolist()
    changed = int(found.changed.sum())
    widest = float(found.margin[found.changed].max()) if changed else 0.0
    figure = Figure(
        make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.12),
        caption=f"{changed:,} of {len(power):,} choices ({found.share:.2%}) fall on other experts when the router "
        f"computes in {dtype}. The margin is the last chosen expert's logit minus the first refused one's: the widest "
        f"among them is {short(widest)}, the median of all {short(float(found.margin.median()))}.",
        alt="Two charts over the margin of a choice. Number of choices, and share that changes: "
        + "; ".join(f"about {short(m)}: {n}, {s:.0%}" for m, n, s in zip(middle, number.tolist(), share, strict=True)
                    if n),
        provenance=provenance,
    )  # fmt: skip
    for row, (name, values, colour) in enumerate(
        (("choices", number.tolist(), "stream"), ("share that changes", share, "attention")), 1
    ):
        figure.add_bar(
            x=middle, y=values, name=name, row=row, col=1, showlegend=False, width=[0.42 * m for m in middle],
            marker={"color": theme.COLOURS[colour]},
            hovertemplate=f"margin about %{{x:.2g}}: %{{y:{',' if row == 1 else '.0%'}}} {name}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(type="log", dtick=1, exponentformat="power")
    figure.update_xaxes(title="margin, in logits, log scale", row=2)
    figure.update_yaxes(title="choices", row=1)
    figure.update_yaxes(title="share that changes", tickformat=".0%", row=2)
    figure.update_layout(height=380)
    return figure


def evening_chart(runs: Mapping[str, Evening], *, provenance: object) -> Figure:
    """Above the loss, below the busiest expert, over the steps of a router that begins collapsed."""
    figure = Figure(
        make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.1),
        caption=" ".join(
            f"{name}: loss {float(run.loss[0]):.2f} → {float(run.loss[-1]):.2f}, busiest expert "
            f"{float(run.busiest[0]):.1f} → {float(run.busiest[-1]):.1f} even shares." for name, run in runs.items()
        ) + " Dotted: an even router.",
        alt="Two charts over steps. " + " ".join(
            f"{name}: busiest {', '.join(f'{float(v):.2f}' for v in run.busiest[:: max(1, len(run.busiest) // 5)])}."
            for name, run in runs.items()
        ),
        provenance=provenance,
    )  # fmt: skip
    for n, (name, run) in enumerate(runs.items()):
        colour, dash, _ = LOOKS[n % len(LOOKS)]
        for row, values in enumerate((run.loss, run.busiest), 1):
            figure.add_scatter(
                x=list(range(len(values))), y=values.tolist(), mode="lines", name=name, legendgroup=name,
                showlegend=row == 1, line={"color": theme.COLOURS[colour], "dash": dash, "width": 2.5}, row=row,
                col=1, hovertemplate=f"{name}<br>step %{{x}}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
    dotted: dict[str, Any] = {"line": {"dash": "dot", "width": 1.5, "color": theme.COLOURS["stream"]}}
    figure.add_hline(y=1, **dotted)
    figure.update_xaxes(title="step", row=2)
    figure.update_yaxes(title="balance loss", rangemode="tozero", row=1)
    figure.update_yaxes(title="busiest, even shares", rangemode="tozero", row=2)
    figure.update_layout(height=420)
    return figure


def coefficient_chart(runs: Sequence[Imitation], *, provenance: object) -> Figure:
    """Loads of layers that were taught with different coefficients, experts in order of load; their errors beside."""
    even = 1 / len(runs[0].load)
    figure = Figure(
        caption=" ".join(
            f"Coefficient {run.coefficient:g}: busiest {run.busiest:.1f} even shares, {run.dead} idle, error "
            f"{run.error:.1%}." for run in runs
        ),
        alt="Curves of load, in even shares, from the busiest expert to the idlest. " + "; ".join(
            f"{run.coefficient:g}: " + ", ".join(f"{x / even:.2f}" for x in run.load.sort(descending=True).values)
            for run in runs
        ),
        provenance=provenance,
    )  # fmt: skip
    for n, run in enumerate(runs):
        colour, dash, symbol = LOOKS[n % len(LOOKS)]
        ordered = run.load.sort(descending=True).values / even
        figure.add_scatter(
            x=list(range(1, len(ordered) + 1)), y=ordered.tolist(), mode="lines+markers",
            name=f"{run.coefficient:g} (error {run.error:.1%})",
            line={"color": theme.COLOURS[colour], "dash": dash, "width": 2}, marker={"symbol": symbol, "size": 8},
            hovertemplate=f"coefficient {run.coefficient:g}<br>place %{{x}}: %{{y:.2f}} even shares<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=1, line={"dash": "dot", "width": 1.5, "color": theme.COLOURS["stream"]})
    figure.update_xaxes(title="expert, in order of load", tick0=1, dtick=max(1, len(runs[0].load) // 8),
                        range=[0.5, len(runs[0].load) + 0.5])  # fmt: skip
    figure.update_yaxes(title="load, in even shares", rangemode="tozero")
    figure.update_layout(legend_title="coefficient")
    return figure


def touched_chart(found: Touched, *, provenance: object) -> Figure:
    """Share of a layer's experts that a step reads, against the tokens in it: two simulations and two formulas."""
    last = len(found.batches) - 1
    off = float((found.strangers - found.loads).abs().max())
    lines: list[tuple[str, Tensor, int, str]] = [
        ("unrelated tokens, simulated", found.strangers, 0, "markers"),
        ("formula with the measured loads", found.loads, 0, "lines"),
        ("formula, even loads", found.even, 3, "lines"),
        ("neighbouring tokens, simulated", found.neighbours, 1, "lines+markers"),
    ]
    figure = Figure(
        caption=f"{found.batches[last]} unrelated tokens read {float(found.strangers[last]):.0%} of the experts, "
        f"neighbours {float(found.neighbours[last]):.0%}. The formula with the measured loads and the simulation are "
        f"at most {off:.1%} apart.",
        alt="Curves over the tokens of a step. " + "; ".join(
            f"{name}: " + ", ".join(f"{b} {float(v):.0%}" for b, v in zip(found.batches, values, strict=True))
            for name, values, *_ in lines
        ),
        provenance=provenance,
    )  # fmt: skip
    for name, values, look, mode in lines:
        colour, dash, symbol = LOOKS[look]
        figure.add_scatter(
            x=list(found.batches), y=values.tolist(), mode=mode, name=name,
            line={"color": theme.COLOURS[colour], "dash": dash, "width": 2}, marker={"symbol": symbol, "size": 9},
            hovertemplate=f"{name}<br>%{{x}} tokens: %{{y:.1%}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="tokens in a step, log scale", type="log", tickvals=list(found.batches),
                        ticktext=[str(b) for b in found.batches])  # fmt: skip
    figure.update_yaxes(title="share of the experts that are read", tickformat=".0%", range=[0, 1.05])
    return figure


def step_read_chart(names: Sequence[str] = MIXTURES, batches: Sequence[int] = BATCHES) -> Figure:
    """What a decoding step reads of official mixtures, as a share of all weights of the language model."""
    whole = {name: weight_bytes(load_config(name), text_only=True) for name in names}
    read = {name: [step_bytes(load_config(name), b) for b in batches] for name in names}
    many = len(batches) // 2
    said = [f"{_short(name)} {read[name][0] / whole[name]:.1%} for {batches[0]} at a time, "
            f"{read[name][many] / whole[name]:.0%} for {batches[many]}" for name in names]  # fmt: skip
    figure = Figure(
        caption=f"Of the weights of the language model, a step reads {'; '.join(said)}. Computed from the configs, for "
        "even and independent choices; all weights have to be held all the time.",
        alt="Curves over sequences at a time. " + "; ".join(
            f"{name}: " + ", ".join(f"{b} {r / whole[name]:.0%}" for b, r in zip(batches, read[name], strict=True))
            for name in names
        ),
        provenance="PUBLISHED · sizes from the official config.json files",
    )  # fmt: skip
    for n, name in enumerate(names):
        colour, dash, symbol = LOOKS[n % len(LOOKS)]
        figure.add_scatter(
            x=list(batches), y=[r / whole[name] for r in read[name]], name=_short(name), mode="lines+markers",
            line={"color": theme.COLOURS[colour], "dash": dash, "width": 2}, marker={"symbol": symbol, "size": 8},
            customdata=[[r / 1e9, r / 1e9 / b] for r, b in zip(read[name], batches, strict=True)],
            hovertemplate=f"{_short(name)}<br>%{{x}} sequences: %{{y:.1%}} of the weights, %{{customdata[0]:,.1f}} GB, "
            "%{customdata[1]:,.2f} GB a token<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="sequences at a time, log scale", type="log", tickvals=list(batches[::2]),
                        ticktext=[f"{b:,}" for b in batches[::2]])  # fmt: skip
    figure.update_yaxes(title="weights read in a step, share of all", tickformat=".0%", range=[0, 1.05])
    return figure


def _largest(table: Tensor) -> tuple[int, int, int]:
    a, b, c = (int(n) for n in torch.unravel_index(table.argmax(), table.shape))
    return a, b, c


def _short(name: str) -> str:
    return name.removeprefix("Qwen3.5-")
