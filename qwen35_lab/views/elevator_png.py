"""The elevator's static twin: the same view as a PNG, for GitHub, nbviewer, paper and a kernel that is gone."""

import io
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from . import theme

SCALE = 2  # pixels per unit, so that it is sharp on dense screens
WIDTH, MARGIN = 760, 14
TEXT, FAINT, LINE, TRACK, PAPER = "#222222", "#666666", "#bbbbbb", "#ececec", "#ffffff"
LEFT = 196  # where the view begins, to the right of the shaft


@cache
def font(size: float, bold: bool = False) -> Any:
    """DejaVu where the machine has it, since it knows more scripts; else the font that Pillow brings."""
    try:
        return ImageFont.truetype(f"DejaVuSans{'-Bold' * bold}.ttf", size * SCALE)
    except OSError:
        return ImageFont.load_default(size * SCALE)


class Pen:
    """Pillow in units of a CSS pixel."""

    def __init__(self, height: float):
        self.image = Image.new("RGB", (WIDTH * SCALE, round(height * SCALE)), PAPER)
        self.ink = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, text: str, size: float = 11, colour: str = TEXT, *, bold: bool = False,
             anchor: str = "lm", width: float | None = None) -> None:  # fmt: skip
        """One line, its middle at y; shortened to `width`."""
        face = font(size, bold)
        while width is not None and text and self.ink.textlength(text, face) > width * SCALE:
            text = text[:-2] + "…" if len(text) > 1 else ""
        self.ink.text((x * SCALE, y * SCALE), text, colour, face, anchor=anchor)

    def box(self, x: float, y: float, w: float, h: float, fill: str | None = None, outline: str | None = None,
            radius: float = 0, line: float = 1) -> None:  # fmt: skip
        if w > 0 and h > 0:
            edges = [n * SCALE for n in (x, y, x + w, y + h)]
            self.ink.rounded_rectangle(edges, radius * SCALE, fill, outline, round(line * SCALE))

    def glyph(self, x: float, y: float, size: float, kind: str) -> None:
        """L in a square, F in a hexagon, E in a circle."""
        half = size / 2
        if kind == "full_attention":
            corners = ((-1.1, 0), (-0.6, -1), (0.6, -1), (1.1, 0), (0.6, 1), (-0.6, 1))
            places = [((x + a * half) * SCALE, (y + b * half) * SCALE) for a, b in corners]
            self.ink.polygon(places, theme.COLOURS["attention"])
        else:
            colour = theme.COLOURS["deltanet" if kind == "linear_attention" else "stream"]
            self.box(x - half, y - half, size, size, colour, radius=3 if kind == "linear_attention" else half)
        self.text(x, y, theme.LETTERS.get(kind, "E"), size * 0.62, "#ffffff", bold=True, anchor="mm")


def draw(data: dict[str, Any], floor: int, token: int) -> bytes:
    """One view of what `elevator_data.describe` gives, as PNG."""
    floors, taps = len(data["floors"]), data["floors"][floor]
    pitch = max(12, min(36, round(440 / floors)))
    view = 230 + 20 * data["lens"].shape[-1] + 26 * len(taps)
    height = max(84 + floors * pitch, view) + 14
    pen = Pen(height)
    pen.box(MARGIN, 8, 76, 18, outline=TEXT, radius=4)
    pen.text(MARGIN + 38, 17, data["badge"], 10, bold=True, anchor="mm")
    pen.text(MARGIN + 84, 17, data["provenance"].removeprefix(data["badge"]).strip(" ·"), 11, FAINT)
    _tokens(pen, data["tokens"], token)
    _shaft(pen, data, floor, token, pitch)
    kind = data["kinds"][floor - 1] if floor else "embedding"
    place = f"After layer {floor - 1} · {theme.NAMES[kind]}" if floor else "Embedding, before layer 0"
    pen.text(LEFT, 84, f"{place} · token {token} “{data['tokens'][token]}”", 13, bold=True)
    y = _norms(pen, data, floor, token, 104)
    y = _lens(pen, data, floor, token, y)
    _taps(pen, taps, token, y)
    file = io.BytesIO()
    pen.image.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(file, "PNG", optimize=True)
    return file.getvalue()


def _tokens(pen: Pen, tokens: list[str], token: int) -> None:
    """The strip on top, scrolled so that the chosen token can be seen."""
    widths = [font(11).getlength(text) / SCALE + 12 for text in tokens]
    first = 0
    while first < token and sum(widths[first : token + 1]) + 3 * (token - first) > WIDTH - 2 * MARGIN - 40:
        first += 1
    x = MARGIN
    for n in range(first, len(tokens)):
        if x + widths[n] > WIDTH - MARGIN:
            pen.text(WIDTH - MARGIN, 48, "…", anchor="rm")
            break
        pen.box(x, 38, widths[n], 20, outline=TEXT if n == token else LINE, radius=4, line=2 if n == token else 1)
        pen.text(x + widths[n] / 2, 48, tokens[n], bold=n == token, anchor="mm")
        x += widths[n] + 3


def _shaft(pen: Pen, data: dict[str, Any], floor: int, token: int, pitch: int) -> None:
    floors = len(data["floors"])
    for n in range(floors):
        y = 72 + (floors - 1 - n) * pitch
        if n == floor:
            pen.box(MARGIN, y, LEFT - MARGIN - 18, pitch, outline=TEXT, radius=5, line=2)
        kind = data["kinds"][n - 1] if n else "embedding"
        size = min(11, pitch - 3)
        pen.glyph(MARGIN + 19, y + pitch / 2, min(24, pitch - 3), kind)
        pen.text(MARGIN + 54, y + pitch / 2, str(n - 1) if n else "", size, FAINT, anchor="rm")
        guess = data["words"][data["lens"][n, token][0]]
        pen.text(MARGIN + 62, y + pitch / 2, guess, size, bold=n == floor, width=LEFT - MARGIN - 86)


def _bar(pen: Pen, y: float, name: str, share: float, colour: str, text: str) -> None:
    pen.text(LEFT, y, name, width=118)
    pen.box(LEFT + 124, y - 5, 270, 10, TRACK, radius=2)
    pen.box(LEFT + 124, y - 5, 270 * min(share, 1), 10, colour, radius=2)
    pen.text(LEFT + 402, y, text, width=WIDTH - LEFT - 402 - MARGIN)


def _norms(pen: Pen, data: dict[str, Any], floor: int, token: int, y: float) -> float:
    pen.text(LEFT, y, "Residual stream, norm", 10, FAINT)
    most = max(float(data[part][:, token].max()) for part in ("stream", "mixer", "ffn")) or 1
    rows = [("leaves", float(data["stream"][floor, token]), "stream", "")]
    if floor:
        mixer = "deltanet" if data["kinds"][floor - 1] == "linear_attention" else "attention"
        cosines = [f"   cos {float(data[f'{half}Cosine'][floor - 1, token]):.3g}" for half in ("mixer", "ffn")]
        added = [float(data[half][floor - 1, token]) for half in ("mixer", "ffn")]
        rows = [
            ("enters", float(data["stream"][floor - 1, token]), "stream", ""),
            ("mixer adds", added[0], mixer, cosines[0]),
            ("feed-forward adds", added[1], "ffn", cosines[1]),
            *rows,
        ]
    for name, value, colour, more in rows:
        y += 20
        _bar(pen, y, name, value / most, theme.COLOURS[colour], f"{value:.3g}{more}")
    return y + 24


def _lens(pen: Pen, data: dict[str, Any], floor: int, token: int, y: float) -> float:
    pen.text(LEFT, y, "Logit lens: the next token, if the model stopped here", 10, FAINT)
    following = data["ids"][token + 1] if token + 1 < len(data["ids"]) else None
    for n, p in zip(data["lens"][floor, token], data["probabilities"][floor, token], strict=True):
        y += 20
        comes = "  ◂ next in the text" if data["wordIds"][n] == following else ""
        _bar(pen, y, data["words"][n], float(p), theme.COLOURS["stream"], f"{p:.1%}{comes}")
    return y + 24


def _taps(pen: Pen, taps: list[dict[str, Any]], token: int, y: float) -> None:
    pen.text(LEFT, y, "Taps: minimum … mean … maximum over all tokens; the strip is the chosen token", 10, FAINT)
    positive, negative = (theme.COLOURS[sign] for sign in ("positive", "negative"))
    width = WIDTH - LEFT - MARGIN
    for tap in taps:
        y += 18
        shape = " × ".join(f"{axis} {size}" for axis, size in zip(tap["axes"], tap["shape"], strict=True))
        pen.text(LEFT, y, tap["name"], 10, width=120)
        pen.text(LEFT + 124, y, shape, 10, FAINT, width=210)
        span = f"{tap['min']:.3g} … {tap['mean']:.3g} … {tap['max']:.3g}"
        pen.text(LEFT + 340, y, span, 10, FAINT, width=width - 340)
        cells = tap["strip"][token]
        for n, value in enumerate(cells):
            colour = blend(positive if value > 0 else negative, theme.opacity(abs(int(value)) / 127))
            pen.box(LEFT + n * width / len(cells), y + 8, width / len(cells) + 0.5, 4, colour)
        y += 8


def blend(colour: str, alpha: float) -> str:
    """A colour over white."""
    parts = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * alpha):02x}" for part in parts)
