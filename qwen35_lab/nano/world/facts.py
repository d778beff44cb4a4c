"""Facts to remember: written, overwritten, and asked for after a distance full of other facts.

    Mia likes tea. Tom lives in Oslo. The old owl went to the park. Now Mia likes rice.
    What does Mia like?  →  rice

The distance of a question is the number of sentences after the last write of what it asks for. Training draws up to
`TRAINED_DISTANCE`; to ask at four times that, pass `distance=(96, 96)`.
"""

from dataclasses import dataclass
from functools import cache

from .dice import Dice, held_out
from .sample import Asked, Sample, conversation
from .words import ADJECTIVES, ANIMALS, CITIES, FOODS, NAMES, PLACES

HELD_OUT = 3
TRAINED_DISTANCE = 24
DISTANCES = (0, 0, 1, 1, 2, 3, 4, 6, 8, 12, 16, 24)  # lower ends of what training draws between
NUMBERS = tuple(str(n) for n in range(10, 100))

# attribute -> (how it is written, how it is asked, its values)
ATTRIBUTES = {
    "likes": ("{name} likes {value}.", "What does {name} like?", FOODS),
    "lives": ("{name} lives in {value}.", "Where does {name} live?", CITIES),
    "number": ("the number of {name} is {value}.", "What is the number of {name}?", NUMBERS),
}
Key = tuple[str, str]  # name, attribute


@dataclass
class Memory:
    """What has been said so far."""

    value: dict[Key, str]
    writes: dict[Key, int]
    last: dict[Key, int]  # the sentence of the last write
    lines: list[str]


def facts(dice: Dice, new: bool, *, distance: tuple[int, int] | None = None) -> Sample:
    """A text, then a question about one fact at the drawn distance, then up to five about others.

    In "valid" and "test" the first question's answer is a (name, value) pair that training never shows.

    Args:
        distance: least and most, in sentences, of the first question; as trained if not given.
    """
    if distance is None:
        step = dice.below(len(DISTANCES))
        distance = (DISTANCES[step], (*DISTANCES, TRAINED_DISTANCE)[step + 1])
    memory = Memory({}, {}, {}, [])
    key = dice.until(lambda: (dice.pick(NAMES), dice.pick(list(ATTRIBUTES))), lambda key: bool(fitting(*key, new)))
    others = [(name, attribute) for name in dice.some(NAMES, 6) for attribute in ATTRIBUTES]
    others = [other for other in dice.some(others, dice.between(3, 8)) if other != key]
    for _ in range(dice.below(3)):  # written before, to be overwritten
        _write(dice, memory, key, False)
        _ramble(dice, memory, others, dice.between(0, 3))
    _write(dice, memory, key, new)
    _ramble(dice, memory, others, dice.between(*distance))
    known = [other for other in others if other in memory.value]
    keys = [key, *dice.some(known, min(len(known), dice.below(6)))]
    return conversation("facts", [_ask(memory, each) for each in keys], before=" ".join(memory.lines))


@cache
def fitting(name: str, attribute: str, new: bool) -> tuple[str, ...]:
    """The values that training shows for this name (not `new`), or those that are held out (`new`; may be none)."""
    who, what = NAMES.index(name), list(ATTRIBUTES).index(attribute)
    values = ATTRIBUTES[attribute][2]
    return tuple(value for n, value in enumerate(values) if held_out(HELD_OUT, what, who, n) == new)


def _write(dice: Dice, memory: Memory, key: Key, new: bool) -> None:
    """Say a fact. Its value differs from the one before; it is a held-out pair exactly if `new`."""
    before = memory.value.get(key)
    value = dice.until(lambda: dice.pick(fitting(*key, new)), lambda value: value != before)
    line = ATTRIBUTES[key[1]][0].format(name=key[0], value=value)
    memory.lines.append(f"Now {line}" if key in memory.value else line[0].upper() + line[1:])
    memory.value[key], memory.last[key] = value, len(memory.lines)
    memory.writes[key] = memory.writes.get(key, 0) + 1


def _ramble(dice: Dice, memory: Memory, keys: list[Key], sentences: int) -> None:
    """Other facts, and sentences that say nothing about anybody."""
    for _ in range(sentences):
        if dice.chance(0.75):
            _write(dice, memory, dice.pick(keys), False)
        else:
            who = f"{dice.pick(ADJECTIVES)} {dice.pick(ANIMALS)}"
            memory.lines.append(f"The {who} went to the {dice.pick(PLACES)}.")


def _ask(memory: Memory, key: Key) -> Asked:
    writes = memory.writes[key]
    measured = {"distance": len(memory.lines) - memory.last[key], "writes": writes}
    question = ATTRIBUTES[key[1]][1].format(name=key[0])
    return Asked("overwritten" if writes > 1 else "once", question, memory.value[key], measured)
