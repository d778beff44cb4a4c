"""Drawing on arrays: a dark, uneven ground, shapes as masks, digits from a small font, bars.

Whole numbers alone decide every pixel, so that pictures are the same on every machine. Masks are made once and
kept; drawing is copying a colour into a slice.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .dice import Dice
from .sample import Picture
from .words import COLOURS

SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring")
Mask = NDArray[np.bool_]  # [height, width]
RGB = tuple[int, int, int]

PAINT: dict[str, RGB] = dict(
    zip(
        COLOURS,
        (
            (225, 45, 40), (45, 175, 60), (60, 85, 235), (240, 220, 45),
            (245, 135, 25), (150, 50, 190), (235, 235, 235), (60, 215, 220),
        ),
    )
)  # fmt: skip
JITTER = 12  # most that a colour's channel differs from its paint
DARKEST, DARK = 6, 40  # a channel of the ground, before the noise
# Raw words of PCG64 are the same everywhere; every picture takes its noise from another place of this store.
_STORE = (np.random.PCG64(35).random_raw(2**16).astype("<u8").view(np.uint8) & 15).astype(np.uint8)


def ground(dice: Dice, height: int, width: int) -> Picture:
    """An empty picture."""
    tint = np.array([dice.between(DARKEST, DARK) for _ in range(3)], np.uint8)
    size = height * width * 3
    start = dice.below(len(_STORE) - size)
    return _STORE[start : start + size].reshape(height, width, 3) + tint


def paint(dice: Dice, colour: str) -> Picture:
    """A colour, a little off its name's own; [3]."""
    return np.array([min(255, max(0, c + dice.between(-JITTER, JITTER))) for c in PAINT[colour]], np.uint8)


def put(picture: Picture, mask: Mask, top: int, left: int, colour: Picture) -> None:
    """Draw a mask in one colour; what lies outside of the picture is cut off."""
    height, width = mask.shape
    y, x = max(top, 0), max(left, 0)
    part = mask[y - top :, x - left :]
    window = picture[y : top + height, x : left + width]
    window[part[: window.shape[0], : window.shape[1]]] = colour


@cache
def shape_mask(shape: str, radius: int) -> Mask:
    """A shape in a square of 2·radius + 1 pixels."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    square, far = radius * radius + radius, x * x + y * y
    return {
        "circle": far <= square,
        "square": np.maximum(abs(x), abs(y)) <= radius * 7 // 8,
        "triangle": 2 * abs(x) <= y + radius,
        "cross": (3 * abs(x) <= radius) | (3 * abs(y) <= radius),
        "diamond": abs(x) + abs(y) <= radius,
        "ring": (far <= square) & (9 * far > 4 * square),
    }[shape]


# Five columns, seven rows per digit; one number per row, its bits are the pixels from left to right.
_DIGITS = (
    (14, 17, 17, 17, 17, 17, 14), (4, 12, 4, 4, 4, 4, 14), (14, 17, 1, 6, 8, 16, 31), (31, 2, 4, 2, 1, 17, 14),
    (2, 6, 10, 18, 31, 2, 2), (31, 16, 30, 1, 1, 17, 14), (6, 8, 16, 30, 17, 17, 14), (31, 1, 2, 4, 8, 8, 8),
    (14, 17, 17, 14, 17, 17, 14), (14, 17, 17, 15, 1, 2, 12),
)  # fmt: skip


@cache
def digit_mask(digit: int, scale: int, bold: bool, slanted: bool) -> Mask:
    """A digit, 7·scale pixels high. Bold strokes are half a stroke wider; slanted ones lean to the right.

    A slanted stroke is a pixel wider, for otherwise its corners would come apart.
    """
    rows = np.array([[(row >> (4 - n)) & 1 for n in range(5)] for row in _DIGITS[digit]], bool)
    mask = rows.repeat(scale, 0).repeat(scale, 1)
    extra = max(scale // 2, 1) if bold else int(slanted)
    lean = mask.shape[0] // 4 if slanted else 0
    wide = np.zeros((mask.shape[0], mask.shape[1] + extra + lean), bool)
    for y, row in enumerate(mask):
        shift = lean * (len(mask) - 1 - y) // (len(mask) - 1)
        for more in range(extra + 1):
            wide[y, shift + more : shift + more + len(row)] |= row
    return wide
