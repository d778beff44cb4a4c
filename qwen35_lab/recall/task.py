"""Recall with overwrites: a small task that needs a memory which can be edited.

    cat red . dog blue . cat green . ? cat green . ? dog blue<|endoftext|>

A text is a list of statements, joined by " . ": `key value` writes, and `? key value` asks for the value
that was written last under that key, then gives it. Later writes overwrite earlier ones. A text begins with
a write and ends with the answer to a question; between them writes and questions come in any order.

Every word is one token. Keys are animals; values are colours, all of them names that CSS and plotly know, so
that a figure can paint a value with its own word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError

KEYS = (
    "cat", "dog", "fox", "owl", "bee", "ant", "cow", "pig",
    "hen", "rat", "bat", "elk", "yak", "ape", "emu", "eel",
)  # fmt: skip
VALUES = (
    "red", "blue", "green", "yellow", "orange", "purple", "pink", "brown",
    "black", "white", "gray", "gold", "teal", "navy", "lime", "cyan",
)  # fmt: skip
POINT, ASK, END, UNKNOWN = ".", "?", "<|endoftext|>", "<unk>"
VOCABULARY = (POINT, ASK, *KEYS, *VALUES, END, UNKNOWN)
IDS = {word: n for n, word in enumerate(VOCABULARY)}
FIRST_KEY, FIRST_VALUE = IDS[KEYS[0]], IDS[VALUES[0]]
CHANCE = 1 / len(VALUES)

# Batches are numbered by seeds of 32 bits (PyTorch's CPU generator ignores higher ones). Training stays below
# VALIDATION, which serves to choose between models; what is reported comes from TEST.
VALIDATION, TEST = 3_300_000_000, 3_800_000_000

# What the loss asks for. Nobody can know which key or value a text will write next, so these count for
# little: just enough to learn what a text looks like. After an answer a text may go on or end; only the end
# is taught, so that a model that generates gives its answer and stops.
ANSWER_WEIGHT, END_WEIGHT, TEXT_WEIGHT = 1.0, 0.1, 0.02


@dataclass(frozen=True)
class Difficulty:
    """How long and how crowded texts are: least and most, both included.

    A batch draws its number of writes and of questions, and every text its number of keys.
    """

    keys: tuple[int, int] = (2, 8)  # different keys of a text, each written at least once
    writes: tuple[int, int] = (2, 24)
    questions: tuple[int, int] = (1, 8)  # after every text's first write, anywhere

    def __post_init__(self) -> None:
        for name in ("keys", "writes", "questions"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise InputError(f"{name} is {low, high}; pass (least, most) with 1 ≤ least ≤ most.")
        if self.keys[1] > len(KEYS):
            raise InputError(f"There are {len(KEYS)} keys; {self.keys[1]} different ones cannot be drawn.")
        if self.writes[0] < self.keys[0]:
            raise InputError(f"{self.writes[0]} writes cannot use {self.keys[0]} keys; ask for more writes.")


TRAINED = Difficulty()  # what the shipped model has seen


@dataclass(frozen=True)
class Batch:
    """Texts of one length. All tensors are [text, token] unless the comment says otherwise."""

    ids: Tensor  # int64; the last token is the end token
    answer: Tensor  # bool: this token is the answer to a question
    weight: Tensor  # float32: what predicting this token counts in the loss
    overwritten: Tensor  # bool: an answer whose key had been written more than once
    keys: Tensor  # int64 [text]: different keys in the whole text
    writes: int  # in every text

    @property
    def inputs(self) -> Tensor:
        """What a model reads, [text, token − 1]; it predicts `targets` from it."""
        return self.ids[:, :-1]

    @property
    def targets(self) -> Tensor:
        return self.ids[:, 1:]


def batch(size: int, seed: int, difficulty: Difficulty = TRAINED) -> Batch:
    """Draw `size` texts with one number of writes and of questions, the same for the same seed.

    Args:
        seed: 0 to 2³² − 1.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"The seed of a batch is {seed}; choose one between 0 and {2**32 - 1}.")
    random = torch.Generator().manual_seed(seed)
    writes, questions = (_between(*limits, random) for limits in (difficulty.writes, difficulty.questions))
    most = min(difficulty.keys[1], writes)
    in_play = torch.randint(difficulty.keys[0], most + 1, (size,), generator=random)
    values = torch.randint(len(VALUES), (size, writes), generator=random)
    written = _written_keys(size, writes, in_play, random)
    names = torch.rand(size, len(KEYS), generator=random).argsort(1)  # which animal is key 0, 1, …
    asks = _which_statements_ask(size, writes, questions, random)
    ids, answer, overwritten = _tell(names, written, values, asks, random)
    weight = torch.full(ids.shape, TEXT_WEIGHT)
    weight[:, 0] = 0  # nothing predicts the first token
    weight[:, 1:][answer[:, :-1]] = 0  # the text goes on after an answer: not taught, see above
    weight[answer] = ANSWER_WEIGHT
    weight[:, -1] = END_WEIGHT
    return Batch(ids, answer, weight, overwritten, in_play, writes)


def _between(low: int, high: int, random: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=random))


def _written_keys(size: int, writes: int, in_play: Tensor, random: torch.Generator) -> Tensor:
    """Which key in play each write uses, [text, write]: every one once, the rest at random, in any order."""
    number = torch.arange(writes).expand(size, -1)
    anyone = (torch.rand(size, writes, generator=random) * in_play[:, None]).long()
    keys = torch.where(number < in_play[:, None], number, anyone)
    return keys.gather(1, torch.rand(size, writes, generator=random).argsort(1))


def _which_statements_ask(size: int, writes: int, questions: int, random: torch.Generator) -> Tensor:
    """Bool [text, statement]: the first statement writes, the last one asks, the others are shuffled."""
    middle = torch.arange(writes + questions - 2).expand(size, -1) < questions - 1
    middle = middle.gather(1, torch.rand(middle.shape, generator=random).argsort(1))
    yes = torch.ones(size, 1, dtype=torch.bool)
    return torch.cat((~yes, middle, yes), dim=1)


def _tell(
    names: Tensor, written: Tensor, values: Tensor, asks: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Write the texts down, statement by statement, for the whole batch at once.

    Args:
        names: the animal of each key in play, [text, key].
        written, values: key and value of each write, [text, write].
        asks: bool [text, statement].
    Returns:
        ids, answer and overwritten as in `Batch`.
    """
    size, statements = asks.shape
    writes = written.shape[1]
    length = 3 * writes + 4 * (statements - writes)  # the point after the last statement becomes the end
    ids = torch.full((size, length), IDS[POINT])
    answer = torch.zeros(size, length, dtype=torch.bool)
    overwritten = torch.zeros(size, length, dtype=torch.bool)
    latest = torch.zeros(size, len(KEYS), dtype=torch.long)  # value written last under each key
    count = torch.zeros(size, len(KEYS), dtype=torch.long)  # writes under each key so far
    row = torch.arange(size)
    start = torch.zeros(size, dtype=torch.long)  # token at which the statement begins
    write = torch.zeros(size, dtype=torch.long)  # writes so far
    for ask in asks.unbind(1):
        turn = write.clamp(max=writes - 1)
        asked = (torch.rand(size, len(KEYS), generator=random) * (count > 0)).argmax(1)
        key = torch.where(ask, asked, written[row, turn])
        value = torch.where(ask, latest[row, key], values[row, turn])
        latest[row, key] = value
        count[row, key] += (~ask).long()
        ids[row[ask], start[ask]] = IDS[ASK]
        at = start + ask.long()
        ids[row, at] = FIRST_KEY + names[row, key]
        ids[row, at + 1] = FIRST_VALUE + value
        answer[row, at + 1] = ask
        overwritten[row, at + 1] = ask & (count[row, key] > 1)
        start, write = at + 3, write + (~ask).long()
    ids[:, -1] = IDS[END]
    return ids, answer, overwritten


def text(ids: Sequence[int] | Tensor) -> str:
    """Token ids as the tokenizer would decode them, without the end token."""
    return " ".join(VOCABULARY[int(n)] for n in ids if int(n) != IDS[END])
