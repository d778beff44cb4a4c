"""Pillow in units of a CSS pixel: what the widgets' static twins are drawn with."""

import io
import textwrap
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import theme

SCALE = 2  # pixels per unit, so that it is sharp on dense screens
WIDTH, MARGIN = 760, 14
TEXT, FAINT, LINE, TRACK, PAPER = "#222222", "#666666", "#bbbbbb", "#ececec", "#ffffff"
SHADES = {"positive": 96, "negative": 96, "ffn": 32}  # of a picture's 256 colours; the rest are grey


@cache
def font(size: float, bold: bool = False) -> Any:
    """DejaVu where the machine has it, since it knows more scripts; else the font that Pillow brings."""
    try:
        return ImageFont.truetype(f"DejaVuSans{'-Bold' * bold}.ttf", size * SCALE)
    except OSError:
        return ImageFont.load_default(size * SCALE)


def blend(colour: str, alpha: float) -> str:
    """A colour over white."""
    parts = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * alpha):02x}" for part in parts)


def tint(share: float) -> str:
    """The colour of a signed share of the largest value, over white."""
    return blend(theme.COLOURS["negative" if share < 0 else "positive"], theme.opacity(min(1, abs(share))))


class Pen:
    """Pillow in units of a CSS pixel."""

    def __init__(self, height: float):
        self.image = Image.new("RGB", (WIDTH * SCALE, round(height * SCALE)), PAPER)
        self.ink = ImageDraw.Draw(self.image)
        self.coloured = False  # whether there is a photograph, which has colours that are not ours

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

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 1.5, dash: tuple = ()) -> None:
        """Through all points; `dash` is lengths drawn and left out in turn."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        if not dash:
            self.ink.line(scaled, colour, round(width * SCALE), "curve")
            return
        at = np.cumsum([0, *(np.hypot(*np.diff(scaled, axis=0).T))])  # length along the line
        edges, n = [0.0], 0
        while edges[-1] < at[-1]:
            edges.append(edges[-1] + dash[n % len(dash)] * SCALE)
            n += 1
        for a, b in zip(edges[::2], edges[1::2]):
            cuts = np.unique([a, *at[(at > a) & (at < b)], min(b, at[-1])])
            piece = [tuple(np.interp(cut, at, column) for column in zip(*scaled)) for cut in cuts]
            self.ink.line(piece, colour, round(width * SCALE))

    def cells(self, x: float, y: float, w: float, h: float, pixels: np.ndarray) -> None:
        """An image [row, column, 3], each of its pixels a sharp rectangle."""
        size = (round(w * SCALE), round(h * SCALE))
        picture = Image.fromarray(pixels.astype("uint8")).resize(size, Image.Resampling.NEAREST)
        self.image.paste(picture, (round(x * SCALE), round(y * SCALE)))

    def photo(self, x: float, y: float, w: float, h: float, pixels: np.ndarray) -> None:
        """The same for a picture of the world, whose colours the file then keeps."""
        self.coloured = True
        self.cells(x, y, w, h, pixels)

    def veil(self, x: float, y: float, w: float, h: float, colour: str, alpha: float) -> None:
        """A rectangle of colour that can be seen through, with a white edge."""
        low = (round(x * SCALE), round(y * SCALE))
        part = self.image.crop((*low, round((x + w) * SCALE), round((y + h) * SCALE)))
        self.image.paste(Image.blend(part, Image.new("RGB", part.size, colour), alpha), low)
        self.box(x, y, w, h, outline=PAPER, line=1.2)

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

    def head(self, badge: str, provenance: str) -> None:
        """The badge in its frame and where the numbers come from; takes 34 from the top."""
        self.box(MARGIN, 8, 76, 18, outline=TEXT, radius=4)
        self.text(MARGIN + 38, 17, badge, 10, bold=True, anchor="mm")
        rest = provenance.removeprefix(badge).strip(" ·")
        self.text(MARGIN + 84, 17, rest, 11, FAINT, width=WIDTH - 2 * MARGIN - 84)

    def tokens(self, y: float, tokens: list[str], token: int, fills: list[str] | None = None) -> None:
        """A strip of chips, 20 high, scrolled so that the chosen one can be seen."""
        widths = [font(11).getlength(text) / SCALE + 12 for text in tokens]
        first = 0
        while first < token and sum(widths[first : token + 1]) + 3 * (token - first) > WIDTH - 2 * MARGIN - 40:
            first += 1
        x = MARGIN
        for n in range(first, len(tokens)):
            if x + widths[n] > WIDTH - MARGIN:
                self.text(WIDTH - MARGIN, y + 10, "…", anchor="rm")
                break
            edge, line = (TEXT, 2) if n == token else (LINE, 1)
            self.box(x, y, widths[n], 20, fills[n] if fills else None, outline=edge, radius=4, line=line)
            self.text(x + widths[n] / 2, y + 10, tokens[n], bold=n == token, anchor="mm")
            x += widths[n] + 3

    def png(self, height: float | None = None) -> bytes:
        """The picture, cut off at `height`."""
        whole = self.image if height is None else self.image.crop((0, 0, WIDTH * SCALE, round(height * SCALE)))
        file = io.BytesIO()
        if not self.coloured:
            whole = whole.quantize(palette=_palette(), dither=Image.Dither.NONE)
        whole.save(file, "PNG", optimize=True)
        return file.getvalue()


@cache
def _palette() -> Image.Image:
    """256 colours: shades of ours and of grey. Chosen ones would turn a rare colour into its neighbour's."""
    shades = [blend(theme.COLOURS[name], n) for name, count in SHADES.items() for n in np.linspace(0.04, 1, count)]
    greys = ["#" + 3 * f"{round(n):02x}" for n in np.linspace(0, 255, 256 - len(shades))]
    image = Image.new("P", (1, 1))
    image.putpalette([int(colour[n : n + 2], 16) for colour in shades + greys for n in (1, 3, 5)])
    return image


def wrap(text: str, width: float = WIDTH - 2 * MARGIN, size: float = 11) -> list[str]:
    """Lines that are about as wide as `width`."""
    return textwrap.wrap(text, round(width / size / 0.56))
