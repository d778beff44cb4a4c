"""Where things are: a picture is divided into cells of 32 pixels, each holds one object at most, cells have names."""

from dataclasses import dataclass

from .dice import Dice
from .drawing import SHAPES, paint, put, shape_mask
from .sample import Picture
from .words import COLOURS

CELL = 32  # pixels; a multiple of patch · merge for patches of 8 and 16
Size = tuple[int, int]  # height, width in pixels
SMALL, BIG = (5, 6), (9, 11)  # radii

_LINES = {1: ("",), 2: ("top", "bottom"), 3: ("top", "middle", "bottom")}
_COLUMNS = {1: ("",), 2: ("left", "right"), 3: ("left", "centre", "right")}
# (shape, colour) as numbers: those that training shows, and those that are held out, one colour for each shape
_ALL = [(s, c) for s in range(len(SHAPES)) for c in range(len(COLOURS))]
LOOKS = {new: tuple((s, c) for s, c in _ALL if (c == (3 * s + 1) % len(COLOURS)) == new) for new in (False, True)}


@dataclass
class Thing:
    """An object in a picture. Mutable, because in a clip it moves."""

    shape: str
    colour: str
    big: bool
    cell: tuple[int, int]  # line, column

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    @property
    def size(self) -> str:
        return "big" if self.big else "small"


def cells(size: Size) -> list[tuple[int, int]]:
    return [(line, column) for line in range(size[0] // CELL) for column in range(size[1] // CELL)]


def place(cell: tuple[int, int], size: Size) -> str:
    """`top left`; in a picture of one line `left`, of one cell "middle"."""
    words = _LINES[size[0] // CELL][cell[0]], _COLUMNS[size[1] // CELL][cell[1]]
    return " ".join(word for word in words if word) or "middle"


def things(dice: Dice, new: bool, count: int, size: Size) -> list[Thing]:
    """Objects that differ in shape or colour, one per cell; the first one is a held-out pair exactly if `new`.

    Half of the time the others share two colours or two shapes, so that there is something to count.
    """
    looks = dice.some(LOOKS[True], 1) if new else []
    pool = LOOKS[False]
    if dice.chance(0.5):
        axis = dice.below(2)
        two = dice.some(range((len(SHAPES), len(COLOURS))[axis]), 2)
        pool = tuple(look for look in pool if look[axis] in two)
    looks += dice.some(pool, count - len(looks))
    where = dice.some(cells(size), count)
    return [Thing(SHAPES[s], COLOURS[c], dice.chance(0.5), cell) for (s, c), cell in zip(looks, where)]


def draw(dice: Dice, picture: Picture, thing: Thing) -> None:
    """The thing, anywhere in its cell."""
    radius = dice.between(*(BIG if thing.big else SMALL))
    slack = CELL - 2 * radius - 1
    top, left = (CELL * n + dice.between(0, slack) for n in thing.cell)
    put(picture, shape_mask(thing.shape, radius), top, left, paint(dice, thing.colour))
