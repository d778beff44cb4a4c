"""The text ruler's static twin: the same view as a PNG."""

from collections.abc import Sequence
from typing import Any

from . import theme
from .pen import FAINT, LINE, MARGIN, TEXT, WIDTH, Pen, blend, font, wrap
from .pen import SCALE as PIXELS

CHIP, GAP, ROWS, FULL = 20, 3, 22, 12  # heights in pixels; lines of tokens; bytes of the strongest colour
COLUMN = (WIDTH - 2 * MARGIN - 20) / 2


def draw(
    provenance: str, names: Sequence[str], counted: dict[str, Any], facts: Sequence[tuple[str, str, str]], said: str,
    caption: str,
) -> bytes:  # fmt: skip
    """Both token strips side by side, the numbers under them, and sentences under those."""
    pen = Pen(1000)
    pen.head(theme.kind_of(provenance), provenance)
    y = 46.0
    for line in wrap(counted["text"].replace("\n", "⏎ "), size=12)[:4]:
        pen.text(MARGIN, y, line, 12)
        y += 17
    low = y
    for n, (name, side) in enumerate(zip(names, counted["sides"], strict=True)):
        x = MARGIN + n * (COLUMN + 20)
        pen.text(x, y + 16, f"{name}: {side['tokens']:,} tokens", 13, bold=True)
        low = max(low, _chips(pen, x, y + 30, side, counted["rtl"]))
    low = _table(pen, low + 14, names, facts)
    for line in [said, *wrap(caption)]:
        pen.text(MARGIN, low + 8, line)
        low += 16
    return pen.png(low + 10)


def _chips(pen: Pen, x: float, y: float, side: dict[str, Any], rtl: bool) -> float:
    """Line by line, from the right where the text runs so; returns where they end."""
    at, lines, drawn = 0.0, 1, 0
    for label, _, size, part in side["chips"]:
        wide = min(COLUMN, font(11).getlength(label) / PIXELS + 8)
        if at + wide > COLUMN:
            at, lines, y = 0.0, lines + 1, y + CHIP + GAP
        if lines > ROWS:
            break
        left = x + COLUMN - at - wide if rtl else x + at
        fill = blend(theme.COLOURS["positive"], 0.06 + 0.44 * min(1, size / FULL))
        pen.box(left, y, wide, CHIP, fill, FAINT if part else LINE, radius=3)
        pen.text(left + wide / 2, y + CHIP / 2, label, 11, anchor="mm", width=wide)
        at, drawn = at + wide + GAP, drawn + 1
    if side["tokens"] > drawn:
        y += 0 if lines > ROWS else CHIP + GAP
        pen.text(x, y + CHIP / 2, f"… and {side['tokens'] - drawn:,} more", 11, FAINT)
    return y + CHIP


def _table(pen: Pen, y: float, names: Sequence[str], facts: Sequence[tuple[str, str, str]]) -> float:
    for n, (what, *both) in enumerate([("", *names), *facts]):
        big = what == "tokens"
        pen.text(MARGIN, y + 10, what, 12, FAINT, width=230)
        for k, value in enumerate(both):
            pen.text(MARGIN + 260 + 150 * k, y + 10, value, 15 if big else 12, TEXT, bold=big or not n, width=140)
        pen.box(MARGIN, y + 22, 560, 1, LINE)
        y += 24
    return y + 8
