"""Stories in a small English: told, and asked about.

    Once there was a brave fox named Mia. Mia was in the park. A small owl named Tom was in the park. Mia found
    a red key. Mia gave the key to Tom. Tom went to the shop. In the end Mia had nothing and was sad.

A story is a walk through a tiny world of who is where and who has what, so every sentence must be possible after
those before it. `Telling` keeps that world; the same class, in `story_judge`, decides whether a story is valid.
"""

from dataclasses import dataclass, field

from .dice import Dice, held_out
from .sample import Asked, Sample, conversation
from .words import ADJECTIVES, ANIMALS, COLOURS, NAMES, NOBODY, PLACES, THINGS, a

EVENTS = (3, 6)  # least and most, between the opening and the end
HELD_OUT = 1  # this kind's first number in `held_out`


@dataclass
class Telling:
    """The world of a story, after the sentences so far."""

    hero: str = ""
    animal: dict[str, str] = field(default_factory=dict)  # name -> which animal
    place: dict[str, str] = field(default_factory=dict)  # name -> where
    colour: dict[str, str] = field(default_factory=dict)  # thing -> colour
    finder: dict[str, str] = field(default_factory=dict)  # thing -> who found it
    holder: dict[str, str | None] = field(default_factory=dict)  # thing -> who has it; None: it lies somewhere
    lying: dict[str, str] = field(default_factory=dict)  # thing that nobody has -> where
    events: int = 0

    def has(self, name: str) -> list[str]:
        return [thing for thing, holder in self.holder.items() if holder == name]


def write_story(dice: Dice, animal: str, thing: str) -> tuple[str, Telling]:
    """A story whose hero is such an animal and in which such a thing is found first."""
    told = Telling()
    hero, friend = dice.some(NAMES, 2)
    home = dice.pick(PLACES)
    told.hero, told.animal[hero], told.place[hero] = hero, animal, home
    lines = [f"Once there was {a(f'{dice.pick(ADJECTIVES)} {animal}')} named {hero}.", f"{hero} was in the {home}."]
    if dice.chance(0.7):
        told.animal[friend] = dice.pick([other for other in ANIMALS if other != animal])
        told.place[friend] = home if dice.chance(0.6) else dice.pick(PLACES)
        lines.append(
            f"{a(f'{dice.pick(ADJECTIVES)} {told.animal[friend]}').capitalize()} named {friend} "
            f"was in the {told.place[friend]}."
        )
    lines.append(_find(told, dice, dice.pick(list(told.place)), thing))
    events = dice.between(*EVENTS)
    while told.events < events:
        lines.append(_event(told, dice))
    return " ".join([*lines, ending(told)]), told


def ending(told: Telling) -> str:
    """What is true of the hero in the end."""
    things = told.has(told.hero)
    what = f"the {things[0]} and was happy" if things else "nothing and was sad"
    return f"In the end {told.hero} had {what}."


def _find(told: Telling, dice: Dice, name: str, thing: str) -> str:
    told.colour[thing] = dice.pick(COLOURS)
    told.finder[thing] = told.holder[thing] = name
    told.events += 1
    return f"{name} found {a(f'{told.colour[thing]} {thing}')}."


def _event(told: Telling, dice: Dice) -> str:
    """Something that can happen now, done."""
    name = dice.pick(list(told.place))
    here, things = told.place[name], told.has(name)
    near = [other for other in told.place if other != name and told.place[other] == here]
    on_the_floor = [thing for thing, where in told.lying.items() if where == here]
    can = ["go"] + ["give"] * 2 * bool(things and near) + ["put"] * bool(things) + ["take"] * 2 * bool(on_the_floor)
    can += ["find"] * (len(told.colour) < 2)
    doing = dice.pick(can)
    if doing == "find":
        return _find(told, dice, name, dice.pick([thing for thing in THINGS if thing not in told.colour]))
    told.events += 1
    if doing == "go":
        told.place[name] = dice.pick([place for place in PLACES if place != here])
        return f"{name} went to the {told.place[name]}."
    thing = dice.pick(on_the_floor if doing == "take" else things)
    if doing == "give":
        told.holder[thing] = other = dice.pick(near)
        return f"{name} gave the {thing} to {other}."
    if doing == "put":
        told.holder[thing], told.lying[thing] = None, here
        return f"{name} put down the {thing}."
    told.holder[thing] = name
    del told.lying[thing]
    return f"{name} took the {thing}."


def story(dice: Dice, new: bool) -> Sample:
    """A story to write (one in three), or one to read and answer questions about."""
    animal, thing = dice.until(
        lambda: (dice.pick(ANIMALS), dice.pick(THINGS)),
        lambda pair: held_out(HELD_OUT, ANIMALS.index(pair[0]), THINGS.index(pair[1])) == new,
    )
    text, told = write_story(dice, animal, thing)
    if dice.chance(1 / 3):
        wish = f"Tell a story about {a(animal)} and {a(thing)}."
        return conversation("story", [Asked("write", wish, text, {"animal": animal, "thing": thing})])
    return conversation("story", dice.some(_questions(told), dice.between(2, 5)), before=text)


def _questions(told: Telling) -> list[Asked]:
    asked = [Asked("feeling", f"How was {told.hero} in the end?", "happy" if told.has(told.hero) else "sad")]
    for name in told.place:
        asked.append(Asked("where", f"Where is {name} now?", told.place[name]))
        asked.append(Asked("animal", f"What animal is {name}?", told.animal[name]))
    for thing in told.colour:
        asked.append(Asked("colour", f"What colour is the {thing}?", told.colour[thing]))
        asked.append(Asked("has", f"Who has the {thing}?", told.holder[thing] or NOBODY))
        asked.append(Asked("found", f"Who found the {thing}?", told.finder[thing]))
    return asked
