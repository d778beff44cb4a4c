"""How an answer came: tokens over time, and the wait before the first."""

from collections.abc import Mapping

import plotly.graph_objects as go

from ..errors import InputError
from ..serving import Clock
from . import theme
from .figure import Figure
from .words import short

DASHES = ("solid", "dash", "dot", "dashdot")


def arrival_chart(clocks: Mapping[str, Clock], *, provenance: object) -> Figure:
    """Pieces that had come by then, for several answers; a diamond where the first one came.

    Args:
        clocks: name -> the clock of a reply that has been read.
    Raises:
        InputError: an answer of which nothing came.
    """
    if not clocks or not all(clock.arrivals for clock in clocks.values()):
        raise InputError("Pass the clocks of answers of which something came.")
    figure, told = Figure(), []
    for n, (name, clock) in enumerate(clocks.items()):
        colour = theme.COLOURS[("deltanet", "attention", "ffn", "stream")[n % 4]]
        counts = list(range(1, len(clock.arrivals) + 1))
        line = {"shape": "hv", "color": colour, "dash": DASHES[n % 4], "width": 2}
        figure.add_scatter(x=clock.arrivals, y=counts, mode="lines", name=name, line=line)
        figure.add_scatter(x=clock.arrivals[:1], y=[1], mode="markers", showlegend=False, hoverinfo="skip",
                           marker={"symbol": "diamond", "size": 10, "color": colour})  # fmt: skip
        rate = clock.rate()
        after = f", then {short(rate)} pieces a second" if rate else ""
        told.append(f"{name}: the first of {len(counts)} pieces after {short(clock.arrivals[0])} s{after}")
    figure.update_layout(
        go.Layout(xaxis_title="seconds after the question was sent", yaxis_title="pieces that have come")
    )
    caption = "; ".join(told) + ". A diamond marks the first piece; the slope after it is the speed of writing."
    return Figure(figure, caption=caption, alt=caption, provenance=provenance)
