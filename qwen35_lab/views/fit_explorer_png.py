"""The static twin of *Will it fit?*: the same view as a PNG."""

from typing import Any

from ..memory import in_words
from . import theme
from .pen import FAINT, LINE, MARGIN, TEXT, TRACK, WIDTH, Pen, blend, wrap

ROOM = WIDTH - 2 * MARGIN
# of every term: colour, how much of it, and the distance of the strokes across it, 0 for none
LOOKS = (
    ("deltanet", 1.0, 0), ("deltanet", 0.45, 5), ("deltanet", 0.25, 3), ("attention", 1.0, 0), ("attention", 0.5, 5),
    ("attention", 0.3, 3), ("attention", 0.2, 7), ("ffn", 0.7, 6), ("stream", 1.0, 0),
)  # fmt: skip
COLUMNS = (0, 110, 210, 310)  # of the article's table


def draw(shown: Any) -> bytes:
    """Heading, bar and line, legend, the article's table, caption."""
    pen, told = Pen(760), shown.footprint()
    pen.head(theme.kind_of(shown.provenance()), shown.provenance())
    pen.text(MARGIN, 46, f"{told.heading()}: {in_words(told.total)}", 12, bold=True, width=ROOM)
    pen.text(MARGIN, 64, f"{'✓' if told.fits else '✗'} {told.verdict()}", 11, width=ROOM)
    _bar(pen, 78, told)
    y = _legend(pen, 150, told)
    y = _table(pen, y + 14, shown)
    for line in wrap(shown.caption()):
        y += 16
        pen.text(MARGIN, y, line, 11, FAINT)
    return pen.png(y + 16)


def _bar(pen: Pen, y: float, told: Any) -> None:
    full = 1.04 * max(told.total, told.device.bytes)
    pen.box(MARGIN, y, ROOM, 44, TRACK, radius=3)
    x = float(MARGIN)
    for size, look in zip(told.terms.values(), LOOKS, strict=True):
        _patch(pen, x, y, ROOM * size / full, 44, look)
        x += ROOM * size / full
    at = MARGIN + ROOM * told.device.bytes / full
    pen.box(at - 1.5, y - 4, 3, 54, TEXT)
    right = told.device.bytes > full / 2
    pen.text(at + (-6 if right else 6), y + 58, f"{told.device.name} ends here", 11, bold=True,
             anchor="rm" if right else "lm")  # fmt: skip


def _patch(pen: Pen, x: float, y: float, w: float, h: float, look: tuple[str, float, int]) -> None:
    name, share, step = look
    pen.box(x, y, w, h, blend(theme.COLOURS[name], share))
    at = x
    while step and at < x + w:
        pen.box(at, y, min(1.2, x + w - at), h, theme.COLOURS[name])
        at += step


def _legend(pen: Pen, y: float, told: Any) -> float:
    for n, ((name, size), look) in enumerate(zip(told.terms.items(), LOOKS, strict=True)):
        x, down = MARGIN + (n % 3) * ROOM / 3, y + (n // 3) * 18
        _patch(pen, x, down, 24, 11, look)
        pen.text(x + 30, down + 6, name, 11)
        pen.text(x + ROOM / 3 - 24, down + 6, in_words(size) if size else "none", 11, anchor="rm")
    return y + 18 * 3


def _table(pen: Pen, y: float, shown: Any) -> float:
    pen.text(MARGIN, y, shown._data["asked"], 11, FAINT, width=ROOM)
    y += 18
    for at, text in zip(COLUMNS, ("model", "BF16", "4-bit", "what you'd run it on"), strict=True):
        pen.text(MARGIN + at, y, text, 11, FAINT)
    cells = shown.cells()
    for row in shown._data["rows"]:
        y += 20
        pen.box(MARGIN, y - 10, ROOM, 0.6, LINE)
        pen.text(MARGIN, y, shown._data["models"][row["model"]]["name"].removeprefix("Qwen3.5-"), 11)
        own = [cell for cell in cells if cell["model"] == row["model"]]
        x = MARGIN + COLUMNS[3]
        for n, cell in enumerate(own):
            left = MARGIN + COLUMNS[1 + n] if cell["number"] else x
            text = f"{'✓' if cell['holds'] else '✗'} {cell['text']}"
            pen.text(left, y, text, 11, TEXT if cell["holds"] else theme.COLOURS["attention"], bold=cell["chosen"])
            x += 0 if cell["number"] else 130
    return y + 6
