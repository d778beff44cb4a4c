"""The cost explorer's static twin: the same view as a PNG."""

import math
from typing import Any

from . import theme
from .cost_explorer_data import CONTEXTS
from .pen import FAINT, LINE, MARGIN, TEXT, TRACK, WIDTH, Pen, wrap
from .words import minus, short

GAP, LEFT, HIGH = 26, 52, 150
HALF = (WIDTH - 2 * MARGIN - GAP) / 2
LOOK: dict[str, tuple[str, tuple[int, ...], float]] = {
    "this mix": ("positive", (), 3), "this mix's cache": ("positive", (), 3),
    "all attention": ("attention", (7, 3), 1.8), "weights": ("stream", (8, 3, 2, 3), 1.8),
    "all DeltaNet": ("ffn", (2, 3), 1.8), "its states": ("ffn", (2, 3), 1.8),
}  # fmt: skip


def draw(shown: Any) -> bytes:
    """Numbers on top, four charts two by two, the caption below."""
    pen = Pen(1000)
    pen.head(theme.kind_of(shown.provenance()), shown.provenance())
    pen.text(MARGIN, 46, shown.heading(), 12, bold=True, width=WIDTH - 2 * MARGIN)
    y = 60.0
    for name, value in shown.facts():
        pen.text(MARGIN, y + 7, name, 11, FAINT)
        pen.text(MARGIN + 140, y + 7, value, 11)
        y += 17
    for n, panel in enumerate(shown.panels()):
        _chart(pen, MARGIN + (n % 2) * (HALF + GAP), y + 10 + (n // 2) * (HIGH + 82), panel, shown.context)
    y += 10 + 2 * (HIGH + 82)
    for line in wrap(shown.caption()):
        pen.text(MARGIN, y + 8, line)
        y += 16
    return pen.png(y + 10)


def _chart(pen: Pen, x: float, y: float, panel: dict[str, Any], now: int) -> None:
    pen.text(x, y + 8, panel["title"], 12, bold=True, width=HALF)
    y, w = y + 20, HALF - LEFT
    values = [v for line in panel["lines"].values() for v in line if v > 0]
    if not values:
        pen.text(x + LEFT, y + 20, "nothing to draw: the price is 0", 11, FAINT)
        return
    low = math.floor(math.log10(min(values)) + 1e-6)
    high = max(low + 1, math.ceil(math.log10(max(values)) - 1e-6))

    def up(value: float) -> float:
        share = (math.log10(max(value, 1e-300)) - low) / (high - low)
        return y + HIGH - min(1.0, max(0.0, share)) * HIGH

    def across(tokens: float) -> float:
        return x + LEFT + math.log(tokens / CONTEXTS[0]) / math.log(CONTEXTS[-1] / CONTEXTS[0]) * w

    for tick in range(low, high + 1, math.ceil((high - low) / 6)):
        pen.box(x + LEFT, up(10.0**tick), w, 1, TRACK)
        pen.text(x + LEFT - 5, up(10.0**tick), _power(tick), 9, FAINT, anchor="rm")
    for tokens in CONTEXTS[::8]:
        pen.text(across(tokens), y + HIGH + 9, _tokens(tokens), 9, FAINT, anchor="mm")
    _lines(pen, panel, up, across)
    if mark := panel["mark"]:
        at, right = across(mark["x"]), across(mark["x"]) > x + LEFT + 0.6 * w
        pen.line([(at, y), (at, y + HIGH)], TEXT, 1.2, (4, 3))
        told = f"{mark['name']} {short(mark['x'])}"
        pen.text(at + (-5 if right else 5), y + 6, told, 10, anchor="rm" if right else "lm")
    pen.box(across(CONTEXTS[now]), y, 1, HIGH, LINE)
    main = next(iter(panel["lines"].values()))[now]
    if main > 0:
        pen.box(across(CONTEXTS[now]) - 4, up(main) - 4, 8, 8, theme.COLOURS["positive"], radius=4)
    _legend(pen, x, y + HIGH + 24, panel)


def _lines(pen: Pen, panel: dict[str, Any], up: Any, across: Any) -> None:
    if panel["hatch"]:
        for n in range(len(CONTEXTS) - 1):
            for share in (0, 0.33, 0.67):
                low, high = (pair[n] * (pair[n + 1] / pair[n]) ** share for pair in panel["hatch"])
                at = across(CONTEXTS[n] * (CONTEXTS[n + 1] / CONTEXTS[n]) ** share)
                pen.line([(at, up(low)), (at, up(high))], FAINT, 0.8)
    for name, line in reversed(panel["lines"].items()):
        ink, dash, thick = LOOK[name]
        points = [(across(tokens), up(v)) for tokens, v in zip(CONTEXTS, line, strict=True) if v > 0]
        if len(points) > 1:
            pen.line(points, theme.COLOURS[ink], thick, dash)


def _legend(pen: Pen, x: float, y: float, panel: dict[str, Any]) -> None:
    for n, name in enumerate(panel["lines"]):
        ink, dash, thick = LOOK[name]
        at, down = x + (n % 2) * HALF / 2, y + (n // 2) * 14
        pen.line([(at, down), (at + 24, down)], theme.COLOURS[ink], thick, dash)
        pen.text(at + 30, down, name, 10, FAINT)
    if panel["hatch"]:
        at, down = x + (len(panel["lines"]) % 2) * HALF / 2, y + len(panel["lines"]) // 2 * 14
        for n in range(0, 24, 4):
            pen.line([(at + n, down - 5), (at + n, down + 5)], FAINT, 0.8)
        pen.text(at + 30, down, "unseen by a counter", 10, FAINT)


def _power(tick: int) -> str:
    """A power of ten as an axis has it: 0.01, 10, 1 M, 10¹⁵."""
    if 3 <= tick < 15:
        return f"{10 ** (tick % 3)} {'kMGT'[tick // 3 - 1]}"
    if -3 <= tick < 3:
        return f"{10.0**tick:g}"
    return "10" + minus(str(tick)).translate(str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _tokens(tokens: int) -> str:
    return str(tokens) if tokens < 1024 else f"{tokens // 1024}K" if tokens < 2**20 else f"{tokens // 2**20}M"
