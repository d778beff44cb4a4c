"""Short clips: one or two shapes move from one cell to the next, others stay; what moves where, in which order."""

import numpy as np

from .dice import Dice
from .drawing import ground, paint, put, shape_mask
from .sample import Asked, Clip, Sample, conversation
from .scene import BIG, CELL, SMALL, Size, Thing, place, things

FRAMES_PER_SECOND = 2  # what the family's processors sample from a film
SIZES: tuple[Size, ...] = ((64, 64),) * 3 + ((64, 96),)
WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


def clips(dice: Dice, new: bool) -> Sample:
    """A clip of 2, 4, 6 or 8 frames, two to five turns.

    In "valid" and "test" the first thing that moves is of a shape and colour that training never shows together.
    """
    size = dice.pick(SIZES)
    frames = dice.pick((2, 4, 4, 6, 6, 8))
    movers = 2 if frames > 2 and dice.chance(0.5) else 1
    cast = things(dice, new, movers + (movers == 1 and dice.chance(0.6)), size)
    ways = _choreography(dice, cast, movers, size)
    clip = film(dice, cast, ways, frames, size)
    asked = _questions(dice, cast, ways, size)
    asked = dice.some(asked, min(len(asked), dice.between(2, 5)))
    return conversation("clips", asked, seen=[{"type": "video", "video": clip}])


def _choreography(dice: Dice, cast: list[Thing], movers: int, size: Size) -> list[str]:
    """Give everybody a cell, and each mover a way to a neighbour cell; paths do not cross."""
    lines, columns = size[0] // CELL, size[1] // CELL
    along = int(columns > 2 or dice.chance(0.5))  # 1: movers keep to their line, 0: to their column
    tracks = dice.shuffled(range((lines, columns)[1 - along]))
    ways = []
    for n, thing in enumerate(cast):
        steps = (lines, columns)[along]
        start = dice.below(steps)
        onward = dice.pick([step for step in (-1, 1) if 0 <= start + step < steps])
        thing.cell = (tracks[n], start) if along else (start, tracks[n])
        if n < movers:
            ways.append((("up", "down"), ("left", "right"))[along][onward > 0])
    return ways


def film(dice: Dice, cast: list[Thing], ways: list[str], frames: int, size: Size) -> Clip:
    """Movers move one after the other: each has its share of the time between the frames."""
    clip = np.repeat(ground(dice, *size)[None], frames, axis=0)
    for n, thing in enumerate(cast):
        radius = dice.between(*(BIG if thing.big else SMALL))
        slack = CELL - 2 * radius - 1
        top, left = (CELL * at + dice.between(slack // 3, slack - slack // 3) for at in thing.cell)
        mask, colour = shape_mask(thing.shape, radius), paint(dice, thing.colour)
        for frame in range(frames):
            share = _moved(frame, frames, n, len(ways)) if n < len(ways) else 0
            down, right = (step * share // 1024 for step in WAYS[ways[n]]) if share else (0, 0)
            put(clip[frame], mask, top + down, left + right, colour)
    return clip


def _moved(frame: int, frames: int, n: int, movers: int) -> int:
    """How far mover n has come, in 1/1024 pixels."""
    first, last = n * (frames - 1) // movers, (n + 1) * (frames - 1) // movers
    done = min(max(frame - first, 0), last - first)
    return 1024 * CELL * done // (last - first)


def _questions(dice: Dice, cast: list[Thing], ways: list[str], size: Size) -> list[Asked]:
    """All that can be asked about this clip."""
    names = [thing.name for thing in cast]
    n = dice.below(len(ways))
    start, step = cast[n].cell, WAYS[ways[n]]
    end = (start[0] + step[0], start[1] + step[1])
    asked = [
        Asked("direction", f"Which way does the {names[n]} move?", ways[n]),
        Asked("start", f"Where is the {names[n]} at the start?", place(start, size)),
        Asked("end", f"Where is the {names[n]} at the end?", place(end, size)),
        Asked("count", "How many shapes are there?", str(len(cast))),
    ]
    if len(ways) == 2:
        asked += [Asked("first", "What moves first?", names[0]), Asked("last", "What moves last?", names[1])]
        return asked
    asked.append(Asked("moves", "What moves?", names[0]))
    if len(cast) == 2:
        asked.append(Asked("stays", "What stays still?", names[1]))
    return asked
