"""A page of numbers to be shrunk, and a reader that says which of them can still be told apart.

The reader compares what is left of each digit with the ten digits, and takes the one that fits best. It is no model's
eye; it measures what the pixels still hold.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..nano.world.drawing import digit_mask

SCALE = 1  # pixels of a stroke: a digit is 7·SCALE high and 5·SCALE wide
PITCH = (11, 8)  # strokes from one digit to the next, down and across
ASKED = 240  # digits that are read, spread over the page
PAPER, INK, GRAIN = 200, 60, 25


@cache
def page(height: int, width: int, seed: int = 0) -> tuple[NDArray[np.uint8], tuple[tuple[int, int, int], ...]]:
    """A grey page full of digits, [height, width], and (top, left, digit) of each."""
    draw = np.random.default_rng([height, width, seed])
    pixels = PAPER + draw.integers(-GRAIN, GRAIN, (height, width))
    down, across = (step * SCALE for step in PITCH)
    placed = []
    for top in range(SCALE * 3, height - 8 * SCALE, down):
        for left in range(SCALE * 3, width - 6 * SCALE, across):
            digit = int(draw.integers(10))
            mask = digit_mask(digit, SCALE, False, False)
            pixels[top : top + mask.shape[0], left : left + mask.shape[1]][mask] -= PAPER - INK
            placed.append((top, left, digit))
    return pixels.clip(0, 255).astype(np.uint8), tuple(placed)


def legible(height: int, width: int, rows: int, columns: int) -> float:
    """The share of a page's digits that are read rightly after it was shrunk to rows × columns pixels and back."""
    from PIL import Image

    pixels, placed = page(height, width)
    small = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BICUBIC)
    back = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    masks = np.stack([digit_mask(digit, SCALE, False, False) for digit in range(10)]).astype(np.float32)
    masks -= masks.mean((1, 2), keepdims=True)
    masks /= np.linalg.norm(masks, axis=(1, 2), keepdims=True)
    chosen = [placed[n] for n in np.linspace(0, len(placed) - 1, ASKED).astype(int)]
    right = 0
    for top, left, digit in chosen:
        seen = back[top : top + masks.shape[1], left : left + masks.shape[2]]
        right += int((-(masks * seen).sum((1, 2))).argmax()) == digit
    return right / len(chosen)
