"""Pictures of shapes: what, what colour, where, how many, which is larger."""

from .dice import Dice
from .drawing import SHAPES, ground
from .sample import Asked, Picture, Sample, conversation
from .scene import Size, Thing, cells, draw, place, things
from .words import COLOURS, NO, NOTHING, YES, a

# height, width: two in three are square
SIZES: tuple[Size, ...] = ((64, 64),) * 6 + ((64, 96), (96, 64), (32, 64))
MOST = 5  # objects


def shapes(dice: Dice, new: bool) -> Sample:
    """One picture, two to nine turns; sometimes two pictures, and where something is.

    In "valid" and "test" every picture holds one object of a shape and colour that training never shows together,
    and the first question is about it.
    """
    if dice.chance(0.08):
        return _two(dice, new)
    size = dice.pick(SIZES)
    picture, there = scene(dice, new, size)
    asked = ask(dice, there, size)
    if dice.chance(0.4):
        asked.append(Asked("describe", "Describe the picture.", describe(there, size)))
    return conversation("shapes", asked, seen=[{"type": "image", "image": picture}])


def scene(dice: Dice, new: bool, size: Size) -> tuple[Picture, list[Thing]]:
    picture = ground(dice, *size)
    there = things(dice, new, dice.between(1, min(MOST, len(cells(size)))), size)
    for thing in there:
        draw(dice, picture, thing)
    return picture, there


def ask(dice: Dice, there: list[Thing], size: Size) -> list[Asked]:
    """Two to eight questions; the first one is about the first object, if one can be asked about it alone."""
    pool = [make(dice, there, size) for make in (_what, _where, _at, _many, _many_of, _size, _larger, _left_of)]
    first = dice.pick([each for each in (pool[0], pool[1], pool[5]) if each] or [_where_named(there[0], size)])
    rest = [each for each in pool if each and each is not first]
    return [first, *dice.some(rest, min(len(rest), dice.between(1, 7)))]


def describe(there: list[Thing], size: Size) -> str:
    """In reading order: `top left small red ring, bottom right big blue cross`."""
    return ", ".join(f"{place(t.cell, size)} {t.size} {t.name}" for t in sorted(there, key=lambda t: t.cell))


def _what(dice: Dice, there: list[Thing], size: Size) -> Asked | None:
    """Colour by shape, or shape by colour, of the first object: whichever is unambiguous."""
    thing, can = there[0], []
    if all(other.shape != thing.shape for other in there[1:]):
        can.append(Asked("colour", f"What colour is the {thing.shape}?", thing.colour))
    if all(other.colour != thing.colour for other in there[1:]):
        can.append(Asked("shape", f"What shape is {thing.colour}?", thing.shape))
    return dice.pick(can) if can else None


def _where(dice: Dice, there: list[Thing], size: Size) -> Asked:
    return _where_named(there[0], size)


def _where_named(thing: Thing, size: Size) -> Asked:
    return Asked("where", f"Where is the {thing.name}?", place(thing.cell, size))


def _at(dice: Dice, there: list[Thing], size: Size) -> Asked:
    """Any cell; an empty one now and then."""
    cell = dice.pick(there).cell if dice.chance(0.75) else dice.pick(cells(size))
    names = [thing.name for thing in there if thing.cell == cell]
    return Asked("at", f"What is at the {place(cell, size)}?", names[0] if names else NOTHING)


def _many(dice: Dice, there: list[Thing], size: Size) -> Asked:
    return Asked("count", "How many shapes are there?", str(len(there)))


def _many_of(dice: Dice, there: list[Thing], size: Size) -> Asked:
    """Of one shape or colour: a number that occurs, none included, then what it is the number of."""
    by_shape = dice.chance(0.5)
    numbers = {
        word: sum(word in (each.shape, each.colour) for each in there) for word in (SHAPES if by_shape else COLOURS)
    }
    number = dice.pick(sorted(set(numbers.values())))
    word = dice.pick([word for word in numbers if numbers[word] == number])
    plural = f"{word}{'es' if word == 'cross' else 's'}" if by_shape else f"{word} shapes"
    return Asked("count some", f"How many {plural} are there?", str(number))


def _size(dice: Dice, there: list[Thing], size: Size) -> Asked:
    return Asked("size", f"Is the {there[0].name} big or small?", there[0].size)


def _larger(dice: Dice, there: list[Thing], size: Size) -> Asked | None:
    big, small = ([thing for thing in there if thing.big == is_big] for is_big in (True, False))
    if not big or not small:
        return None
    one, other = dice.pick(big), dice.pick(small)
    first, second = dice.shuffled([one.name, other.name])
    return Asked("larger", f"Which is larger, the {first} or the {second}?", one.name)


def _left_of(dice: Dice, there: list[Thing], size: Size) -> Asked | None:
    if len(there) < 2:
        return None
    one, other = dice.some(there, 2)
    axis = int(one.cell[1] != other.cell[1])  # in one column: above and below
    relation = dice.pick((("above", "below"), ("left of", "right of"))[axis])
    before = relation in ("above", "left of")
    true = (one.cell[axis] < other.cell[axis]) == before
    return Asked("relation", f"Is the {one.name} {relation} the {other.name}?", YES if true else NO)


def _two(dice: Dice, new: bool) -> Sample:
    """Two pictures: which one shows something?"""
    size: Size = (64, 64)
    first, there = scene(dice, new, size)
    second, _ = dice.until(
        lambda: scene(dice, False, size), lambda drawn: there[0].name not in [thing.name for thing in drawn[1]]
    )
    pictures, answer = ([first, second], "first") if dice.chance(0.5) else ([second, first], "second")
    question = f"Which picture has {a(there[0].name)}?"
    seen = [{"type": "image", "image": picture} for picture in pictures]
    return conversation("shapes", [Asked("which", question, answer)], seen=seen)
