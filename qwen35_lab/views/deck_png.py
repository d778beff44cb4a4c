"""A deck's static twin: the same view as a PNG, for GitHub, nbviewer, paper and a kernel that is gone."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import theme
from .frames import array, frame, span, ticks
from .panels import At, Axis, Bars, Curves, Dial, Heat, Panel, Strip, one_line
from .pen import FAINT, LINE, MARGIN, PAPER, TEXT, TRACK, WIDTH, Pen, tint, wrap
from .picture_panel import Picture
from .prompt_panel import PromptPanel
from .prompt_png import draw_prompt, height
from .tape_png import draw_tape
from .words import minus, short, visible

GAP = 24
HALF = (WIDTH - 2 * MARGIN - GAP) / 2
INKS = ("deltanet", "attention", "ffn", "stream")  # of series; the dashes tell them apart without colour
DASHES = ((), (7, 3), (2, 3), (8, 3, 2, 3))


def draw(panels: Sequence[Panel], dials: Sequence[Dial], at: At, caption: str, provenance: str) -> bytes:
    """One view of a deck, two panels beside each other where they are not wide."""
    room = WIDTH - 2 * MARGIN
    pen = Pen(200 + sum(height(p, at, room) if isinstance(p, PromptPanel) else 480 for p in panels))
    pen.head(theme.kind_of(provenance), provenance)
    y = 40.0
    for dial in dials:
        y = _dial(pen, y, dial, at[dial.name])
    x, lowest = MARGIN, y
    for panel in panels:
        width = WIDTH - 2 * MARGIN if is_wide(panel) else HALF
        if x > MARGIN and (width > HALF or x + width > WIDTH):
            x, y = MARGIN, lowest
        lowest = max(lowest, DRAW[panel.kind](pen, x, y + 8, width, panel, at) + 14)
        x, y = (x + width + GAP, y) if width == HALF else (MARGIN, lowest)
    for line in wrap(caption):
        pen.text(MARGIN, lowest + 8, line)
        lowest += 16
    return pen.png(lowest + 10)


def is_wide(panel: Panel) -> bool:
    if isinstance(panel, Heat):
        rows, columns = array(panel.values).shape[-2:]
        return columns > 2.5 * rows and columns > 24
    return panel.kind in ("strip", "tape", "prompt")


def _dial(pen: Pen, y: float, dial: Dial, place: int) -> float:
    last = max(1, len(dial.labels) - 1)
    pen.text(MARGIN, y + 10, dial.name, width=120)
    pen.box(MARGIN + 130, y + 9, 330, 2, LINE)
    pen.box(MARGIN + 124 + 330 * place / last, y + 4, 12, 12, TEXT, radius=6)
    pen.text(MARGIN + 480, y + 10, one_line(dial.labels[place]), bold=True, width=200)
    pen.text(WIDTH - MARGIN, y + 10, f"{place + 1} of {len(dial.labels)}", 10, FAINT, anchor="rm")
    return y + 24


def _title(pen: Pen, x: float, y: float, width: float, panel: Panel) -> float:
    unit = f", {panel.unit}" if panel.unit else ""
    pen.text(x, y + 8, panel.title + unit, 12, bold=True, width=width)
    return y + 22


def colours(values: np.ndarray, limit: float) -> np.ndarray:
    """[row, column] -> [row, column, 3] over white; cells without a value are a fine grey chequer."""
    shares = np.nan_to_num(values / limit).clip(-1, 1)
    inks = np.array([[int(theme.COLOURS[s][n : n + 2], 16) for n in (1, 3, 5)] for s in ("positive", "negative")])
    alpha = (np.abs(shares) ** 0.65)[..., None]
    painted = 255 + (inks[(shares < 0).astype(int)] - 255) * alpha
    chequer = np.where(np.indices(values.shape).sum(0) % 2, 232, 243)[..., None]
    return np.where(np.isfinite(values)[..., None], painted, chequer)


def _heat(pen: Pen, x: float, y: float, width: float, panel: Heat, at: At) -> float:
    y = _title(pen, x, y, width, panel)
    values = frame(panel.values, panel.over, at)
    rows, columns = values.shape
    most = max(map(abs, span([array(panel.values)])))
    limit = panel.limit or most or 1
    left = 58 if panel.rows.labels is not None else 26
    w = min(width - left, 46 * columns)
    h = min(max(w * rows / columns, 60), 380, 46 * rows)
    pen.box(x + left - 1, y - 1, w + 2, h + 2, outline=LINE)
    pen.cells(x + left, y, w, h, colours(values, limit))
    if panel.choose:
        row, column = (at[name] for name in panel.choose)
        corner = x + left + column * w / columns, y + row * h / rows
        pen.box(*corner, w / columns, h / rows, outline=TEXT, line=3)
    for n in range(0, rows, every(panel.rows, 12 * rows / h)):
        pen.text(x + left - 5, y + (n + 0.5) * h / rows, panel.rows.label(n), 9, FAINT, anchor="rm", width=left - 6)
    room = 26 if panel.columns.labels is None else 44
    for n in range(0, columns, every(panel.columns, room * columns / w)):
        name = panel.columns.label(n)
        pen.text(x + left + (n + 0.5) * w / columns, y + h + 9, name, 9, FAINT, anchor="mm", width=room - 4)
    pen.text(x + left, y + h + 24, f"{panel.rows.name} ↓  {panel.columns.name} →", 9, FAINT)
    wide = w >= 280
    _scale(pen, x + left + max(0, w - 150), y + h + (24 if wide else 38), -limit if panel.signed else 0, limit)
    if most > limit * 1.0001:
        pen.text(x + left, y + h + 38, f"clipped; the largest is {most:.3g}", 9, FAINT)
    return y + h + (48 if not wide or most > limit * 1.0001 else 34)


def every(axis: Axis, least: float) -> int:
    """Which labels there is room for; places without names are counted in powers of two."""
    step = max(1, math.ceil(least))
    return step if axis.labels is not None else 2 ** math.ceil(math.log2(step))


def _scale(pen: Pen, x: float, y: float, low: float, high: float) -> None:
    pen.text(x, y, minus(short(low)), 9, FAINT, anchor="lm")
    for n in range(40):
        value = low + (high - low) * (n + 0.5) / 40
        pen.box(x + 36 + 1.9 * n, y - 4, 2.4, 8, tint(value / high))
    pen.text(x + 150, y, short(high), 9, FAINT, anchor="rm")


def _curves(pen: Pen, x: float, y: float, width: float, panel: Curves, at: At) -> float:
    y = _title(pen, x, y, width, panel)
    left, right, high = 46, 74, 190
    w = width - left - right
    ends = panel.ends()
    scale = np.log10 if panel.log else np.asarray
    low, top = (float(scale(end)) for end in ends)

    def up(value: Any) -> Any:
        return y + high - (scale(value) - low) / ((top - low) or 1) * high

    for tick in ticks(*ends, panel.log):
        pen.box(x + left, up(tick), w, 1, TRACK)
        pen.text(x + left - 5, up(tick), minus(short(tick)), 9, FAINT, anchor="rm")
    size = array(next(iter(panel.series.values()))).shape[-1]
    _lines(pen, x + left, w, panel, at, up)
    if panel.cursor:
        pen.box(x + left + at[panel.cursor] * w / max(1, size - 1) - 0.5, y, 1, high, TEXT)
    axis: Axis = panel.x
    pen.text(x + left, y + high + 9, axis.label(0), 9, FAINT)
    pen.text(x + left + w, y + high + 9, axis.label(size - 1), 9, FAINT, anchor="rm")
    pen.text(x + left + w / 2, y + high + 9, axis.name, 9, FAINT, anchor="mm")
    return y + high + 20


def _lines(pen: Pen, x: float, w: float, panel: Curves, at: At, up: Callable[[Any], Any]) -> None:
    """The series, each with its name at its end; `up` says how high a value is drawn."""
    taken = []
    for n, (name, values) in enumerate(panel.series.items()):
        now, colour = frame(values, panel.over, at), theme.COLOURS[INKS[n % 4]]
        known = np.flatnonzero(np.isfinite(now) & ((now > 0) | (not panel.log)))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            places = [(x + i * w / max(1, len(now) - 1), float(up(now[i]))) for i in run]
            if len(places) > 1:
                pen.line(places, colour, dash=DASHES[n % 4])
        if len(known):
            place = float(up(now[known[-1]]))
            while any(abs(place - other) < 12 for other in taken):
                place += 4
            taken.append(place)
            pen.text(x + w + 6, place, name, 10, colour, bold=True, width=68)


def _bars(pen: Pen, x: float, y: float, width: float, panel: Bars, at: At) -> float:
    y = _title(pen, x, y, width, panel)
    most = max(map(abs, span([array(v) for v in panel.series.values()]))) or 1
    track, start = width - 84 - 64, x + 84
    middle = start + track / 2 if panel.signed else start
    room = track / 2 if panel.signed else track
    for n, label in enumerate(panel.labels):
        pen.text(x, y + 8, one_line(label), 10, width=78)
        for k, (_, values) in enumerate(panel.series.items()):
            value = float(frame(values, panel.over, at)[n])
            sign = "negative" if value < 0 else "positive"
            colour = theme.COLOURS[sign if len(panel.series) == 1 else INKS[k % 4]]
            pen.box(start, y + 3, track, 10, TRACK, radius=2)
            length = min(1, abs(value) / most) * room if np.isfinite(value) else 0
            pen.box(middle - length * (value < 0), y + 3, length, 10, colour, radius=2)
            pen.text(x + width, y + 8, minus(short(value)) if np.isfinite(value) else "–", 10, anchor="rm")
            y += 15
        y += 3
    if len(panel.series) > 1:
        for k, name in enumerate(panel.series):
            pen.text(x + k * 90, y + 8, f"■ {name}", 10, theme.COLOURS[INKS[k % 4]], width=86)
        y += 16
    return y + 6


def _strip(pen: Pen, x: float, y: float, width: float, panel: Strip, at: At) -> float:
    if panel.title:
        y = _title(pen, x, y, width, panel)
    fills = None
    if panel.values is not None:
        limit = panel.limit or max(map(abs, span([array(panel.values)]))) or 1
        values = np.nan_to_num(frame(panel.values, panel.over, at))
        fills = [tint(0.5 * float(value) / limit) for value in values]
    pen.tokens(y, [visible(str(token)) for token in panel.tokens], at[panel.dial], fills)
    return y + 22


def _picture(pen: Pen, x: float, y: float, width: float, panel: Picture, at: At) -> float:
    y = _title(pen, x, y, width, panel)
    pixels = np.asarray(panel.pixels, "uint8")[tuple(at[name] for name in panel.seen)]
    rows, columns = panel.grid
    w = min(width, 340, 340 * pixels.shape[1] / pixels.shape[0])
    h = w * pixels.shape[0] / pixels.shape[1]
    pen.photo(x, y, w, h, pixels)
    side = w / columns
    for n in range(1, max(rows, columns)):
        pen.box(x, y + n * h / rows, w * (n < rows), 0.6, FAINT)
        pen.box(x + n * side, y, 0.6, h * (n < columns), FAINT)
    if panel.values is not None:
        now = np.nan_to_num(frame(panel.values, panel.over, at))
        most = panel.limit or float(array(panel.values).max()) or 1
        for place, value in np.ndenumerate(now):
            edge = 0.8 * side * min(1, float(value) / most) ** 0.5
            left, top = ((place[1 - n] + 0.5) * side - edge / 2 for n in (0, 1))
            if edge > 1:
                pen.veil(x + left, y + top, edge, edge, theme.COLOURS["negative"], 0.55)
    if panel.dial and (chosen := at[panel.dial] - panel.first) >= 0:
        row, column = divmod(chosen, columns)
        across, down = min(panel.side, columns - column), min(panel.side, rows - row)
        pen.box(x + column * side, y + row * h / rows, across * side, down * h / rows, outline=PAPER, line=2.5)
    return y + h + 8


DRAW: dict[str, Callable[..., float]] = {
    "heat": _heat, "curves": _curves, "bars": _bars, "strip": _strip, "picture": _picture,
    "tape": draw_tape, "prompt": draw_prompt,
}  # fmt: skip
