"""The same sentence in several scripts: translate it, or say which language it is."""

from .dice import Dice, held_out
from .phrasebook import LANGUAGES, MEANINGS, Meaning, say
from .sample import Asked, Sample, conversation

HELD_OUT = 2
TRAINED, NEW = (
    tuple(meaning for n, meaning in enumerate(MEANINGS) if held_out(HELD_OUT, n) == new) for new in (False, True)
)


def scripts(dice: Dice, new: bool) -> Sample:
    """One to three turns. A text is one sentence, or two; in "valid" and "test" only held-out sentences."""
    asked = []
    for _ in range(dice.between(1, 3)):
        meanings = dice.some(NEW if new else TRAINED, 1 if dice.chance(0.7) else 2)
        source, target = dice.some(LANGUAGES, 2)
        text = tell(meanings, source)
        if dice.chance(0.2):
            asked.append(Asked("language", f"Which language is this? {text}", source))
        else:
            facts = {"source": source, "target": target}
            asked.append(Asked("translate", f"Say it in {target}: {text}", tell(meanings, target), facts))
    return conversation("scripts", asked)


def tell(meanings: list[Meaning], language: str) -> str:
    return " ".join(say(meaning, language) for meaning in meanings)
