"""Documents in several languages with one fact in them, for models that chat.

    Собака в саду. Медведь не пьёт воду. … Mia likes soup. … Птица в лесу.
    What does Mia like?

The other sentences are those of the nano's phrase book (`nano.world.phrasebook`): a document says the same in every
language, sentence by sentence, so that what differs between two of them is the script and the number of tokens. The
fact is English, and (for the nano) a pair of name and food that its training left out.
"""

import random
from collections import Counter
from itertools import product

import torch
from torch import Tensor

from ..errors import InputError
from ..nano.world.facts import ATTRIBUTES, fitting
from ..nano.world.phrasebook import LANGUAGES, MEANINGS, say
from ..nano.world.words import FOODS, NAMES
from ..qwen import Qwen
from .needles import Texts

SAID, ASKED, _ = ATTRIBUTES["likes"]
MARK = "DOCUMENT"


def told_texts(qwen: Qwen, language: str, length: int, depth: float, *, texts: int = 8, seed: int = 0) -> Texts:
    """Texts of one shape: the same sentences around needles that are equally long in tokens.

    Args:
        language: one of `nano.world.phrasebook.LANGUAGES`.
        length: sentences, the needle among them.
        depth: 0 to 1, rounded to the nearest sentence.
        texts: each has another name in it.
    Raises:
        InputError: no such language, a length or depth that makes no document, or too few names for so many texts.
    """
    if language not in LANGUAGES:
        raise InputError(f"The phrase book does not speak {language!r}; choose one of {', '.join(LANGUAGES)}.")
    if length < 1 or not 0 <= depth <= 1:
        raise InputError(f"A document has 1 sentence or more and a depth from 0 to 1, not {length} and {depth}.")
    place = round(depth * (length - 1))
    lines = [say(meaning, language) for meaning in random.Random(seed).choices(MEANINGS, k=length - 1)]
    opening, closing = qwen.chat_prompt(MARK).split(MARK)
    pairs = _pairs(qwen, texts, seed)
    before = opening + " ".join(lines[:place]) + " " * bool(place)
    after = "".join(f" {line}" for line in lines[place:])
    row = torch.ones(texts, 1, dtype=torch.long)
    return Texts(
        before=row * _ids(qwen, before),
        needle=torch.cat([_ids(qwen, SAID.format(name=name, value=value)) for name, value, _ in pairs]),
        after=row * _ids(qwen, after),
        question=torch.cat([_ids(qwen, "\n" + ASKED.format(name=name) + closing) for name, *_ in pairs]),
        other=torch.cat([_ids(qwen, SAID.format(name=name, value=other)) for name, _, other in pairs]),
        answers=torch.tensor([_first(qwen, value) for _, value, _ in pairs]),
        choices=torch.tensor([_first(qwen, food) for food in foods(qwen)]),
    )


def foods(qwen: Qwen) -> list[str]:
    """Those that their first token tells apart."""
    count = Counter(_first(qwen, food) for food in FOODS)
    return [food for food in FOODS if count[_first(qwen, food)] == 1]


def _pairs(qwen: Qwen, texts: int, seed: int) -> list[tuple[str, str, str]]:
    """(name, value, another value): every name once, and sentences and questions of the commonest lengths."""
    known = foods(qwen)
    asked = dict(zip(NAMES, _sizes(qwen, [ASKED.format(name=name) for name in NAMES]), strict=True))
    could = list(product(NAMES, known))
    said = _sizes(qwen, [SAID.format(name=name, value=food) for name, food in could])
    sizes = {pair: (size, asked[pair[0]]) for pair, size in zip(could, said, strict=True)}
    common = Counter(sizes.values()).most_common(1)[0][0]
    fit = {name: [food for food in known if sizes[name, food] == common] for name in NAMES}
    dice = random.Random(seed)
    found = []
    for name in dice.sample(NAMES, len(NAMES)):
        new = [food for food in fit[name] if food in fitting(name, "likes", True)]
        if new and len(fit[name]) > 1:
            value = dice.choice(new)
            found.append((name, value, dice.choice([food for food in fit[name] if food != value])))
    if not 1 <= texts <= len(found):
        raise InputError(
            f"There are {len(found)} names whose sentences are equally long; texts is {texts}: ask for fewer."
        )
    return found[:texts]


def _first(qwen: Qwen, word: str) -> int:
    return int(_ids(qwen, word)[0, 0])


def _sizes(qwen: Qwen, texts: list[str]) -> list[int]:
    """In tokens; all at once, as one call for each would take longer than reading the texts that are chosen."""
    return [len(ids) for ids in qwen.tokenizer(texts)["input_ids"]]


def _ids(qwen: Qwen, text: str) -> Tensor:
    """[1, token]; an empty text has none."""
    return qwen.encode(text).cpu() if text else torch.zeros(1, 0, dtype=torch.long)
