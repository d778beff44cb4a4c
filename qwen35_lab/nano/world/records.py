"""JSON: make a record from a sentence, read a field of one, change a field."""

import json
from functools import cache

from .dice import Dice, held_out
from .sample import Asked, Sample, conversation
from .words import ANIMALS, CITIES, FOODS, NAMES

HELD_OUT = 6
Record = dict[str, str | int]

# field -> (what a sentence says of it, its values)
FIELDS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "age": ("is {} years old", tuple(range(3, 90))),
    "city": ("lives in {}", CITIES),
    "food": ("likes {}", FOODS),
    "pet": ("has a pet {}", ANIMALS),
}


def records(dice: Dice, new: bool) -> Sample:
    """One to three turns about one record, or about two in a list.

    In "valid" and "test" the first field's (name, value) is a pair that training never shows.
    """
    people = [_person(dice, name, new and not n) for n, name in enumerate(dice.some(NAMES, 1 + dice.below(2)))]
    record = people[0]
    if dice.chance(0.4):
        return conversation("json", [Asked("make", f"Make JSON: {sentence(record)}", json.dumps(record))])
    shown = people if len(people) > 1 else record
    asked = []
    for field in _fields(dice, record):
        asked.append(Asked("read", f"What is the {field} of {record['name']}?", str(record[field])))
    if len(people) == 1 and dice.chance(0.5):
        field = dice.pick([key for key in record if key != "name"])
        value = dice.pick([value for value in FIELDS[field][1] if value != record[field]])
        changed = json.dumps(record | {field: value})
        asked.append(Asked("change", f"Set {field} to {json.dumps(value)}.", changed))
    return conversation("json", asked, before=json.dumps(shown))


def sentence(record: Record) -> str:
    """`Mia is 7 years old, lives in Rome and likes tea.`"""
    said = [FIELDS[field][0].format(value) for field, value in record.items() if field != "name"]
    return f"{record['name']} {', '.join(said[:-1])}{' and ' * (len(said) > 1)}{said[-1]}."


def _fields(dice: Dice, record: Record) -> list[str]:
    fields = [field for field in record if field != "name"]
    return dice.some(fields, dice.between(1, len(fields)))


@cache
def fitting(name: str, field: str, new: bool) -> tuple[str | int, ...]:
    """The values that training shows for this name (not `new`), or those that are held out (`new`; may be none)."""
    who, what = NAMES.index(name), list(FIELDS).index(field)
    return tuple(v for n, v in enumerate(FIELDS[field][1]) if held_out(HELD_OUT, what, who, n) == new)


def _person(dice: Dice, name: str, new: bool) -> Record:
    """One to three fields; the first one is held out exactly if `new`."""
    fields = dice.some(list(FIELDS), dice.between(1, 3))
    if new:
        fields[0] = dice.until(lambda: dice.pick(list(FIELDS)), lambda field: bool(fitting(name, field, True)))
    values = [dice.pick(fitting(name, field, new and not n)) for n, field in enumerate(fields)]
    return {"name": name} | dict(reversed(list(zip(fields, values, strict=True))))
