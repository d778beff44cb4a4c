"""Pictures of digits and of two-digit numbers, in several sizes, bold, slanted, anywhere, in eight colours."""

from collections.abc import Sequence
from dataclasses import dataclass

from .dice import Dice
from .drawing import digit_mask, ground, paint, put
from .sample import Asked, Picture, Sample, conversation
from .scene import Size
from .words import COLOURS

SIZES: tuple[Size, ...] = ((64, 64),) * 4 + ((32, 64), (64, 96))
SCALES = (2, 3, 4, 5, 6, 7)
# colours, as numbers, of each last digit: those that training shows, and the one that is held out
LOOKS = {
    new: [[c for c in range(len(COLOURS)) if (c == (3 * digit + 2) % len(COLOURS)) == new] for digit in range(10)]
    for new in (False, True)
}


@dataclass(frozen=True)
class Numeral:
    """A picture of a number of one or two digits."""

    picture: Picture
    number: int
    colour: str
    boxes: tuple[tuple[int, int, int, int], ...]  # of each digit: top, left, bottom, right

    @property
    def what(self) -> str:
        return "digit" if self.number < 10 else "number"


def digits(dice: Dice, new: bool) -> Sample:
    """Which digit or number, and its colour. In "valid" and "test" a (last digit, colour) that training never shows."""
    shown = numeral(dice, new)
    asked = [
        Asked(shown.what, f"Which {shown.what} is this?", str(shown.number)),
        Asked(f"{shown.what} colour", f"What colour is the {shown.what}?", shown.colour),
    ]
    seen = [{"type": "image", "image": shown.picture}]
    return conversation("digits", asked[: 1 + dice.chance(0.5)], seen=seen)


def numeral(dice: Dice, new: bool, sizes: Sequence[Size] = SIZES) -> Numeral:
    length = 2 if dice.chance(0.25) else 1
    number = dice.between(0, 9) if length == 1 else dice.between(10, 99)
    colour = dice.pick(LOOKS[new][number % 10])
    height, width = size = dice.pick(sizes)
    picture = ground(dice, *size)
    bold, slanted = dice.chance(0.3), dice.chance(0.3)

    def masks(scale: int) -> list:
        return [digit_mask(int(digit), scale, bold, slanted) for digit in str(number)]

    def room(scale: int) -> tuple[int, int]:
        return height - 7 * scale, width - sum(mask.shape[1] for mask in masks(scale)) - scale * (length - 1)

    scale = dice.until(lambda: dice.pick(SCALES), lambda scale: min(room(scale)) >= 0)
    top, left = (dice.between(0, slack) for slack in room(scale))
    ink = paint(dice, COLOURS[colour])
    boxes = []
    for mask in masks(scale):
        put(picture, mask, top, left, ink)
        boxes.append((top, left, top + mask.shape[0], left + mask.shape[1]))
        left += mask.shape[1] + scale
    return Numeral(picture, number, COLOURS[colour], tuple(boxes))
