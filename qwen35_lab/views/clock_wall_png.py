"""The clock wall's static twin: the same view as a PNG."""

import math
from collections.abc import Sequence

import torch

from ..analysis.clocks import Spectrum, kernel, unseen
from . import theme
from .pen import FAINT, LINE, MARGIN, SCALE, TEXT, WIDTH, Pen, wrap
from .words import short

COLUMNS, WIDE, HIGH, RADIUS = 8, 58, 70, 20  # of the clocks
NEAR, END = 64, 4  # distances of the short chart; native lengths of the long one
PLOT_WIDE, PLOT_HIGH = 310, 140


def draw(
    provenance: str, spectrum: Spectrum, position: int, facts: Sequence[tuple[str, str, bool]], said: str, heading: str,
    caption: str,
) -> bytes:  # fmt: skip
    """Clocks on the left, the numbers on the right, both charts under them."""
    pen = Pen(1200)
    pen.head(theme.kind_of(provenance), provenance)
    low = max(_wall(pen, 44, spectrum, position), _facts(pen, 48, facts)) + 6
    for line in wrap(said):
        pen.text(MARGIN, low + 8, line, bold=True)
        low += 16
    pen.text(MARGIN, low + 14, heading, 11, bold=True, width=WIDTH - 2 * MARGIN)
    low = _charts(pen, low + 48, spectrum, position) + 12
    for line in wrap(caption):
        pen.text(MARGIN, low + 8, line)
        low += 16
    return pen.png(low + 10)


def _facts(pen: Pen, y: float, facts: Sequence[tuple[str, str, bool]]) -> float:
    x = MARGIN + COLUMNS * WIDE + 14
    for name, value, big in facts:
        pen.text(x, y, name, 10, FAINT)
        pen.text(x, y + 17, value, 16 if big else 12, bold=big)
        pen.box(x, y + 29, WIDTH - MARGIN - x, 1, LINE)
        y += 38
    return y


def _wall(pen: Pen, y: float, spectrum: Spectrum, position: int) -> float:
    turns, fresh = spectrum.slowed * position / (2 * math.pi), unseen(spectrum, position).tolist()
    for n, (at, new, seen) in enumerate(zip(turns.tolist(), fresh, spectrum.turns.tolist(), strict=True)):
        cx, cy = MARGIN + (n % COLUMNS + 0.5) * WIDE, y + n // COLUMNS * HIGH + RADIUS + 2
        pen.box(cx - RADIUS, cy - RADIUS, 2 * RADIUS, 2 * RADIUS, outline=LINE, radius=RADIUS)
        box = [SCALE * v for v in (cx - RADIUS - 1.5, cy - RADIUS - 1.5, cx + RADIUS + 1.5, cy + RADIUS + 1.5)]
        pen.ink.arc(box, -90, -90 + 360 * min(1, seen), theme.COLOURS["deltanet"], round(3 * SCALE))
        colour = theme.COLOURS["attention"] if new else TEXT
        tip = cx + 0.8 * RADIUS * math.sin(2 * math.pi * at), cy - 0.8 * RADIUS * math.cos(2 * math.pi * at)
        pen.line([(cx, cy), tip], colour, 2, (4, 2.5) if new else ())
        told = "unseen!" if new else f"{at:,.0f}" if at >= 100 else f"{at:.2f}"
        pen.text(cx, cy + RADIUS + 10, told, 9, colour, bold=new, anchor="mm")
        divided = float(spectrum.own[n] / spectrum.slowed[n])
        pen.text(cx, cy + RADIUS + 21, f"{n}" + (f" ÷ {short(divided)}" if divided > 1.0001 else ""), 8.5, FAINT,
                 anchor="mm")  # fmt: skip
    return y + math.ceil(len(turns) / COLUMNS) * HIGH


def _charts(pen: Pen, y: float, spectrum: Spectrum, position: int) -> float:
    from .clock_wall import long_means

    end = END * spectrum.native
    near = torch.arange(NEAR + 1)
    left, right = MARGIN + 34, WIDTH - MARGIN - PLOT_WIDE
    x = (near / NEAR * PLOT_WIDE + left).tolist()
    _frame(pen, left, y, f"a short text: distance 0 to {NEAR}", [(n / NEAR, str(n)) for n in range(0, NEAR + 1, 16)])
    powers = [(n * math.log(10) / math.log(end), shortened(10**n)) for n in range(int(math.log10(end)) + 1)]
    _frame(pen, right, y, f"a long one: distance 1 to {end:,}, log scale", powers)
    for place, colour, dash in ((spectrum.native, "deltanet", (2, 2)), (position, "attention", ())):
        if place > 0:
            at = right + math.log(place) / math.log(end) * PLOT_WIDE
            pen.line([(at, y), (at, y + PLOT_HIGH)], theme.COLOURS[colour], 1.3, dash)
    columns = 180
    far = [right + (n + 0.5) / columns * PLOT_WIDE for n in range(columns)]
    for yarn, colour, dash in ((False, theme.COLOURS["stream"], (5, 3)), (True, theme.COLOURS["ffn"], ())):
        pairs = ((x, kernel(spectrum, near, yarn=yarn)), (far, long_means(spectrum, end, columns, 8, yarn=yarn)))
        for places, values in pairs:
            points = [(a, _height(v, y)) for a, v in zip(places, values.tolist(), strict=True)]
            pen.line(points, colour, 1.8, dash)
    return y + PLOT_HIGH + 22


def shortened(number: int) -> str:
    """1,000,000 as 1M, 10,000 as 10k."""
    return f"{number // 10**6}M" if number >= 10**6 else f"{number // 1000}k" if number >= 10**4 else f"{number:,}"


def _height(value: float, y: float) -> float:
    return y + (1.4 - value) / 1.65 * PLOT_HIGH  # from −0.25 to 1.4


def _frame(pen: Pen, x: float, y: float, title: str, ticks: Sequence[tuple[float, str]]) -> None:
    pen.text(x, y - 10, title, 10, FAINT)
    for value in (0, 0.5, 1):
        pen.box(x, _height(value, y), PLOT_WIDE, 0.7, LINE)
        pen.text(x - 5, _height(value, y), f"{value:g}", 9, FAINT, anchor="rm")
    for at, name in ticks:
        pen.text(x + at * PLOT_WIDE, y + PLOT_HIGH + 10, name, 9, FAINT, anchor="mm")
