"""The picture ruler's static twin: the same view as a PNG."""

from typing import Any

import numpy as np

from . import theme
from .pen import FAINT, LINE, MARGIN, PAPER, TEXT, WIDTH, Pen, wrap

LEFT, HIGH = 360, 300  # room for the picture


def draw(
    provenance: str, picture: np.ndarray, film: np.ndarray, facts: list[tuple[str, str]], said: str,
    found: dict[str, Any], caption: str,
) -> bytes:  # fmt: skip
    """Picture or film on the left, the numbers on the right, and sentences under both."""
    pen = Pen(760)
    pen.head(theme.kind_of(provenance), provenance)
    low = _film(pen, 44, film, found) if "frames" in found else _picture(pen, 44, picture, found)
    y = 50.0
    for name, value in facts:
        big = name.startswith("tokens")
        pen.text(MARGIN + LEFT + 24, y + 8, name, 12, FAINT, width=180)
        pen.text(MARGIN + LEFT + 200, y + 8, value, 18 if big else 12, bold=big, width=WIDTH - LEFT - 220)
        pen.box(MARGIN + LEFT + 24, y + 22, WIDTH - LEFT - 2 * MARGIN - 24, 1, LINE)
        y += 30
    low = max(low, y) + 10
    for line in [*wrap(said), *wrap(caption)]:
        pen.text(MARGIN, low + 8, line)
        low += 16
    return pen.png(low + 10)


def _picture(pen: Pen, y: float, picture: np.ndarray, found: dict[str, Any]) -> float:
    rows, columns = found["rows"], found["columns"]
    side = min(LEFT / columns, HIGH / rows)
    w, h = columns * side, rows * side
    pen.photo(MARGIN, y, w, h, picture)
    if side > 3:
        for n in range(1, columns):
            pen.box(MARGIN + n * side, y, 0.6, h, PAPER)
        for n in range(1, rows):
            pen.box(MARGIN, y + n * side, w, 0.6, PAPER)
    row, column = (found["where"][n] - found["where"][0] for n in (1, 2))
    pen.box(MARGIN + column * side, y + row * side, side, side, outline=TEXT, line=3.5)
    pen.box(MARGIN + column * side, y + row * side, side, side, outline="#ffd23f", line=2)
    return y + h


def _film(pen: Pen, y: float, film: np.ndarray, found: dict[str, Any]) -> float:
    """The first frames, in pairs, with the time stamp of each pair."""
    wide = LEFT / 4 - 4
    high = min(110, wide * film.shape[1] / film.shape[2])
    shown = found["frames"][:8]
    for n in range(len(shown)):
        x, top = MARGIN + (n % 4) * (wide + 4), y + (n // 4) * (high + 40)
        pen.photo(x, top, wide, high, film[round(n / max(1, len(shown) - 1) * (len(film) - 1))])
        if n % 2 == 0:
            pen.box(x, top + high + 4, 2 * wide + 4, 2, theme.COLOURS["deltanet"])
            pen.text(x + wide, top + high + 16, f"<{found['seconds'][n // 2]:.1f} seconds>", 10, anchor="mm")
    return y + -(-len(shown) // 4) * (high + 40)
