"""The stepper's static twin: the present stop as a PNG, for GitHub, nbviewer, paper and a kernel that is gone."""

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import ImageFont

from . import theme
from .pen import FAINT, LINE, MARGIN, SCALE, TEXT, WIDTH, Pen, font, tint, wrap
from .words import sizes

CODE = {"k": "#7b30a0", "s": "#a31515", "c": FAINT, "n": "#0a6640", "f": "#0050a0", "b": "#0050a0"}
HOT, CODE_SIZE = "#fff3c4", 9.5
WIDE, HEIGHT = WIDTH - 2 * MARGIN, 1100


def draw(data: dict[str, Any], stop: int, token: int) -> bytes:
    """One stop of what `stepper_data.describe` gives, as PNG."""
    shown = data["stops"][stop]
    pen = Pen(HEIGHT)
    pen.head(data["badge"], data["provenance"])
    pen.tokens(38, data["tokens"], token)
    if shown["kind"]:
        pen.glyph(MARGIN + 12, 84, 22, shown["kind"])
    pen.text(MARGIN + 32 * bool(shown["kind"]), 84, shown["name"], 15, bold=True)
    pen.text(WIDTH - MARGIN, 84, f"stop {stop + 1} of {len(data['stops'])}", 11, FAINT, anchor="rm")
    equation(pen, MARGIN + 8, 118, shown["equation"], 18)
    y = 146.0
    for line in wrap(shown["meaning"], WIDE):
        pen.text(MARGIN, y, line, 12)
        y += 18
    y = _listing(pen, data["sources"][shown["source"]], y + 4)
    y = _facts(pen, shown, data["tokens"], token, y)
    y = _heat(pen, shown, shown["values"], unpacked(shown["values"], data["exact"]), token, y)
    if shown["gaps"] is not None and not shown["gaps"][token] <= data["above"]:
        how = shown["otherShape"] or f"{shown['gaps'][token]:.2g} of the largest value"
        pen.text(MARGIN, y + 12, f"≠ against {data['against']}: {how}",
                 11, theme.COLOURS["attention"], bold=True, width=WIDE)  # fmt: skip
        y += 26
        if shown["difference"] is not None:
            y = _heat(pen, shown, shown["difference"], unpacked(shown["difference"], data["exact"]), token, y)
    return _png(pen, min(HEIGHT, y + 10))


def _png(pen: Pen, height: float) -> bytes:
    """All colours: with few of them the marked line loses its own."""
    file = io.BytesIO()
    pen.image.crop((0, 0, WIDTH * SCALE, round(height * SCALE))).save(file, "PNG", optimize=True)
    return file.getvalue()


def equation(pen: Pen, x: float, y: float, parts: list[Any], size: float) -> float:
    """A typeset equation, its middle at y; returns where it ends."""
    for part in parts:
        if isinstance(part, str):
            pen.text(x, y, part, size)
            x += font(size).getlength(part) / SCALE
        else:
            ((level, inside),) = part.items()
            x = equation(pen, x, y + size * (0.32 if level == "sub" else -0.36), inside, size * 0.7) + 1
    return x


@cache
def code_font(bold: bool) -> Any:
    """A typewriter face where the machine has one."""
    try:
        return ImageFont.truetype(f"DejaVuSansMono{'-Bold' * bold}.ttf", CODE_SIZE * SCALE)
    except OSError:
        return font(CODE_SIZE, bold)


def _listing(pen: Pen, source: dict[str, Any], y: float) -> float:
    pen.text(MARGIN, y + 6, f"{source['file']}:{source['line']}", 10, FAINT)
    y += 18
    pen.box(MARGIN, y, WIDE, 17 * len(source["lines"]) + 8, outline=LINE, radius=4)
    for number, line in enumerate(source["lines"], source["first"]):
        middle = y + 12 + 17 * (number - source["first"])
        if source["line"] <= number <= source["last"]:
            pen.box(MARGIN + 1, middle - 8, WIDE - 2, 17, HOT)
        pen.text(MARGIN + 34, middle, str(number), 9, FAINT, anchor="rm")
        _code(pen, MARGIN + 44.0, middle, line)
    return y + 17 * len(source["lines"]) + 26


def _code(pen: Pen, x: float, y: float, line: list[list[Any]]) -> None:
    """One line, cut off where the frame ends."""
    for colour, called, text in line:
        face = code_font(bool(called))
        while text and x + face.getlength(text) / SCALE > WIDTH - MARGIN - 6:
            text = text[:-1]
        pen.ink.text((x * SCALE, y * SCALE), text, CODE.get(colour, TEXT), face, anchor="lm")
        x += face.getlength(text) / SCALE


def _facts(pen: Pen, shown: dict[str, Any], tokens: list[str], token: int, y: float) -> float:
    shape = sizes(shown["axes"], shown["shape"])
    pen.text(MARGIN, y, f"{shape}   {shown['dtype']}", 11)
    names = zip(("min", "mean", "max", "norm"), shown["stats"][token], strict=True)
    numbers = "   ".join(f"{name} {float(x):.3g}" for name, x in names)
    pen.text(MARGIN, y + 18, f"token {token} “{tokens[token]}”   {numbers}", 11, FAINT)
    return y + 34


def unpacked(picture: dict[str, Any], exact: bool) -> np.ndarray:
    """[token, …] in float32, from what travels."""
    numbers = picture["numbers"]
    if exact:
        return numbers
    upper = np.ascontiguousarray(numbers).view("uint16").astype("uint32") << 16
    return upper.view("float32").reshape(len(numbers), *picture["cells"])


def _heat(pen: Pen, shown: dict[str, Any], picture: dict[str, Any], values: np.ndarray, token: int, y: float) -> float:
    """One token's values; of an attention map, all rows with the token's framed."""
    own = values.swapaxes(0, 1) if shown["map"] else values[token]
    panels = own.reshape(-1, *own.shape[-2:]) if own.ndim > 1 else own[None, None]
    count = min(len(panels), 6)
    width = (WIDE - 8 * (count - 1)) / count
    square = len(panels) > 1 or shown["map"]
    width = min(width, 240) if square else width
    height = width * panels.shape[1] / panels.shape[2] if square else min(24 * panels.shape[1], 240)
    for n, panel in enumerate(panels[:count]):
        x = MARGIN + n * (width + 8)
        pen.cells(x, y, width, height, _pixels(panel, picture["limit"]))
        pen.box(x, y, width, height, outline=LINE)
        if shown["map"]:
            row = height / len(panel)
            pen.box(x, y + token * row, width, row, outline=TEXT)
    return y + height + 8


def _pixels(panel: np.ndarray, limit: float) -> np.ndarray:
    """[row, column, 3]; what is not finite stays white."""
    shares = np.nan_to_num(panel / limit, nan=0, posinf=0, neginf=0)
    colours = [[tint(float(share)) for share in row] for row in shares]
    return np.array([[[int(c[n : n + 2], 16) for n in (1, 3, 5)] for c in row] for row in colours])
