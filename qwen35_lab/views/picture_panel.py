"""A picture in cells as a panel of a deck."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import frame, pack
from .panels import At, Axis, Dial, common, index_of, shaped, tail


@dataclass(frozen=True)
class Picture:
    """A picture in cells, and in each a square whose area is a value; a click on a cell moves `dial`.

    Args:
        pixels: uint8 [*seen, height, width, 3]; `seen` are the dials that choose the picture.
        grid: rows and columns.
        values: [*over, rows, columns], none negative.
        first: the place of the dial that stands for the first cell; the others follow row by row.
        side: cells along the square that is chosen with its top left one.
    """

    title: str
    pixels: Any
    grid: tuple[int, int]
    values: Any = None
    over: Sequence[str] = ()
    seen: Sequence[str] = ()
    dial: str | None = None
    first: int = 0
    side: int = 1
    limit: float | None = None
    unit: str = ""
    kind = "picture"

    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]:
        rows, columns = (Axis(name).describe(n, self.title) for name, n in zip(("row", "column"), self.grid))
        found = {
            **common(self, dials), "rows": rows, "columns": columns, "pixels": np.asarray(self.pixels, "uint8"),
            "seen": [index_of(name, dials, self.title) for name in self.seen], "first": self.first, "side": self.side,
            "dial": None if self.dial is None else index_of(self.dial, dials, self.title), "values": None,
        }  # fmt: skip
        return found if self.values is None else found | pack(shaped(self, self.values, dials, 2), False, self.limit)

    def words(self, at: At) -> str:
        told = f"{self.title}: a picture of {self.grid[0]} × {self.grid[1]} cells"
        if self.values is None:
            return f"{told}."
        now = frame(self.values, self.over, at)
        row, column = divmod(int(np.nanargmax(now)), self.grid[1])
        return f"{told}; most in row {row}, column {column}, {now[row, column]:.3g}{tail(self.unit)}."
