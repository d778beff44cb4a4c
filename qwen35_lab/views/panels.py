"""What a `Deck` is made of: dials, axes, and five kinds of panel. Numbers and names only, no widget here.

A panel's values have one axis for each dial it is drawn `over`, then its own; `frames` says how they are sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from .frames import array, ends, frame, pack, span, ticks
from .words import visible

At = Mapping[str, int]  # dial name -> index of the label it stands on


@dataclass(frozen=True)
class Dial:
    """A slider: a name and a label for each of its places. With `play` it gets a Play button."""

    name: str
    labels: Sequence[Any]
    start: int = 0
    play: bool = False

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise InputError(f"The dial {self.name!r} has no labels; give one for each of its places.")
        if not -len(self.labels) <= self.start < len(self.labels):
            raise InputError(
                f"The dial {self.name!r} has {len(self.labels)} places; start={self.start} is none of them."
            )


@dataclass(frozen=True)
class Axis:
    """A name and, if the places have any, their labels. Panels whose axes have one name and size are linked."""

    name: str
    labels: Sequence[Any] | None = None

    def describe(self, size: int, panel: str) -> dict[str, Any]:
        if self.labels is not None and len(self.labels) != size:
            raise InputError(
                f"The axis {self.name!r} of {panel!r} has {len(self.labels)} labels for {size} places; give as many."
            )
        return {"name": self.name, "size": size, "labels": names(self.labels)}

    def label(self, n: int) -> str:
        return str(n) if self.labels is None else one_line(self.labels[n])


@dataclass(frozen=True)
class Heat:
    """A map of cells, blue above zero and orange below, zero without colour.

    Args:
        values: [*over, rows, columns]
        limit: the magnitude of full colour; the largest value if not given. Larger ones are clipped, and that is said.
        text: write the numbers into cells that are large enough.
        reading: how a cell is read aloud, with {row} and {column} for the labels.
        choose: the dials of the rows and of the columns: a click or Enter on a cell moves both, and it bears a frame.
    """

    title: str
    values: Any
    over: Sequence[str] = ()
    rows: Axis = Axis("row")
    columns: Axis = Axis("column")
    signed: bool = True
    limit: float | None = None
    unit: str = ""
    text: bool = False
    reading: str = ""
    choose: tuple[str, str] | None = None
    kind = "heat"

    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]:
        values = shaped(self, self.values, dials, 2)
        rows, columns = (a.describe(n, self.title) for a, n in zip((self.rows, self.columns), values.shape[-2:]))
        reading = self.reading or f"{self.rows.name} {{row}}, {self.columns.name} {{column}}"
        return {
            **common(self, dials), "rows": rows, "columns": columns, "text": self.text, "reading": reading,
            "choose": self._chosen_by(dials, values.shape[-2:]), **pack(values, self.signed, self.limit),
        }  # fmt: skip

    def _chosen_by(self, dials: Sequence[Dial], shape: Sequence[int]) -> list[int] | None:
        """The two dials by number, or an `InputError` if they do not have a place for each row and column."""
        if self.choose is None:
            return None
        found = [index_of(name, dials, self.title) for name in self.choose]
        places = [len(dials[n].labels) for n in found]
        if places != list(shape):
            raise InputError(
                f"The cells of {self.title!r} are {list(shape)} and the dials {list(self.choose)} have {places} "
                "places; give as many, or leave out choose."
            )
        return found

    def words(self, at: At) -> str:
        now = frame(self.values, self.over, at)
        cells = np.where(np.isfinite(now), now, np.nan)
        if np.isnan(cells).all():
            return f"{self.title}: no values."
        ends = [np.unravel_index(f(cells), cells.shape) for f in (np.nanargmin, np.nanargmax)]
        told = [f"{cells[i, j]:.3g} ({self.rows.label(int(i))}, {self.columns.label(int(j))})" for i, j in ends]
        return f"{self.title}, {self.rows.name} × {self.columns.name}: from {told[0]} to {told[1]}{tail(self.unit)}."


@dataclass(frozen=True)
class Curves:
    """Lines over one axis; `cursor` names the dial that a vertical line follows, which needs a place for each x.

    Args:
        series: name -> [*over, x]
        log: a logarithmic scale; values that are not positive are gaps.
    """

    title: str
    x: Axis
    series: Mapping[str, Any]
    over: Sequence[str] = ()
    cursor: str | None = None
    unit: str = ""
    log: bool = False
    kind = "curves"

    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]:
        values = {name: shaped(self, value, dials, 1) for name, value in self.series.items()}
        sizes = {value.shape[-1] for value in values.values()}
        if len(sizes) != 1:
            raise InputError(f"The series of {self.title!r} must be of one length; they have {sorted(sizes)}.")
        (size,) = sizes
        cursor = None if self.cursor is None else index_of(self.cursor, dials, self.title)
        if cursor is not None and len(dials[cursor].labels) != size:
            raise InputError(
                f"The cursor of {self.title!r} follows {self.cursor!r}, which has {len(dials[cursor].labels)} places "
                f"for {size} values; give as many, or leave out cursor."
            )
        low, high = self.ends()
        return {
            **common(self, dials), "x": self.x.describe(size, self.title), "cursor": cursor, "log": self.log,
            "low": low, "high": high, "ticks": ticks(low, high, self.log),
            "series": [{"name": n, "values": v} for n, v in values.items()],
        }  # fmt: skip

    def ends(self) -> tuple[float, float]:
        """Of the vertical axis, the same for all places of the dials."""
        return ends(*span([array(values) for values in self.series.values()], positive=self.log), self.log)

    def words(self, at: At) -> str:
        told = []
        for name, values in self.series.items():
            now = frame(values, self.over, at)
            low, high = span([now])
            here = f", here {now[at[self.cursor]]:.3g}" if self.cursor else ""
            told.append(f"{name} from {low:.3g} to {high:.3g}{here}")
        return f"{self.title} over {self.x.name}: {'; '.join(told)}{tail(self.unit)}."


@dataclass(frozen=True)
class Bars:
    """A group of bars for each label. `series`: name -> [*over, label]; signed bars grow from the middle."""

    title: str
    labels: Sequence[Any]
    series: Mapping[str, Any]
    over: Sequence[str] = ()
    signed: bool = True
    unit: str = ""
    kind = "bars"

    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]:
        values = {name: shaped(self, value, dials, 1) for name, value in self.series.items()}
        for name, value in values.items():
            if value.shape[-1] != len(self.labels):
                raise InputError(
                    f"The series {name!r} of {self.title!r} has {value.shape[-1]} values for {len(self.labels)} labels."
                )
        high = max(map(abs, span(list(values.values()))))
        series = [{"name": name, "values": value} for name, value in values.items()]
        shown = {"labels": names(self.labels), "signed": self.signed, "high": high, "series": series}
        return {**common(self, dials), **shown}

    def words(self, at: At) -> str:
        told = []
        for name, values in self.series.items():
            now = frame(values, self.over, at)
            told.append(f"{name} " + ", ".join(f"{label} {value:.3g}" for label, value in zip(self.labels, now)))
        return f"{self.title}: {'; '.join(told)}{tail(self.unit)}."


@dataclass(frozen=True)
class Strip:
    """The tokens as chips: one is chosen, which moves `dial`; `values` [*over, token] colour them."""

    tokens: Sequence[str]
    values: Any = None
    dial: str = "token"
    over: Sequence[str] = ()
    title: str = ""
    signed: bool = True
    limit: float | None = None
    unit: str = ""
    kind = "strip"

    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]:
        dial = index_of(self.dial, dials, "the token strip")
        if len(dials[dial].labels) != len(self.tokens):
            raise InputError(
                f"The token strip has {len(self.tokens)} tokens and its dial {self.dial!r} {len(dials[dial].labels)} "
                "places; give as many."
            )
        axis = Axis(self.dial, [visible(str(token)) for token in self.tokens]).describe(len(self.tokens), self.title)
        found = {**common(self, dials), "dial": dial, "axis": axis}
        if self.values is None:
            return {**found, "values": None}
        values = shaped(self, self.values, dials, 1)
        if values.shape[-1] != len(self.tokens):
            raise InputError(
                f"The token strip has {values.shape[-1]} values for {len(self.tokens)} tokens; give as many."
            )
        return {**found, **pack(values, self.signed, self.limit)}

    def words(self, at: At) -> str:
        chosen = str(self.tokens[at[self.dial]])
        if self.values is None:
            return f"{len(self.tokens)} tokens, at “{chosen}”."
        value = frame(self.values, self.over, at)[at[self.dial]]
        return f"{len(self.tokens)} tokens, {self.title or 'the value'} at “{chosen}” is {value:.3g}{tail(self.unit)}."


class Panel(Protocol):
    """What a deck can show: `Heat`, `Curves`, `Bars`, `Strip`, and what else has these (picture_panel, tape_panel)."""

    @property
    def kind(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def over(self) -> Sequence[str]: ...
    @property
    def unit(self) -> str: ...
    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]: ...
    def words(self, at: At) -> str: ...


def common(panel: Panel, dials: Sequence[Dial]) -> dict[str, Any]:
    over = [index_of(name, dials, panel.title) for name in panel.over]
    return {"kind": panel.kind, "title": panel.title, "over": over, "unit": panel.unit}


def shaped(panel: Panel, values: Any, dials: Sequence[Dial], own: int) -> np.ndarray:
    """The values as an array, or an `InputError` if their shape is not that of the dials and `own` more axes."""
    found = array(values)
    wanted = [len(dials[index_of(name, dials, panel.title)].labels) for name in panel.over]
    if found.ndim != len(wanted) + own or list(found.shape[: len(wanted)]) != wanted or 0 in found.shape:
        told = ", ".join([*(f"{name} {size}" for name, size in zip(panel.over, wanted)), *["…"] * own])
        raise InputError(
            f"{panel.title or panel.kind!r} has values of shape {list(found.shape)}; over {list(panel.over)} they must "
            f"be [{told}]."
        )
    return found


def index_of(name: str, dials: Sequence[Dial], panel: str) -> int:
    known = [dial.name for dial in dials]
    if name not in known:
        raise InputError(f"{panel!r} depends on a dial {name!r}; there is {known}: add it, or change the name.")
    return known.index(name)


def names(labels: Sequence[Any] | None) -> list[str] | None:
    return None if labels is None else [one_line(label) for label in labels]


def one_line(label: Any) -> str:
    return str(label).replace("\n", "⏎")


def tail(unit: str) -> str:
    return f" {unit}" if unit else ""
