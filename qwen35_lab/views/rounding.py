"""What rounding does to a model: harm by kind of tensor, half-lives that are lost, and what a checkpoint weighs."""

import math
from collections.abc import Mapping, Sequence

from ..analysis.few_bits import Weighed
from ..analysis.forgetting import Fading, half_life_after, longest_half_life
from ..analysis.rounding import Harm
from ..errors import InputError
from . import theme
from .curves import LOOKS
from .figure import Figure
from .words import listed, short

FLOOR = 1e-9  # nats; what is smaller is drawn there


def harm_chart(found: Sequence[Harm], *, provenance: object) -> Figure:
    """KL of the predictions for every kind of tensor, rounded alone, one mark for each format, on a log axis.

    Raises:
        InputError: nothing to draw.
    """
    if not found:
        raise InputError("There is nothing to draw; pass what rounding_harm returned.")
    formats = list(dict.fromkeys(each.format for each in found))
    weights = {each.kind: each.weights for each in found}
    total = sum(weights.values())
    order = sorted(weights, key=lambda kind: max(each.kl for each in found if each.kind == kind))
    label = {k: f"{k} · {_share(weights[k] / total)}" + (" ◆" if _official(found, k) else "") for k in order}
    most = {fmt: max((e for e in found if e.format == fmt), key=lambda e: e.kl) for fmt in formats}
    figure = Figure(
        caption="The most harmful kind: " + "; ".join(f"{f}: {e.kind}, {short(e.kl)} nats" for f, e in most.items())
        + f". Behind a kind its share of the weights; ◆ are those that official FP8 files round.{_at_edge(found)}",
        alt="Dot plot of KL in nats. " + "; ".join(f"{e.kind} in {e.format} {e.kl:.1e}" for e in found),
        provenance=provenance,
    )  # fmt: skip
    for n, fmt in enumerate(formats):
        colour, _, symbol = LOOKS[n % len(LOOKS)]
        rows = {each.kind: each.kl for each in found if each.format == fmt}
        figure.add_scatter(
            x=[max(rows[kind], FLOOR) for kind in order if kind in rows],
            y=[label[kind] for kind in order if kind in rows], mode="markers", name=fmt,
            marker={"color": theme.COLOURS[colour], "symbol": symbol, "size": 9},
            hovertemplate=f"{fmt}<br>%{{y}}: %{{x:.2e}} nats<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="KL, nats (log scale)", type="log", dtick=1,
                        exponentformat="power")  # fmt: skip
    figure.update_yaxes(type="category", tickfont_size=11)
    figure.update_layout(height=130 + 21 * len(order))
    return figure


def _share(part: float) -> str:
    return f"{part:.1%}" if part >= 0.0005 else "< 0.1%"


def _at_edge(found: Sequence[Harm]) -> str:
    below = sum(each.kl < FLOOR for each in found)
    return f" At the left edge: {below} of less than {FLOOR:g} nats." if below else ""


def _official(found: Sequence[Harm], kind: str) -> bool:
    return any(each.official for each in found if each.kind == kind)


def fading_chart(found: Fading) -> Figure:
    """What is left of 1 after every step of fading, in every way of rounding."""
    steps = found.left.shape[1] - 1
    ends = [f"{way} {short(float(value))}" for way, value in zip(found.ways, found.left[:, -1])]
    figure = Figure(
        caption=f"After {steps:,} steps {short(float(found.exact[-1]))} should be left: {'; '.join(ends)}. "
        f"The steps' factors are {found.in_float32:,} different numbers in fp32 and {found.distinct} in bf16.",
        alt=f"Line chart over {steps:,} steps. " + "; ".join(ends),
        provenance="RANDOM · random decays, no model",
    )
    # two pairs of lines lie on one another: the lower of each is wide
    kept = sorted({*range(0, steps + 1, max(1, steps // 128)), steps})
    for n, way in enumerate(found.ways):
        colour, dash, _ = LOOKS[n % len(LOOKS)]
        figure.add_scatter(
            x=kept, y=found.left[n, kept].tolist(), name=way, mode="lines",
            line={"color": theme.COLOURS[colour], "dash": dash, "width": 2.5 if n % 2 else 5},
            hovertemplate=f"{way}<br>step %{{x}}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="step (token)")
    figure.update_yaxes(title="what is left of 1", range=[-0.02, 1.05])
    return figure


def half_life_chart(
    formats: Sequence[str] = ("bf16", "fp16"), lives: Sequence[float] = (), span: tuple[float, float] = (1, 5_000), *,
    provenance: object = "RANDOM · no model, numbers alone · float64",
) -> Figure:  # fmt: skip
    """The half-life that is left when α is rounded, against the one that was meant; lines end where it is infinite.

    Args:
        lives: half-lives of a model's heads, drawn as ticks below.
    """
    meant = [span[0] * (span[1] / span[0]) ** (n / 400) for n in range(401)]
    ends = [f"in {fmt} everything longer than {short(longest_half_life(fmt))} tokens never fades" for fmt in formats]
    lost = ", and ".join(
        f"{sum(life > longest_half_life(fmt) for life in lives)} of {len(lives)} heads would lose it in {fmt}"
        for fmt in formats
    )
    figure = Figure(
        caption=f"{ends[0][0].upper()}{ends[0][1:]}; {listed(ends[1:])}. " + (f"The ticks: {lost}." if lives else ""),
        alt="Half-life after rounding α against the half-life before. " + "; ".join(ends),
        provenance=provenance,
    )
    figure.add_scatter(x=meant, y=meant, mode="lines", name="exact",
                       line={"color": theme.COLOURS["stream"], "dash": "dot", "width": 1.5})  # fmt: skip
    for n, fmt in enumerate(formats):
        colour, dash, _ = LOOKS[n % len(LOOKS)]
        after = [value if math.isfinite(value) else None for value in half_life_after(meant, fmt)]
        figure.add_scatter(
            x=meant, y=after, mode="lines", name=f"α in {fmt}", line={"color": theme.COLOURS[colour], "dash": dash},
            hovertemplate=f"{fmt}<br>meant %{{x:.0f}}, left %{{y:.0f}} tokens<extra></extra>",
        )  # fmt: skip
    if lives:
        figure.add_scatter(
            x=list(lives), y=[span[0]] * len(lives), mode="markers", name="heads of the model",
            marker={"symbol": "line-ns-open", "size": 12, "color": theme.COLOURS["ffn"], "line": {"width": 1.5}},
            hovertemplate="a head: %{x:.1f} tokens<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="half-life that is meant, tokens (log scale)", type="log", dtick=1)
    figure.update_yaxes(title="half-life that is left, tokens (log scale)", type="log", dtick=1)
    return figure


def weight_chart(found: Mapping[str, Sequence[Weighed]]) -> Figure:
    """Bars of bytes for every model and format, as a share of its bfloat16 checkpoint.

    Args:
        found: model -> what it weighs, in bfloat16 too.
    """
    formats = list(dict.fromkeys(each.dtype for rows in found.values() for each in rows))
    whole = {name: next(each.bytes for each in rows if each.dtype == "bfloat16") for name, rows in found.items()}
    said = [f"{name} " + ", ".join(f"{e.dtype} {short(e.bytes / 1e9)}" for e in rows) for name, rows in found.items()]
    figure = Figure(
        caption=f"GB: {'; '.join(said)}. Tables, norms, routers and the vision tower stay in bfloat16.",
        alt="Bars of checkpoint sizes. " + "; ".join(said),
        provenance="PUBLISHED · shapes of the official configs, with scales",
    )
    marks = ("", "/", "x", ".")
    for n, fmt in enumerate(formats):
        rows = {name: next(e for e in each if e.dtype == fmt) for name, each in found.items()}
        figure.add_bar(
            x=list(rows), y=[e.bytes / whole[name] for name, e in rows.items()], name=fmt,
            marker={"color": theme.COLOURS[LOOKS[n % len(LOOKS)][0]], "pattern": {"shape": marks[n % len(marks)]}},
            customdata=[e.bytes / 1e9 for e in rows.values()],
            hovertemplate=f"%{{x}}, {fmt}: %{{customdata:,.2f}} GB, %{{y:.0%}}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(title="bytes, share of the bfloat16 checkpoint", tickformat=".0%", rangemode="tozero")
    figure.update_xaxes(type="category")
    return figure
