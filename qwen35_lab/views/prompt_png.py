"""The prompt as a picture: a frame for each turn, a chip for each token with its id under it."""

from . import theme
from .panels import At
from .pen import FAINT, LINE, TEXT, Pen, blend, font
from .pen import SCALE as PIXELS
from .prompt_panel import PromptPanel, PromptToken, Turn

CHIP, ROW, PAD, LINES = 18, 34, 6, 9  # LINES of a turn are drawn; the tools' descriptions have many more
FRESH = theme.COLOURS["ffn"]


def height(panel: PromptPanel, at: At, width: float) -> float:
    """What `draw_prompt` will take, or a little more."""
    lines = (min(LINES, len(_lines(turn, width - 2 * PAD))) for turn in panel.turns(at))
    return 24 + sum(28 + ROW * count + 16 for count in lines)


def draw_prompt(pen: Pen, x: float, y: float, width: float, panel: PromptPanel, at: At) -> float:
    """Returns where it ends."""
    pen.text(x, y + 8, panel.title, 12, bold=True, width=200)
    pen.text(x + 110, y + 8, panel.headline(at), 11, FAINT, width=width - 110)
    y += 24
    for turn in panel.turns(at):
        y = _turn(pen, x, y, width, turn) + 8
    return y


def _turn(pen: Pen, x: float, y: float, width: float, turn: Turn) -> float:
    lines = _lines(turn, width - 2 * PAD)
    shown = lines if len(lines) <= LINES else lines[: LINES - 3] + lines[-2:]
    cut = len(lines) - len(shown)
    high = 20 + ROW * len(shown) + (16 if cut else 0)
    pen.box(x, y, width, high, outline=LINE, radius=6)
    pen.text(x + PAD, y + 10, turn.role, 11, bold=True)
    low = y + 20
    for n, line in enumerate(shown):
        if cut and n == LINES - 3:
            hidden = sum(map(len, lines[LINES - 3 : -2]))
            pen.text(x + PAD, low + 6, f"… {hidden} tokens are left out of this picture", 10, FAINT)
            low += 16
        left = x + PAD
        for token in line:
            left = _chip(pen, left, low, token)
        low += ROW
    return y + high


def _lines(turn: Turn, width: float) -> list[list[PromptToken]]:
    lines: list[list[PromptToken]] = [[]]
    room = width
    for token in turn.tokens:
        if _wide(token) > room and lines[-1]:
            lines.append([])
            room = width
        lines[-1].append(token)
        room -= _wide(token) + 3
        if token.ends:
            lines.append([])
            room = width
    return [line for line in lines if line]


def _wide(token: PromptToken) -> float:
    text = font(10.5, token.special).getlength(token.label) / PIXELS
    return max(text, font(7.5).getlength(str(token.id)) / PIXELS) + 7


def _chip(pen: Pen, x: float, y: float, token: PromptToken) -> float:
    wide = _wide(token)
    edge, line = (TEXT, 1.8) if token.special else (LINE, 1)
    pen.box(x, y, wide, CHIP, blend(FRESH, 0.25) if token.fresh else None, edge, radius=3, line=line)
    pen.text(x + wide / 2, y + CHIP / 2, token.label, 10.5, bold=token.special, anchor="mm")
    pen.text(x + wide / 2, y + CHIP + 6, str(token.id), 7.5, FAINT, anchor="mm")
    return x + wide + 3
