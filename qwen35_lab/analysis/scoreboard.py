"""Comparing models in published tables: who is at least as good, in how many rows, and what gaps do to the answer.

A gap is a row in which a table prints no number for a model. It is counted as a gap: never filled in, never left out
without saying so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..published import Score, scores

FLAGSHIP = ("397b_language", "397b_vision")  # the tables that have the flagship beside other vendors' models
RATING = "rating, not a percentage"
WAYS = ("leave gaps out", "gaps are lost", "gaps are won")


@dataclass(frozen=True)
class Row:
    """One benchmark of one table, and the scores that a model has there, by setting."""

    table: str
    benchmark: str
    category: str


@dataclass(frozen=True)
class Grid:
    """Published scores as a table with gaps: rows are benchmarks, columns models."""

    rows: tuple[Row, ...]
    models: tuple[str, ...]
    cells: dict[tuple[Row, str], tuple[Score, ...]]  # several where a model was scored in several settings

    def at(self, row: Row, model: str) -> tuple[Score, ...]:
        return self.cells.get((row, model), ())

    def best(self, row: Row, model: str) -> float:
        """The highest of a model's scores in a row; NaN for a gap."""
        return max((score.score for score in self.at(row, model)), default=nan)

    def worst(self, row: Row, model: str) -> float:
        """The lowest of a model's scores in a row; NaN for a gap."""
        return min((score.score for score in self.at(row, model)), default=nan)

    def values(self, best: bool = True) -> NDArray[np.float64]:
        """[row, model], NaN where there is a gap."""
        pick = self.best if best else self.worst
        return np.array([[pick(row, model) for model in self.models] for row in self.rows])

    def gaps(self) -> list[tuple[Row, str]]:
        """All pairs of a row and a model without a number."""
        return [(row, model) for row in self.rows for model in self.models if not self.at(row, model)]


def grid(found: Iterable[Score]) -> Grid:
    """Scores as rows and columns, both in the order in which they come."""
    rows: dict[Row, None] = {}
    models: dict[str, None] = {}
    cells: dict[tuple[Row, str], tuple[Score, ...]] = {}
    for score in found:
        row = Row(score.table, score.benchmark, score.category)
        rows[row] = models[score.model] = None
        cells[row, score.model] = (*cells.get((row, score.model), ()), score)
    return Grid(tuple(rows), tuple(models), cells)


@dataclass(frozen=True)
class Tally:
    """In how many rows a model is at least as good as its rivals."""

    won: int
    compared: int  # rows in which all of them have a number
    rows: int

    @property
    def gaps(self) -> int:
        return self.rows - self.compared

    def share(self, way: str = WAYS[0]) -> float:
        """Rows won of all rows, in one of three `WAYS` to treat gaps."""
        if way not in WAYS:
            raise InputError(f"There is no way {way!r} to treat gaps; choose from {', '.join(WAYS)}.")
        if way == WAYS[0]:
            return self.won / self.compared if self.compared else nan
        return (self.won + (self.gaps if way == WAYS[2] else 0)) / self.rows if self.rows else nan


def at_least(
    model: str, rivals: Sequence[str], tables: Sequence[str] = FLAGSHIP, *, any_of_them: bool = False,
    best: bool = True,
) -> Tally:  # fmt: skip
    """Rows in which `model` matches or beats each of its rivals.

    Args:
        any_of_them: one of the rivals is enough.
        best: of several settings take the model's best, else its worst; of a rival always the best.
    """
    board = grid(scores(table=tables))
    for name in (model, *rivals):
        if name not in board.models:
            raise InputError(f"{name} is not in {', '.join(tables)}; there are {', '.join(board.models)}.")
    own = board.best if best else board.worst
    won = compared = 0
    for row in board.rows:
        theirs = [board.best(row, rival) for rival in rivals]
        if not np.isfinite([own(row, model), *theirs]).all():
            continue
        compared += 1
        won += (any if any_of_them else all)(own(row, model) >= score for score in theirs)
    return Tally(won, compared, len(board.rows))


def mean_scores(board: Grid, *, common: bool) -> dict[str, tuple[float, int]]:
    """Model -> its mean score and over how many rows that is; ratings are left out, since they are no percentages.

    Args:
        common: over the rows that all models have; else over each model's own.
    """
    kept = [row for row in board.rows if not any(s.setting == RATING for m in board.models for s in board.at(row, m))]
    if common:
        kept = [row for row in kept if all(board.at(row, model) for model in board.models)]
    found = {}
    for model in board.models:
        values = [board.best(row, model) for row in kept if board.at(row, model)]
        found[model] = (fmean(values) if values else nan, len(values))
    return found


@dataclass(frozen=True)
class Pair:
    """One model, one benchmark, two settings."""

    benchmark: str
    model: str
    table: str
    lower: Score
    higher: Score

    @property
    def apart(self) -> float:
        return self.higher.score - self.lower.score


def two_settings(found: Iterable[Score]) -> list[Pair]:
    """All cells in which a model has two numbers, the widest apart first."""
    pairs = []
    for (row, model), cell in grid(found).cells.items():
        if len(cell) > 1:
            low, high = min(cell, key=lambda s: s.score), max(cell, key=lambda s: s.score)
            pairs.append(Pair(row.benchmark, model, row.table, low, high))
    return sorted(pairs, key=lambda pair: -pair.apart)
