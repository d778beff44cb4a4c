"""Experts that stay in their files: how often one is in memory, and what the weights take there, by the budget."""

from collections.abc import Mapping

from plotly.subplots import make_subplots
from torch import Tensor

from . import theme
from .curves import LOOKS
from .figure import Figure


def expert_budget_chart(
    rates: Tensor, counted: Mapping[int, tuple[float, int]], *, asked: int, rest: int, provenance: object
) -> Figure:
    """Above how often an expert is in memory, below the bytes of all weights there, over the number of experts kept.

    Args:
        rates: of `analysis.hit_rates`, [budget].
        counted: budget -> the hit rate and the bytes of experts, of a run with that budget.
        asked: experts that one token asks for.
        rest: bytes of the weights that are always in memory.
    """
    budgets, size = list(range(1, len(rates) + 1)), max(held / n for n, (_, held) in counted.items())
    megabytes = [(rest + n * size) / 1e6 for n in budgets]
    dots = [rate for rate, _ in counted.values()], [(rest + held) / 1e6 for _, held in counted.values()]
    figure = Figure(
        make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.1),
        caption=f"With room for {asked} experts, as many as a token asks for (dotted), {float(rates[asked - 1]):.0%} "
        f"are in memory when they are asked for; with room for all {len(rates)}, {float(rates[-1]):.0%}. The weights "
        f"take {megabytes[asked - 1]:.1f} and {megabytes[-1]:.1f} MB. Lines: from the trace; marks: counted.",
        alt="Two charts over the experts kept in memory. Counted: "
        + "; ".join(f"{n}: {rate:.0%} there, {mb:.2f} MB" for n, rate, mb in zip(counted, *dots, strict=True)),
        provenance=provenance,
    )
    _draw(figure, budgets, (rates.tolist(), megabytes), "lines", "from the trace")
    _draw(figure, list(counted), dots, "markers", "counted")
    figure.add_vline(x=asked, line={"dash": "dot", "width": 1.5, "color": theme.COLOURS["stream"]})
    figure.update_xaxes(title="experts kept in memory", row=2)
    figure.update_yaxes(title="was in memory", tickformat=".0%", range=[-0.05, 1.05], row=1)
    figure.update_yaxes(title="weights, MB", rangemode="tozero", row=2)
    figure.update_layout(height=440)
    return figure


def _draw(figure: Figure, x: list[int], rows: tuple[list[float], list[float]], mode: str, name: str) -> None:
    colour, _, symbol = LOOKS[int(mode == "markers")]
    for row, (y, number) in enumerate(zip(rows, ("%{y:.1%}", "%{y:.2f} MB"), strict=True), 1):
        figure.add_scatter(
            x=x, y=y, mode=mode, name=name, legendgroup=name, showlegend=row == 1, row=row, col=1,
            line={"color": theme.COLOURS[colour], "width": 2.5},
            marker={"color": theme.COLOURS[colour], "symbol": symbol, "size": 10},
            hovertemplate=f"room for %{{x}}: {number}<extra>{name}</extra>",
        )  # fmt: skip
