"""How far a recall model's memory reaches: by how much is written, and by where the asked key was written.

Two grids of accuracy for models with the vocabulary of `qwen35_lab.recall`. `recall_map` asks about texts of the task
itself. `needle_map` asks for one key that is written once, at a chosen depth among writes of other keys:

    dog blue . cat red . owl gray . dog pink . ? cat        length 4 writes, depth 1/3

At every depth of a length the texts are the same but for where the needle stands, so that neighbouring cells differ by
the depth and not by the draw. Guessing gives `recall.CHANCE`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import InputError
from ..provenance import Provenance
from ..qwen import Qwen
from ..recall import KEYS, TEST, TRAINED, VALUES, VOCABULARY, Difficulty, score
from ..recall.score import TEXTS_AT_ONCE
from ..recall.task import ASK, FIRST_KEY, FIRST_VALUE, IDS, POINT
from .recorded import counted

MOST_SEEDS = 2**16


@dataclass(frozen=True)
class RecallMap:
    """Accuracy by keys and writes of a text."""

    accuracy: Tensor  # [key, write], float64; nan where there are fewer writes than keys
    questions: Tensor  # [key, write], int64: how many were asked
    keys: tuple[int, ...]
    writes: tuple[int, ...]
    provenance: Provenance


@dataclass(frozen=True)
class NeedleMap:
    """Accuracy by the length of a text and the depth at which the asked key was written."""

    accuracy: Tensor  # [length, depth], float64
    questions: Tensor  # [length, depth], int64: how many were asked, one a text
    lengths: tuple[int, ...]  # writes of the text, the needle among them
    depths: tuple[float, ...]  # 0 the first write, 1 the last one before the question
    provenance: Provenance

    @property
    def tokens(self) -> tuple[int, ...]:
        """The lengths in tokens, question included."""
        return tuple(3 * length + 2 for length in self.lengths)


def recall_map(
    qwen: Qwen,
    keys: Sequence[int] = (2, 4, 8, 12, 16),
    writes: Sequence[int] = (24, 48, 96, 192),
    *,
    texts: int = TEXTS_AT_ONCE,
    questions: int = 8,
    seed: int = TEST,
    progress: bool = False,
) -> RecallMap:
    """Accuracy in fresh texts of every number of keys and writes, by `recall.score`.

    Args:
        texts: per cell, rounded up to whole batches.
        questions: per text, anywhere after its first write.
        seed: of each cell's first batch.
        progress: show a bar.
    Raises:
        InputError: a model without the recall vocabulary, or numbers that make no text.
    """
    _require_vocabulary(qwen)
    shape = _axis("keys", keys), _axis("writes", writes)
    accuracy = torch.full(shape, torch.nan, dtype=torch.float64)
    asked = torch.zeros(shape, dtype=torch.long)
    cells = [cell for cell in product(enumerate(keys), enumerate(writes)) if cell[1][1] >= cell[0][1]]
    for (row, n), (column, m) in tqdm(cells, unit="cell", disable=not progress):
        found = score(qwen.model, Difficulty((n, n), (m, m), (questions, questions)), texts, seed)
        accuracy[row, column], asked[row, column] = found.accuracy, len(found.right)
    return RecallMap(accuracy, asked, tuple(keys), tuple(writes), qwen.provenance)


def needle_map(
    qwen: Qwen,
    lengths: Sequence[int] = (8, 16, 32, 64, 128),
    depths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    *,
    keys: int = TRAINED.keys[1],
    texts: int = TEXTS_AT_ONCE,
    seed: int = 0,
    progress: bool = False,
) -> NeedleMap:
    """Is a key that was written once still recalled, from every depth of texts of every length?

    Args:
        lengths: writes of a text, the needle among them.
        depths: 0 to 1, rounded to the nearest write.
        keys: different keys of a text, the needle's among them; the others are overwritten again and again.
        texts: per cell.
        seed: 0 to 65,535; a row depends on nothing but the seed, its own length, `keys` and `texts`.
        progress: show a bar.
    Raises:
        InputError: a model without the recall vocabulary, or numbers that make no text.
    """
    _require_vocabulary(qwen)
    shape = _axis("lengths", lengths), len(depths)
    if not depths or not all(0 <= depth <= 1 for depth in depths):
        raise InputError(f"The depths are {tuple(depths)}; pass numbers from 0, the first write, to 1, the last.")
    accuracy = torch.zeros(shape, dtype=torch.float64)
    for (row, length), (column, depth) in tqdm(
        list(product(enumerate(lengths), enumerate(depths))), unit="cell", disable=not progress
    ):
        ids, answers = needle_texts(length, depth, keys=keys, texts=texts, seed=seed)
        accuracy[row, column] = _right(qwen, ids, answers).double().mean()
    questions = torch.full(shape, texts)
    return NeedleMap(accuracy, questions, tuple(lengths), tuple(depths), qwen.provenance)


def needle_texts(
    length: int, depth: float, *, keys: int = TRAINED.keys[1], texts: int = TEXTS_AT_ONCE, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Texts that end with a question about a key written once: ids [text, 3 · length + 2] and the answers [text]."""
    if not 2 <= keys <= len(KEYS):
        raise InputError(f"keys is {keys}; a needle among others takes 2 to {len(KEYS)} different keys.")
    if not 0 <= seed < MOST_SEEDS or texts < 1:
        raise InputError(f"The seed is {seed} and texts {texts}; pass a seed from 0 to {MOST_SEEDS - 1}, and a text.")
    random = torch.Generator().manual_seed(seed * MOST_SEEDS + length)
    names = FIRST_KEY + torch.rand(texts, len(KEYS), generator=random).argsort(1)  # which animal is key 0, 1, …
    written = torch.randint(1, keys, (texts, length - 1), generator=random)  # key 0 is the needle's
    values = FIRST_VALUE + torch.randint(len(VALUES), (texts, length), generator=random)  # the needle's comes first
    place = round(depth * (length - 1))
    order = torch.arange(1, length).tolist()
    order.insert(place, 0)
    written = torch.cat((torch.zeros(texts, 1, dtype=torch.long), written), dim=1)
    statements = torch.stack((names.gather(1, written), values, torch.full_like(values, IDS[POINT])), dim=-1)
    question = torch.stack((torch.full((texts,), IDS[ASK]), names[:, 0]), dim=1)
    return torch.cat((statements[:, order].flatten(1), question), dim=1), values[:, 0]


@torch.inference_mode()
def _right(qwen: Qwen, ids: Tensor, answers: Tensor) -> Tensor:
    """Whether the most likely next token is the answer, bool [text]."""
    choices = [qwen.model(part.to(qwen.device), logits_to_keep=1).logits[:, -1] for part in ids.split(TEXTS_AT_ONCE)]
    return torch.cat(choices).argmax(-1).cpu() == answers


def _axis(name: str, numbers: Sequence[int]) -> int:
    if not numbers:
        raise InputError(f"{name} is {tuple(numbers)}; pass whole numbers from 1 on.")
    return len([counted(number, name, 1) for number in numbers])


def _require_vocabulary(qwen: Qwen) -> None:
    size = qwen.config.text.vocab_size
    if size != len(VOCABULARY):
        raise InputError(
            f"This model has a vocabulary of {size:,}; "
            f'recall texts need the {len(VOCABULARY)} words of the recall model, lab.load("recall").'
        )
