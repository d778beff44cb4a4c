"""Small bar charts: which bar is taller, which is the tallest or shortest, how tall, how many.

Bars stand on a line and are one to nine units tall; a faint line marks every unit.
"""

from dataclasses import dataclass

from .dice import Dice
from .drawing import ground, paint
from .sample import Asked, Picture, Sample, conversation
from .scene import Size
from .words import COLOURS

SIZES: tuple[Size, ...] = ((64, 64),) * 3 + ((64, 96),)
UNITS, UNIT = 9, 6  # units that a bar may be tall, pixels of one
FLOOR = 60  # the line that bars stand on, in pixels from the top


def charts(dice: Dice, new: bool) -> Sample:
    """One chart of two to five bars of different colours and heights, two to five turns.

    Nothing is held out by construction: "valid" and "test" are charts that training has not drawn.
    """
    shown = chart(dice, dice.pick(SIZES))
    asked = dice.some(_questions(dice, shown.heights), dice.between(2, 5))
    return conversation("charts", asked, seen=[{"type": "image", "image": shown.picture}])


@dataclass(frozen=True)
class Chart:
    """A picture of bars, each of another colour."""

    picture: Picture
    heights: dict[str, int]  # colour -> units, from left to right
    columns: dict[str, tuple[int, int]]  # colour -> left and right edge in pixels


def chart(dice: Dice, size: Size) -> Chart:
    picture = ground(dice, *size)
    picture[FLOOR - UNIT * UNITS : FLOOR : UNIT] += 28
    picture[FLOOR] = 170
    colours = dice.some(COLOURS, dice.between(2, 5))
    heights: dict[str, int] = dict(zip(colours, dice.some(range(1, UNITS + 1), len(colours))))
    pitch = (size[1] - 4) // len(colours)
    width = dice.between(pitch // 2, pitch - 2)
    columns = {colour: (3 + n * pitch, 3 + n * pitch + width) for n, colour in enumerate(heights)}
    for colour, (left, right) in columns.items():
        picture[FLOOR - UNIT * heights[colour] : FLOOR, left:right] = paint(dice, colour)
    return Chart(picture, heights, columns)


def _questions(dice: Dice, heights: dict[str, int]) -> list[Asked]:
    first, second = dice.some(list(heights), 2)
    taller = max((first, second), key=lambda colour: heights[colour])
    tall, short = max(heights, key=heights.__getitem__), min(heights, key=heights.__getitem__)
    colour = dice.pick(list(heights))
    return [
        Asked("taller", f"Which bar is taller, {first} or {second}?", taller),
        Asked("tallest", "Which bar is the tallest?", tall),
        Asked("shortest", "Which bar is the shortest?", short),
        Asked("height", f"How tall is the {colour} bar?", str(heights[colour])),
        Asked("bars", "How many bars are there?", str(len(heights))),
    ]
