"""The explorer of published scores: filters by source, category and benchmark, two models compared, gaps left as gaps.

The rules (analysis/scoreboard.py) are written once more in score_rules.js, so that a choice asks no kernel and an
exported page works; a test holds the two equal.
"""

import json
from collections.abc import Sequence
from typing import Any

import traitlets

from ..analysis.scoreboard import Grid, Row, Tally, grid
from ..errors import InputError
from ..published import Score, must_be_known, scores
from . import theme
from .pen import FAINT, LINE, MARGIN, WIDTH, Pen, wrap
from .widget import LabWidget, css, esm

SHOWN = 24  # rows of the static twin
TITLE = "PUBLISHED · scores as printed in Qwen's blog and model cards"


class ScoreExplorer(LabWidget):
    """The widget. `payload` is all it knows, as JSON; the other traits are its five filters, "" for all."""

    TITLE = "Published scores"
    _esm = esm("kit", "controls", "score_rules", "score_explorer")
    _css = css("kit", "controls", "score_explorer")
    payload = traitlets.Unicode().tag(sync=True)
    table = traitlets.Unicode("").tag(sync=True)
    category = traitlets.Unicode("").tag(sync=True)
    benchmark = traitlets.Unicode("").tag(sync=True)
    ours = traitlets.Unicode("").tag(sync=True)
    theirs = traitlets.Unicode("").tag(sync=True)

    def __init__(self, board: Grid, provenance: str, **at: str):
        self._board, self._provenance = board, provenance
        super().__init__(payload=json.dumps({**self.head(), **_payload(board)}), **at)

    def provenance(self) -> str:
        return self._provenance

    def rows(self) -> list[Row]:
        """What the filters keep."""
        return [
            row for row in self._board.rows
            if self.table in ("", row.table) and self.category in ("", row.category)
            and self.benchmark in ("", row.benchmark)
        ]  # fmt: skip

    def tally(self) -> Tally:
        """In how many of the rows `ours` is at least as good as `theirs`."""
        kept = self.rows()
        pairs = [(self._board.best(row, self.ours), self._board.best(row, self.theirs)) for row in kept]
        both = [(a, b) for a, b in pairs if a == a and b == b]
        return Tally(sum(a >= b for a, b in both), len(both), len(kept))

    def alt(self) -> str:
        """The present view in words."""
        told = [
            f"{row.benchmark} {self._cell(row, self.ours)} to {self._cell(row, self.theirs)}" for row in self.rows()
        ]
        return f"{self._said()} " + "; ".join(told[:SHOWN]) + "."

    def static(self) -> bytes:
        """The present view as a PNG: the first rows, all models."""
        rows = self.rows()[:SHOWN]
        models = [m for m in self._board.models if any(self._board.at(row, m) for row in rows)]
        models = sorted(models, key=lambda m: (m != self.ours, m != self.theirs))[:6]
        pen, wide = Pen(170 + 18 * len(rows)), (WIDTH - 2 * MARGIN - 170) / max(1, len(models))
        pen.head(theme.kind_of(self.provenance()), self.provenance())
        pen.text(MARGIN, 44, self._said(), 11, bold=True, width=WIDTH - 2 * MARGIN)
        for n, model in enumerate(models):
            pen.text(MARGIN + 170 + (n + 1) * wide, 68, model, 9, FAINT, anchor="rm", width=wide - 8)
        y = 68.0
        for row in rows:
            y += 18
            pen.box(MARGIN, y - 9, WIDTH - 2 * MARGIN, 1, LINE)
            pen.text(MARGIN, y, row.benchmark, 11, width=170)
            for n, model in enumerate(models):
                said = self._cell(row, model)
                colour = FAINT if said == "gap" else "#222222"
                pen.text(MARGIN + 170 + (n + 1) * wide, y, said, 11, colour, anchor="rm")
        more = len(self.rows()) - len(rows)
        for line in wrap(_caption() + (f" {more} more rows are not in this picture." if more else "")):
            y += 17
            pen.text(MARGIN, y + 4, line, 11, FAINT)
        return pen.png(y + 18)

    def _cell(self, row: Row, model: str) -> str:
        return " / ".join(f"{score.score:g}" for score in self._board.at(row, model)) or "gap"

    def _said(self) -> str:
        t = self.tally()
        return (
            f"{self.ours} matches or beats {self.theirs} in {t.won} of {t.compared} rows; in {t.gaps} more at least "
            "one of them has no number."
        )


def score_explorer(
    found: Sequence[Score] | None = None, *, table: str = "397b_language", ours: str = "Qwen3.5-397B-A17B",
    theirs: str = "GPT5.2",
) -> ScoreExplorer:  # fmt: skip
    """Look through published scores; it begins with one table and two of its models.

    Raises:
        InputError: no such table, or a model that it does not have.
    """
    board = grid(scores() if found is None else found)
    must_be_known(table, [row.table for row in board.rows], "table")
    for model in (ours, theirs):
        if not any(row.table == table and board.at(row, model) for row in board.rows):
            there = [m for m in board.models if any(row.table == table and board.at(row, m) for row in board.rows)]
            raise InputError(f"The table {table} has no model {model!r}; it has {', '.join(there)}.")
    return ScoreExplorer(board, TITLE, table=table, ours=ours, theirs=theirs)


def _caption() -> str:
    return (
        "Numbers of other vendors' models are those that Qwen printed. Two numbers in a cell were made in two "
        "settings; a model's better one counts in the comparison. Gaps are left as gaps."
    )


def _payload(board: Grid) -> dict[str, Any]:
    cells = []
    for row in board.rows:
        own = {m: board.at(row, m) for m in board.models if board.at(row, m)}
        cells.append({m: [[s.score, s.setting, s.note] for s in cell] for m, cell in own.items()})
    first = [next(board.at(row, m)[0] for m in board.models if board.at(row, m)) for row in board.rows]
    rows = [
        {"table": r.table, "benchmark": r.benchmark, "category": r.category, "source": s.source, "date": s.date}
        for r, s in zip(board.rows, first, strict=True)
    ]
    return {"rows": rows, "models": list(board.models), "cells": cells, "caption": _caption()}
