"""The tape as a picture: a group for each pass, what stays above, what was refused below."""

from collections.abc import Sequence

from . import theme
from .panels import At
from .pen import FAINT, LINE, TEXT, Pen, blend, font
from .pen import SCALE as PIXELS
from .tape_panel import Pass, TapePanel

CHIP, ROW, PAD = 20, 52, 5
KEPT, REFUSED = theme.COLOURS["ffn"], theme.COLOURS["negative"]


def draw_tape(pen: Pen, x: float, y: float, width: float, panel: TapePanel, at: At) -> float:
    """Returns where it ends."""
    pen.text(x, y + 8, panel.title, 12, bold=True, width=250)
    pen.text(x + 260, y + 8, panel.headline(at), 11, FAINT, width=width - 260)
    left, top = x, y + 26
    for text in panel.prompt:
        left, top = _room(left, top, x, width, wide(text))
        pen.text(left + wide(text) / 2, top + CHIP / 2, text, 11, FAINT, anchor="mm")
        left += wide(text) + 2
    for each in panel.passes(at):
        need = group_width(each)
        left, top = _room(left, top, x, width, need)
        _group(pen, left, top, need, each)
        left += need + 4
    return _legend(pen, x, top + ROW + 6)


def wide(text: str) -> float:
    return font(11).getlength(text) / PIXELS + 9


def group_width(each: Pass) -> float:
    """Both rows side by side share their left edge; the refused drafts stand where the own token does."""
    kept = sum(wide(t) + 2 for t in each.tokens[: each.accepted])
    return kept + max(sum(wide(t) + 2 for t in row) for row in (each.own, each.refused)) + 2 * PAD


def _room(left: float, top: float, x: float, width: float, need: float) -> tuple[float, float]:
    """The place itself, or the beginning of the next line."""
    return (left, top) if left + need <= x + width else (x, top + ROW)


def _group(pen: Pen, x: float, y: float, width: float, each: Pass) -> None:
    pen.box(x, y - 3, width, ROW - 6, outline=LINE, radius=5)
    x = _chips(pen, x + PAD, y, each.tokens[: each.accepted], fill=blend(KEPT, 0.28), edge=KEPT)
    _chips(pen, x, y, each.own, edge=TEXT)
    for text in each.refused:
        pen.text(x + wide(text) / 2, y + CHIP + 11, text, 10.5, REFUSED, anchor="mm")
        pen.box(x + 3, y + CHIP + 10.5, wide(text) - 6, 1, REFUSED)
        x += wide(text) + 2


def _chips(pen: Pen, x: float, y: float, texts: Sequence[str], edge: str, fill: str | None = None) -> float:
    for text in texts:
        pen.box(x, y, wide(text), CHIP, fill, edge, radius=4)
        pen.text(x + wide(text) / 2, y + CHIP / 2, text, 11, anchor="mm")
        x += wide(text) + 2
    return x


def _legend(pen: Pen, x: float, y: float) -> float:
    pen.box(x, y, 16, 12, blend(KEPT, 0.28), KEPT, radius=3)
    pen.text(x + 22, y + 6, "draft, accepted", 10)
    pen.box(x + 130, y, 16, 12, None, TEXT, radius=3)
    pen.text(x + 152, y + 6, "the model's own token", 10)
    pen.text(x + 300, y + 6, "draft", 10, REFUSED)
    pen.box(x + 299, y + 5.5, 28, 1.2, REFUSED)
    pen.text(x + 334, y + 6, "refused; one frame is one pass of the model", 10)
    return y + 16
