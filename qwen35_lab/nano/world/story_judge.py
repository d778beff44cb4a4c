"""Whether a text is a valid story, by the grammar that stories are written with.

A parser and the little world of `Telling`: each sentence must have one of the forms below, and must be possible
where it stands. It shares the words and the world's bookkeeping with the generator, and none of its code.
"""

import re
from collections.abc import Callable

from .story import Telling, ending
from .words import ADJECTIVES, ANIMALS, COLOURS, NAMES, PLACES, THINGS, a

_WORDS = {
    "NAME": NAMES, "OTHER": NAMES, "ANIMAL": ANIMALS, "THING": THINGS, "PLACE": PLACES,
    "COLOUR": COLOURS, "ADJECTIVE": ADJECTIVES,
}  # fmt: skip


class Fault(Exception):
    """Why a text is no valid story. `form`: it is not even a sentence of the grammar."""

    def __init__(self, why: str, *, form: bool = False):
        super().__init__(why)
        self.form = form


def check_story(text: str, animal: str, thing: str) -> None:
    """Read a story about such an animal and such a thing.

    Raises:
        Fault: at the first sentence that has no known form, or cannot be true; or at the end, if something is
            missing.
    """
    told = Telling()
    lines = re.findall(r"[^.]+\.", text)
    if " ".join(line.strip() for line in lines) != text.strip() or len(lines) < 4:
        raise Fault("not four or more sentences, each with a point", form=True)
    for line in lines[:-1]:
        _read(told, line.strip())
    _require(told.events >= 3, "fewer than three things happen")
    if not re.fullmatch(r"In the end \w+ had [a-z ]+\.", lines[-1].strip()):
        raise Fault(f"no ending: {lines[-1].strip()}", form=True)
    endings = {ending(told)} | {f"In the end {told.hero} had the {has} and was happy." for has in told.has(told.hero)}
    _require(lines[-1].strip() in endings, "the ending is not true")
    _require(told.animal[told.hero] == animal, f"not about {a(animal)}")
    _require(thing in told.colour, f"not about {a(thing)}")


def _require(fine: bool, why: str) -> None:
    if not fine:
        raise Fault(why)


def _read(told: Telling, line: str) -> None:
    """One sentence, into the world."""
    for pattern, happen in _SENTENCES:
        if found := pattern.fullmatch(line):
            words = {name.lower(): word for name, word in found.groupdict().items() if name != "A"}
            if "A" in found.groupdict():  # the article fits the word after it
                after = words.get("adjective") or words["colour"]
                _require(found["A"].lower() == a(after).split()[0], f"the wrong article: {line}")
            happen(told, **words)
            return
    raise Fault(f"no sentence of the grammar: {line}", form=True)


def _once(told: Telling, adjective: str, animal: str, name: str) -> None:
    _require(not told.hero, "a second hero")
    told.hero, told.animal[name] = name, animal


def _was(told: Telling, name: str, place: str) -> None:
    _require(name == told.hero and name not in told.place, f"{name} was somewhere already, or is not the hero")
    told.place[name] = place


def _friend(told: Telling, adjective: str, animal: str, name: str, place: str) -> None:
    _require(told.hero in told.place and name not in told.animal and not told.events, f"{name} comes too late or again")
    told.animal[name], told.place[name] = animal, place


def _acts(told: Telling, name: str) -> None:
    _require(name in told.place, f"nobody knows {name}")
    told.events += 1


def _found(told: Telling, name: str, colour: str, thing: str) -> None:
    _acts(told, name)
    _require(thing not in told.colour, f"the {thing} is known already")
    told.colour[thing], told.holder[thing] = colour, name


def _went(told: Telling, name: str, place: str) -> None:
    _acts(told, name)
    _require(told.place[name] != place, f"{name} is there already")
    told.place[name] = place


def _gave(told: Telling, name: str, thing: str, other: str) -> None:
    _acts(told, name)
    _require(told.holder.get(thing) == name, f"{name} has no {thing}")
    _require(other != name and told.place.get(other) == told.place[name], f"{other} is not there")
    told.holder[thing] = other


def _put(told: Telling, name: str, thing: str) -> None:
    _acts(told, name)
    _require(told.holder.get(thing) == name, f"{name} has no {thing}")
    told.holder[thing], told.lying[thing] = None, told.place[name]


def _took(told: Telling, name: str, thing: str) -> None:
    _acts(told, name)
    _require(told.lying.get(thing) == told.place[name], f"no {thing} lies there")
    told.holder[thing] = name
    del told.lying[thing]


def _sentence(form: str) -> re.Pattern[str]:
    """`NAME went to the PLACE.` with every word in capitals replaced by its alternatives."""
    pattern = re.escape(form).replace(r"\ ", " ")
    pattern = re.sub(r"\bAN\b", "(?P<A>[Aa]n?)", pattern)
    return re.compile(re.sub(r"\b[A-Z]{4,}\b", lambda m: f"(?P<{m[0]}>{'|'.join(_WORDS[m[0]])})", pattern))


_SENTENCES: list[tuple[re.Pattern[str], Callable[..., None]]] = [
    (_sentence("Once there was AN ADJECTIVE ANIMAL named NAME."), _once),
    (_sentence("NAME was in the PLACE."), _was),
    (_sentence("AN ADJECTIVE ANIMAL named NAME was in the PLACE."), _friend),
    (_sentence("NAME found AN COLOUR THING."), _found),
    (_sentence("NAME went to the PLACE."), _went),
    (_sentence("NAME gave the THING to OTHER."), _gave),
    (_sentence("NAME put down the THING."), _put),
    (_sentence("NAME took the THING."), _took),
]
