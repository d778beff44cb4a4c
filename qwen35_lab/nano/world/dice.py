"""Chance that is the same on every machine, and what is kept out of training.

Python promises one thing across versions: `random.Random(n).random()` gives the same numbers. Everything here is
made of that alone, so one (seed, split, kind, index) is one sample, wherever and whenever it is drawn.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from ...errors import InputError

Item = TypeVar("Item")

# "train" is to learn from, "valid" to choose by, "test" to report; these two hold constructions that training
# never shows (see `held_out`). "seen" is as fresh as they are, but of training's constructions: what "test" loses
# against it is what holding out costs.
SPLITS = ("train", "valid", "test", "seen")
MOST_SEEDS, MOST_SAMPLES = 2**31, 2**40
ONE_IN = 10  # constructions that are held out


class Dice:
    """Draws, from a whole number."""

    def __init__(self, number: int):
        self.number = Random(number).random  # () -> 0 up to, not including, 1

    def below(self, n: int) -> int:
        return int(self.number() * n)

    def between(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self.number() * (high - low + 1))

    def chance(self, p: float) -> bool:
        return self.number() < p

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self.number() * len(items))]

    def some(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` different ones, in any order."""
        left = list(items)
        for n in range(count):
            other = n + int(self.number() * (len(left) - n))
            left[n], left[other] = left[other], left[n]
        return left[:count]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        return self.some(items, len(items))

    def until(self, draw: Callable[[], Item], fits: Callable[[Item], bool]) -> Item:
        """Draw again until it fits."""
        while not fits(item := draw()):
            pass
        return item


def dice(seed: int, split: str, kind: int, index: int) -> Dice:
    """The dice of one sample. No two (seed, split, kind, index) share one.

    Raises:
        InputError: a number that is out of range, or a split that is none.
    """
    if split not in SPLITS:
        raise InputError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    if not 0 <= seed < MOST_SEEDS or not 0 <= index < MOST_SAMPLES:
        raise InputError(f"Seed {seed}, index {index}: choose 0 ≤ seed < 2³¹ and 0 ≤ index < 2⁴⁰.")
    return Dice(((seed * len(SPLITS) + SPLITS.index(split)) * 256 + kind) * MOST_SAMPLES + index)


def held_out(*construction: int) -> bool:
    """Whether a construction, told as whole numbers, is kept out of training: one in ten, always the same ones.

    It decides over pairs of operands (with two digits or more, in either order; also those of the calculator), over
    (name, value) of facts, records and tables, over (animal, thing) of stories, and over sentences of the phrase book.
    Small tables are held out evenly instead, where they stand: a colour for each shape in pictures and clips, a colour
    for each last digit, first numbers for each form of program. Of charts, nothing is held out but the draws.
    """
    mixed = 0x9E3779B9
    for number in construction:
        mixed = ((mixed ^ number) * 0x85EBCA6B) & 0xFFFFFFFF
        mixed ^= mixed >> 13
    return ((mixed * 0xC2B2AE35 & 0xFFFFFFFF) >> 16) % ONE_IN == 0
