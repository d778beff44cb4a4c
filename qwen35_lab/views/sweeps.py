"""What runs of a notebook have found, against the parameter that was turned."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plotly.subplots import make_subplots

from ..errors import InputError
from .curves import _look
from .figure import Figure
from .words import listed, short

ROOM, MARGINS = 180, 110  # pixels of a panel, and of what is above and below all of them
WIDE = 10  # numbers whose largest is so many times the smallest stand on a log axis
TICKS = 12  # more places than this are not all named
MOST_SAID = 6  # curves that the caption speaks of; the words for who cannot see it have all


@dataclass(frozen=True)
class _Curve:
    """The runs of one curve in one panel: their places and values, as far as there are any."""

    measure: str
    name: str
    points: list[tuple[Any, float]]

    @property
    def means(self) -> list[tuple[Any, float]]:
        """(place, mean of the runs that stand there), in the order of the places."""
        at: dict[Any, list[float]] = {}
        for place, value in self.points:
            at.setdefault(place, []).append(value)
        return [(place, sum(values) / len(values)) for place, values in at.items()]

    @property
    def called(self) -> str:
        return f"{self.measure} ({self.name})" if self.name else self.measure

    def said(self) -> str:
        """Its lowest and highest mean, in a sentence."""
        if not self.points:
            return f"{self.called}: nothing measured."
        (low, least), (high, most) = (end(self.means, key=lambda point: point[1]) for end in (min, max))
        if least == most:
            return f"{self.called}: {short(most)} at {'every place' if len(self.means) > 1 else _show(low)}."
        return f"{self.called}: from {short(least)} at {_show(low)} to {short(most)} at {_show(high)}."

    def listed(self) -> str:
        return f"{self.called}: " + ", ".join(f"{_show(place)} {short(mean)}" for place, mean in self.means) + "."


def sweep_chart(
    x: Sequence[Any], measures: Mapping[str, Sequence[float]], *, x_name: str, provenance: object,
    curves: Sequence[str] | None = None,
) -> Figure:  # fmt: skip
    """A panel for every measure: each run a point, and lines through the means of those that share a place.

    Args:
        x: of every run, where it stands: numbers, or names, which keep their order and are not joined by lines.
        measures: name -> a number for every run; NaN where a run has none.
        curves: of every run, the name of the curve it belongs to.
    Raises:
        InputError: nothing to draw, or columns of different lengths.
    """
    names = list(curves) if curves is not None else [""] * len(x)
    if not measures or len(x) < 2 or any(len(column) != len(x) for column in (names, *measures.values())):
        raise InputError("Pass at least two runs, and measures with one number for each of them.")
    numeric = all(isinstance(place, int | float) and not isinstance(place, bool) for place in x)
    places = sorted(set(x)) if numeric else list(dict.fromkeys(map(str, x)))
    found = [
        [_curve(measure, name, x if numeric else list(map(str, x)), column, names) for name in dict.fromkeys(names)]
        for measure, column in measures.items()
    ]
    figure = _stage(found, list(measures), x_name, provenance)
    for row, panel in enumerate(found, start=1):
        for n, curve in enumerate(panel):
            _draw(figure, curve, n, row, x_name, joined=numeric)
    _axis(figure, places, numeric, x_name, len(found))
    figure.update_annotations(x=0, xanchor="left", font_size=12)
    height = ROOM * len(found)
    figure.update_layout(height=MARGINS + height, margin_t=45 + 25 * any(names), legend_y=1 + 34 / height)
    return figure


def _stage(found: list[list[_Curve]], measures: list[str], x_name: str, provenance: object) -> Figure:
    """An empty panel for each measure, with all that is said in words."""
    flat = [curve for panel in found for curve in panel]
    repeated = any(len(curve.points) > len(curve.means) for curve in flat)
    rows = len(found)
    return Figure(
        make_subplots(rows=rows, shared_xaxes=True, subplot_titles=measures, vertical_spacing=0.3 / rows),
        caption=" ".join(curve.said() for curve in flat[:MOST_SAID])
        + (" The table has the other curves." if len(flat) > MOST_SAID else "")
        + (" Open points are single runs." if repeated else ""),
        alt=f"{listed(measures)} against {x_name}. " + " ".join(curve.listed() for curve in flat),
        provenance=provenance,
    )


def _curve(measure: str, name: str, x: Sequence[Any], column: Sequence[float], names: Sequence[str]) -> _Curve:
    mine = ((place, float(v)) for place, v, curve in zip(x, column, names) if curve == name and not math.isnan(v))
    order = list(dict.fromkeys(x)) if isinstance(x[0], str) else sorted(set(x))
    return _Curve(measure, name, sorted(mine, key=lambda point: order.index(point[0])))


def _draw(figure: Figure, curve: _Curve, n: int, row: int, x_name: str, *, joined: bool) -> None:
    look: dict[str, Any] = _look(n)
    hover = f"{curve.name + '<br>' if curve.name else ''}{x_name} %{{x}}: %{{y:.4g}}<extra></extra>"
    where = {"legendgroup": curve.name, "hovertemplate": hover, "row": row, "col": 1}
    x, y = zip(*curve.means) if curve.points else ((), ())
    shown = row == 1 and bool(curve.name)
    figure.add_scatter(
        x=x, y=y, name=curve.name, showlegend=shown, **look | ({} if joined else {"mode": "markers"}), **where
    )
    if len(curve.points) > len(curve.means):
        x, y = zip(*curve.points)
        marker = {"color": look["line"]["color"], "size": 5, "symbol": look["marker"]["symbol"] + "-open"}
        figure.add_scatter(x=x, y=y, mode="markers", showlegend=False, marker=marker, **where)


def _axis(figure: Figure, places: Sequence[Any], numeric: bool, x_name: str, rows: int) -> None:
    log = numeric and len(places) > 2 and places[0] > 0 and places[-1] >= WIDE * places[0]
    kind: dict[str, Any] = {"type": "log"} if log else {} if numeric else {"type": "category"}
    if numeric and len(places) <= TICKS:
        kind |= {"tickvals": places, "ticktext": [_show(place) for place in places]}
    figure.update_xaxes(**kind)
    figure.update_xaxes(title=x_name + (", log scale" if log else ""), row=rows, col=1)


def _show(place: Any) -> str:
    return place if isinstance(place, str) else f"{place:,}" if isinstance(place, int) else short(place)
