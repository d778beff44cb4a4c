"""The chat's static twin: the same conversation as a PNG."""

from itertools import pairwise

from ..serving.dialogue import Turn
from . import theme
from .pen import FAINT, LINE, MARGIN, TEXT, WIDTH, Pen, blend, wrap

LONGEST = 14  # lines of one text; what is longer ends in an ellipsis


def draw(provenance: str, turns: list[tuple[Turn, str]], error: str, caption: str) -> bytes:
    """Questions on the right, answers on the left, thoughts in a dashed box, the last prompt below."""
    last = next((turn.prompt for turn, _ in reversed(turns) if turn.prompt), "")
    pen = Pen(300 + sum(90 + 15 * len(_lines(t.text + t.reasoning)) for t, _ in turns) + 16 * len(last.split("\n")) * 2)
    pen.head(theme.kind_of(provenance), provenance)
    y = 40.0
    for turn, told in turns:
        y = _question(pen, y, turn) if turn.role == "user" else _answer(pen, y, turn, told)
    if error:
        for line in wrap(error):
            pen.text(MARGIN, y + 8, line, bold=True)
            y += 16
    if last:
        pen.text(MARGIN, y + 8, "The exact prompt of the last answer", 11, bold=True)
        y += 20
        lines = [part for line in last.split("\n") for part in (wrap(line, WIDTH - 60) or [""])][: 2 * LONGEST]
        pen.box(MARGIN, y, WIDTH - 2 * MARGIN, 15 * len(lines) + 10, outline=LINE, radius=4)
        for line in lines:
            pen.text(MARGIN + 8, y + 12, line, 10, FAINT)
            y += 15
        y += 18
    for line in wrap(caption):
        pen.text(MARGIN, y + 8, line, 11, FAINT)
        y += 16
    return pen.png(y + 12)


def _question(pen: Pen, y: float, turn: Turn) -> float:
    lines = _lines(turn.text, 420)
    width = 440
    pen.box(WIDTH - MARGIN - width, y, width, 15 * len(lines) + 14, blend(theme.COLOURS["positive"], 0.12), radius=8)
    for line in lines:
        pen.text(WIDTH - MARGIN - width + 10, y + 14, line, 12)
        y += 15
    return y + 24


def _answer(pen: Pen, y: float, turn: Turn, told: str) -> float:
    pen.text(MARGIN, y + 6, turn.by, 11, bold=True)
    y += 18
    if turn.reasoning:
        lines = _lines(turn.reasoning)
        left, right, low = MARGIN, WIDTH - 160, y + 15 * len(lines) + 26
        corners = [(left, y), (right, y), (right, low), (left, low), (left, y)]
        for edge in pairwise(corners):
            pen.line(list(edge), FAINT, 1.2, dash=(5, 4))
        pen.text(MARGIN + 10, y + 12, "thinking", 10, FAINT, bold=True)
        for line in lines:
            pen.text(MARGIN + 10, y + 28, line, 11, FAINT)
            y += 15
        y += 32
    for line in _lines("\n".join([turn.text, *turn.calls]).strip()):
        pen.text(MARGIN + 10, y + 6, line, 12, TEXT)
        y += 16
    pen.text(MARGIN + 10, y + 6, told, 10, FAINT)
    return y + 26


def _lines(text: str, width: float = WIDTH - 190) -> list[str]:
    found = [part for line in text.split("\n") for part in (wrap(line, width) or [""])]
    return found if len(found) <= LONGEST else [*found[: LONGEST - 1], "…"]
