"""Curves over a dial: costs against length, accuracy against what was turned, learning against steps, parity rows."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, SupportsFloat

import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ..analysis import ParityLedger
from ..errors import InputError
from ..training import History
from . import theme
from .figure import Figure
from .words import short

TICKS = [n * 10.0**power for power in range(-5, 4) for n in (1, 2, 5)]  # of losses
DECADES = 4  # of a log axis that are named: on a phone's page there is no room for more
LOOKS = [  # colour, dash, symbol: curves differ in all three
    ("deltanet", "solid", "circle"),
    ("attention", "dash", "square"),
    ("ffn", "dot", "diamond"),
    ("stream", "dashdot", "triangle-up"),
]


def cost_curves(
    x: Sequence[float], curves: Mapping[str, Sequence[float]], *, provenance: object, x_name: str, unit: str,
    log: bool = True,
) -> Figure:  # fmt: skip
    """What something costs against a size, with a ring where two curves cross.

    Args:
        x: sizes, rising.
        curves: name -> cost at every x.
        x_name, unit: titles of the axes, such as "Tokens of context" and "bytes".
        log: draw both axes logarithmically; a slope of 1 is then a cost in proportion.
    Raises:
        InputError: curves of another length, or zeros on a log axis.
    """
    values = {name: [float(y) for y in curve] for name, curve in curves.items()}
    if not values or len(x) < 2 or any(len(curve) != len(x) for curve in values.values()):
        raise InputError("Pass at least two sizes and curves with one cost for each of them.")
    if log and (min(x) <= 0 or any(min(curve) <= 0 for curve in values.values())):
        raise InputError("A size or cost is not above zero, which no log axis can show; pass log=False.")
    found = [
        (a, b, *point) for a, b in combinations(values, 2) for point in crossings(x, values[a], values[b], log=log)
    ]
    ends = ", ".join(f"{name} {short(curve[-1])}" for name, curve in values.items())
    meet = "; ".join(f"{a} and {b} meet at {short(where)}" for a, b, where, _ in found) or "no two curves cross"
    figure = Figure(
        caption=f"{x_name} {short(x[-1])}: {ends} {unit}. {meet[0].upper()}{meet[1:]}.",
        alt=f"{unit} against {x_name}. "
        + "; ".join(f"{name}: {short(curve[0])} at {short(x[0])} to {short(curve[-1])} at {short(x[-1])}"
                    for name, curve in values.items()),
        provenance=provenance,
    )  # fmt: skip
    for n, (name, curve) in enumerate(values.items()):
        figure.add_scatter(
            x=list(x), y=curve, name=name, **_look(n),
            hovertemplate=f"{name}<br>%{{x:,}}: %{{y:.4s}} {unit}<extra></extra>",
        )  # fmt: skip
    if found:
        figure.add_scatter(
            x=[where for *_, where, _ in found], y=[height for *_, height in found], mode="markers+text",
            text=[short(where) for *_, where, _ in found], textposition="top center", name="crossing", showlegend=False,
            textfont={"color": theme.COLOURS["stream"]}, hovertemplate="crossing at %{x:,.4g}<extra></extra>",
            marker={"symbol": "circle-open", "size": 14, "color": theme.COLOURS["stream"], "line": {"width": 2}},
        )  # fmt: skip
    kind: dict[str, Any] = {"type": "log", "dtick": 1} if log else {"rangemode": "tozero"}
    figure.update_xaxes(title=x_name + (", log scale" if log else ""), **kind)
    figure.update_yaxes(title=unit + (", log scale" if log else ""), **kind, tickformat="~s")
    return figure


def crossings(
    x: Sequence[float], a: Sequence[float], b: Sequence[float], *, log: bool = False
) -> list[tuple[float, float]]:
    """Where two curves over the same places meet, (x, y): straight lines between the places, on log axes if `log`."""
    into, back = (math.log, math.exp) if log else (float, float)
    points = [(into(p), into(q), into(r)) for p, q, r in zip(x, a, b, strict=True)]
    found = []
    for (x0, a0, b0), (x1, a1, b1) in pairwise(points):
        before, after = a0 - b0, a1 - b1
        if before != after and before * after <= 0 and after:
            share = before / (before - after)
            found.append((back(x0 + share * (x1 - x0)), back(a0 + share * (a1 - a0))))
    if points[-1][1] == points[-1][2] and points[-2][1] != points[-2][2]:
        found.append((float(x[-1]), float(a[-1])))
    return found


def dial_curve(
    x: Sequence[float], curves: Mapping[str, Any], *, provenance: object, x_name: str, y_name: str = "accuracy",
    chance: float | None = None, share: bool = True,
) -> Figure:  # fmt: skip
    """A measure against a dial: the mean over seeds as a line, their range as a band, every seed as a point.

    Args:
        x: places of the dial.
        curves: name -> [seed, x].
        chance: what guessing gives, drawn as a dotted line.
        share: the measure is a share of 1, shown in percent.
    Raises:
        InputError: a curve that does not fit the places.
    """
    found = {name: torch.as_tensor(values).double().cpu() for name, values in curves.items()}
    if not found or any(values.ndim != 2 or values.shape[1] != len(x) for values in found.values()):
        raise InputError(f"Pass curves [seed, place] with {len(x)} places each, like the dial.")

    def number(value: SupportsFloat) -> str:
        return f"{float(value):.1%}" if share else short(float(value))

    said = []
    for name, values in found.items():
        mean, apart = values.mean(0), (values.amax(0) - values.amin(0)).max()
        most = int(mean.argmax())
        said.append(
            f"{name}: {number(mean[0])} at {short(x[0])}, {number(mean[-1])} at {short(x[-1])}, best "
            f"{number(mean[most])} at {short(x[most])}"
            + (f"; {len(values)} seeds at most {number(apart)} apart." if len(values) > 1 else ".")
        )
    figure = Figure(
        caption=" ".join(said) + (f" Guessing: {number(chance)}." if chance is not None else ""),
        alt=f"{y_name} against {x_name}. "
        + "; ".join(f"{name}: " + ", ".join(f"{short(p)} {number(m)}" for p, m in zip(x, v.mean(0), strict=True))
                    for name, v in found.items()),
        provenance=provenance,
    )  # fmt: skip
    for n, (name, values) in enumerate(found.items()):
        _band(figure, list(x), values, name, n, "%{y:.1%}" if share else "%{y:.4g}")
    if chance is not None:
        figure.add_hline(
            y=chance, line={"dash": "dot", "width": 1, "color": theme.COLOURS["stream"]}, annotation_text="guessing",
            annotation_position="bottom right", annotation_font_color=theme.COLOURS["stream"],
        )  # fmt: skip
    figure.update_xaxes(title=x_name)
    figure.update_yaxes(title=y_name, tickformat=".0%" if share else "", range=[-0.02, 1.03] if share else None)
    return figure


def training_curves(histories: History | Sequence[History] | Mapping[str, History], *, provenance: object) -> Figure:
    """Loss (smoothed, log scale) and accuracy of one or several trainings, step by step.

    Raises:
        InputError: there is no step to draw.
    """
    if isinstance(histories, History):
        histories = {"training": histories}
    if not isinstance(histories, Mapping):
        histories = {f"run {n}": history for n, history in enumerate(histories)}
    if not histories or not all(history.losses for history in histories.values()):
        raise InputError("A training has no steps yet; train first, then draw its history.")
    measured = [name for name, history in histories.items() if history.accuracies]
    figure = Figure(
        make_subplots(cols=2, subplot_titles=("loss", "accuracy")) if measured else None,
        caption=" ".join(
            f"{name}: {history.steps} steps in {history.seconds:.0f} s, loss {short(_smooth(history.losses)[0])} → "
            f"{short(_smooth(history.losses)[-1])}"
            + (f", accuracy {history.accuracy:.1%}" if history.accuracies else "") + "."
            for name, history in histories.items()
        ),
        alt="Learning curves. " + " ".join(
            f"{name}: " + ", ".join(f"step {step} {value:.0%}" for step, value in history.accuracies) + "."
            for name, history in histories.items()
        ),
        provenance=provenance,
    )  # fmt: skip
    for n, (name, history) in enumerate(histories.items()):
        place = {"row": 1, "col": 1} if measured else {}
        look = _look(n)
        figure.add_scatter(
            x=list(range(1, history.steps + 1)), y=_smooth(history.losses), name=name, legendgroup=name,
            **look | {"mode": "lines"}, hovertemplate=f"{name}<br>step %{{x}}: loss %{{y:.3g}}<extra></extra>", **place,
        )  # fmt: skip
        if history.accuracies:
            steps, accuracies = zip(*history.accuracies, strict=True)
            figure.add_scatter(
                x=steps, y=accuracies, name=name, legendgroup=name, showlegend=False, **look, row=1, col=2,
                hovertemplate=f"{name}<br>step %{{x}}: %{{y:.1%}}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(title="step")
    column: dict[str, Any] = {"row": 1, "col": 1} if measured else {}
    figure.update_yaxes(
        title="loss, smoothed, log scale", type="log", tickvals=TICKS, ticktext=[f"{x:g}" for x in TICKS], **column
    )
    if measured:
        figure.update_yaxes(title="accuracy", tickformat=".0%", range=[-0.02, 1.03], row=1, col=2)
    figure.update_layout(showlegend=len(histories) > 1, legend_y=1.12, margin_t=60)
    return figure


def parity_chart(ledger: ParityLedger) -> Figure:
    """Every row of a parity ledger as a point: its ratio, on a log scale, and the bound that it must stay left of."""
    floor = min([row.gap for row in ledger.rows if row.gap > 0] or [1e-9]) / 3
    worst = max(ledger.rows, key=lambda row: row.gap)
    equal, failed = sum(row.gap == 0 for row in ledger.rows), sum(not row.holds for row in ledger.rows)
    verdict = f"{failed} of {len(ledger.rows)} rows differ" if failed else f"All {len(ledger.rows)} rows agree"
    figure = Figure(
        caption=f"{verdict}; the largest ratio, {worst.gap:.1e}, is at “{worst.what}”; the bound is {worst.below:g} "
        f"(dashed). {equal} {'is' if equal == 1 else 'are'} equal to the bit (open, at the left edge).",
        alt="Dot plot. " + "; ".join(f"{row.what} against {row.against}: {row.gap:.1e}" for row in ledger.rows),
        provenance=ledger.provenance,
    )
    for n, against in enumerate(dict.fromkeys(row.against for row in ledger.rows)):
        rows = [row for row in ledger.rows if row.against == against]
        colour, _, symbol = LOOKS[n % len(LOOKS)]
        figure.add_scatter(
            x=[row.gap or floor for row in rows], y=[row.what for row in rows],
            mode="markers", name=f"against {against}",
            marker={"color": theme.COLOURS[colour], "size": 9,
                    "symbol": [("x" if not row.holds else symbol) + ("" if row.gap else "-open") for row in rows]},
            customdata=[row.gap for row in rows], hovertemplate="%{y}<br>ratio %{customdata:.2e}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=worst.below, line={"dash": "dash", "width": 1.5, "color": theme.COLOURS["stream"]})
    decades = math.log10(max([worst.below, *(row.gap for row in ledger.rows)]) / floor)
    figure.update_xaxes(
        title="max |difference| / max |value| (log scale)", type="log", exponentformat="power",
        dtick=max(1, math.ceil(decades / DECADES)),
    )  # fmt: skip
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(height=max(220, 110 + 22 * len(ledger.rows)))
    return figure


def _look(n: int) -> dict[str, Any]:
    colour, dash, symbol = LOOKS[n % len(LOOKS)]
    return {
        "mode": "lines+markers",
        "line": {"color": theme.COLOURS[colour], "dash": dash, "width": 2},
        "marker": {"symbol": symbol, "size": 7},
    }


def _band(figure: Figure, x: list[float], values: Tensor, name: str, n: int, number: str) -> None:
    """Range, mean and seeds of one curve."""
    look = _look(n)
    colour = look["line"]["color"]
    figure.add_scatter(
        x=[*x, *reversed(x)], y=[*values.amax(0).tolist(), *reversed(values.amin(0).tolist())], fill="toself",
        fillcolor=theme.rgba(colour, 0.18), line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
        legendgroup=name,
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=values.mean(0).tolist(), name=name, legendgroup=name, **look,
        hovertemplate=f"{name}<br>%{{x}}: mean {number}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=x * len(values), y=values.flatten().tolist(), mode="markers", showlegend=False, legendgroup=name,
        marker={"color": colour, "size": 5, "symbol": look["marker"]["symbol"] + "-open"},
        hovertemplate=f"{name}, one seed<br>%{{x}}: {number}<extra></extra>",
    )  # fmt: skip


def _smooth(losses: Sequence[float], share: float = 0.02) -> list[float]:
    """Means over a window of about 2 % of all steps, so that the trend is seen."""
    values = torch.tensor(losses, dtype=torch.float64)
    width = max(1, round(share * len(values)))
    sums = torch.cat((values.new_zeros(1), values.cumsum(0)))
    end = torch.arange(1, len(values) + 1)
    start = (end - width).clamp(min=0)
    return ((sums[end] - sums[start]) / (end - start)).tolist()
