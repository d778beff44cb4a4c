"""Charts about drafts: which place in a draft is accepted, whether drafting pays, and why sampling stays true."""

from collections.abc import Callable, Sequence
from typing import Any

from plotly.subplots import make_subplots
from torch import Tensor

from ..analysis import Acceptance, DraftSpeed, acceptance
from ..errors import InputError
from . import theme
from .curves import LOOKS
from .figure import Figure
from .words import short, visible

CLEAR = 1.02  # times as fast; less than this is never more than noise
ORDER = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def acceptance_chart(found: Acceptance, *, provenance: object) -> Figure:
    """Share of accepted drafts by place in the draft, among those whose predecessors were all accepted.

    Raises:
        InputError: nothing was drafted.
    """
    if not found.offered:
        raise InputError("Nothing was drafted; pass the acceptance of steps with drafts.")
    places = [ORDER[n] if n < len(ORDER) else str(n + 1) for n in range(len(found.offered))]
    pairs = list(zip(places, found.accepted, found.offered, strict=True))
    figure = Figure(
        caption="Accepted of those that were up for a decision: "
        + ", ".join(f"{place} {a} of {n}" for place, a, n in pairs)
        + f"; {found.overall:.0%} in all. A draft is up for a decision if all before it in its pass were accepted.",
        alt="Bars, share accepted by place in the draft. "
        + ", ".join(f"{place} {share:.0%}" for place, share in zip(places, found.shares, strict=True)),
        provenance=provenance,
    )
    figure.add_bar(
        x=places, y=found.shares, name="accepted", marker={"color": theme.COLOURS["ffn"]}, showlegend=False,
        text=[f"{a} of {n}" for _, a, n in pairs], textposition="outside", cliponaxis=False,
        textfont={"color": theme.COLOURS["stream"], "size": 13},
        hovertemplate="%{x} draft: %{y:.1%}, %{text}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="place in the draft")
    figure.update_yaxes(title="share accepted", tickformat=".0%", range=[0, 1.12])
    return figure


def draft_speed_chart(found: DraftSpeed, expected: Callable[[float, int], float] | None = None) -> Figure:
    """Left, tokens per pass against the number of drafts; right, time per token. Every text is a point.

    Args:
        expected: acceptance p and drafts k -> tokens per pass, drawn as a dotted line with the p of all drafts.
    """
    passes, seconds = found.together
    ms = 1000 * seconds
    quickest, most = int(ms.argmin()), int(passes.argmax())
    best, verdict = float(found.speedup[quickest]), "On this machine no number of drafts is quicker than none"
    if found.counts[quickest]:
        verdict = f"Quickest is {_drafts(found.counts[quickest])}, {best:.2f} times as fast as without"
        if best < max(CLEAR, found.noise):
            verdict += f", which may be noise: without drafts, repeats differ by {found.noise - 1:.0%}"
    figure = Figure(
        make_subplots(cols=2, subplot_titles=("tokens a pass", "milliseconds a token"), horizontal_spacing=0.14),
        caption=f"{passes[most]:.2f} tokens a pass with {_drafts(found.counts[most])}, {len(found.tokens)} texts "
        f"together. {verdict}. Milliseconds a token, by number of drafts: "
        + ", ".join(f"{k}: {m:.2f}" for k, m in zip(found.counts, ms.tolist(), strict=True))
        + ". Open points are single texts.",
        alt="Two charts over the number of drafts. Tokens a pass: "
        + ", ".join(f"{k} {short(v)}" for k, v in zip(found.counts, passes.tolist(), strict=True))
        + ". Milliseconds a token: "
        + ", ".join(f"{k} {short(v)}" for k, v in zip(found.counts, ms.tolist(), strict=True)),
        provenance=found.provenance,
    )
    _line_and_points(figure, found.counts, passes, found.per_forward, 1)
    _line_and_points(figure, found.counts, ms, 1000 * found.per_token, 2)
    if expected:
        p = acceptance([step for steps in found.steps for step in steps]).overall
        figure.add_scatter(
            x=list(found.counts), y=[expected(p, k) for k in found.counts], mode="lines", name=f"formula, p = {p:.2f}",
            line={"dash": "dot", "width": 2, "color": theme.COLOURS["stream"]}, row=1, col=1,
        )  # fmt: skip
    figure.add_hline(
        y=float(ms[found.counts.index(0)]), line={"dash": "dot", "width": 1.5, "color": theme.COLOURS["stream"]},
        row=1, col=2,  # type: ignore[arg-type]
    )  # fmt: skip
    figure.update_xaxes(title="drafts at a time", dtick=1)
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(legend_y=1.14, margin_t=70, height=380)
    return figure


def acceptance_law_chart(p: Tensor, q: Tensor, names: Sequence[str], *, provenance: object, most: int = 8) -> Figure:
    """Where the probability of each token comes from: an accepted draft, or the draw after a refusal; they add up to p.

    Args:
        p: the model's distribution [vocabulary].
        q: the one that the draft comes from.
        names: of the tokens.
        most: how many tokens are drawn, those that are most likely in p or q.
    """
    p, q = p.double(), q.double()
    kept, left = p.minimum(q), (p - q).clamp(min=0)
    top = p.maximum(q).topk(min(most, len(p))).indices
    top = top[p[top].argsort(descending=True)]
    share, labels = float(kept.sum()), [f"{visible(str(names[n]))}" for n in top.tolist()]
    figure = Figure(
        caption=f"A bar is the model's own probability of a token, in the two parts in which it is drawn: the draft is "
        f"kept in {share:.1%} of cases, and the rest is drawn from what q gave too little. Circles are the draft's q; "
        "where one stands above its bar, that much of it is refused.",
        alt="Stacked bars. "
        + "; ".join(f"{name}: {float(p[n]):.3f} of p, {float(kept[n]):.3f} by an accepted draft, q {float(q[n]):.3f}"
                    for name, n in zip(labels, top.tolist(), strict=True)),
        provenance=provenance,
    )  # fmt: skip
    parts: list[tuple[str, Tensor, str, str]] = [
        ("draft, accepted: min(p, q)", kept, "ffn", ""), ("drawn after a refusal: p − q", left, "deltanet", "/")
    ]  # fmt: skip
    places = [f"{n}" for n in range(len(top))]
    for name, values, colour, pattern in parts:
        figure.add_bar(
            x=places, y=values[top].tolist(), name=name, hovertemplate=f"%{{x}}<br>{name} = %{{y:.3f}}<extra></extra>",
            marker={"color": theme.COLOURS[colour], "pattern": {"shape": pattern}},
        )  # fmt: skip
    figure.add_scatter(
        x=places, y=q[top].tolist(), mode="markers", name="q of the draft",
        marker={"symbol": "circle-open", "size": 13, "color": theme.COLOURS["attention"], "line": {"width": 3}},
        hovertemplate="q = %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="next token", type="category", tickvals=places, ticktext=labels)
    figure.update_yaxes(title="probability", rangemode="tozero")
    figure.update_layout(barmode="stack")
    return figure


def _drafts(count: int) -> str:
    return f"{count} draft{'s' * (count != 1)} at a time"


def _line_and_points(figure: Figure, counts: Sequence[int], line: Tensor, texts: Tensor, column: int) -> None:
    colour, dash, symbol = LOOKS[column - 1]
    place: dict[str, Any] = {"row": 1, "col": column}
    figure.add_scatter(
        x=list(counts) * len(texts), y=texts.flatten().tolist(), mode="markers", showlegend=False,
        marker={"color": theme.COLOURS[colour], "size": 6, "symbol": symbol + "-open"},
        hovertemplate="%{x} drafts, one text: %{y:.3g}<extra></extra>", **place,
    )  # fmt: skip
    figure.add_scatter(
        x=list(counts), y=line.tolist(), mode="lines+markers", name="all texts together", showlegend=column == 1,
        line={"color": theme.COLOURS[colour], "dash": dash, "width": 2.5}, marker={"symbol": symbol, "size": 9},
        hovertemplate="%{x} drafts, all texts: %{y:.3g}<extra></extra>", **place,
    )  # fmt: skip
