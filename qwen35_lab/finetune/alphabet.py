"""A new alphabet of keys for the recall model: half of the colours become keys, the other half stay values.

    cat red . dog blue . ? cat        →  red       what it was trained on
    red gold . blue teal . ? red      →  gold      what it has never seen

The model knows every word, and how to remember. What it has to learn is to take a colour for an address.
"""

from dataclasses import replace

import torch

from ..errors import InputError
from ..qwen import Qwen
from ..recall.score import TEXTS_AT_ONCE, Score, questions_of
from ..recall.task import FIRST_KEY, FIRST_VALUE, TEST, VALIDATION, VALUES, VOCABULARY, Batch, Difficulty, batch
from ..recall.train import answer_loss
from ..training import History, Loss, Recipe, train
from .adapter import Tuned

EASY = Difficulty(keys=(2, 4), writes=(2, 8), questions=(1, 4))
HALF = len(VALUES) // 2
NEW_KEYS, NEW_VALUES = VALUES[:HALF], VALUES[HALF:]
CHANCE = 1 / HALF
ROWS = 16  # texts of a step
SPARE = 4  # times as many are drawn: some name two keys that would become one
MOST_STEPS, MOST_SEEDS = 10_000, 300_000  # every step of every seed has texts of its own, below VALIDATION
RECIPE = Recipe(120, adamw_rate=5e-3, warmup=10, every=20)


def with_new_keys(size: int, seed: int) -> Batch:
    """`size` texts whose keys are colours, the same for the same seed (0 to 2³² − 1)."""
    texts = batch(SPARE * size, seed, EASY)
    keys = (texts.ids >= FIRST_KEY) & (texts.ids < FIRST_VALUE)
    other = torch.arange(len(VOCABULARY))
    other[FIRST_KEY:FIRST_VALUE] = FIRST_VALUE + torch.arange(FIRST_VALUE - FIRST_KEY) % HALF
    other[FIRST_VALUE : FIRST_VALUE + len(VALUES)] = FIRST_VALUE + HALF + torch.arange(len(VALUES)) % HALF
    ids = other[texts.ids]
    clear = [n for n, of in enumerate(keys) if len(texts.ids[n][of].unique()) == len(ids[n][of].unique())][:size]
    return replace(
        texts, ids=ids[clear], answer=texts.answer[clear], weight=texts.weight[clear],
        overwritten=texts.overwritten[clear], keys=texts.keys[clear],
    )  # fmt: skip


def teach_alphabet(tuned: Tuned, recipe: Recipe = RECIPE, seed: int = 0, *, progress: bool = True) -> History:
    """Teach an adapter on a recall model the new keys; seconds on one CPU thread.

    Raises:
        InputError: another model than the recall model, or a seed out of range.
    """
    _refuse_others(tuned.base)
    if not 0 <= seed < MOST_SEEDS:
        raise InputError(f"The seed is {seed}; choose one between 0 and {MOST_SEEDS - 1:,}.")
    model = tuned.qwen.model

    def loss(step: int) -> Loss:
        texts = with_new_keys(ROWS, seed * MOST_STEPS + step)
        return Loss(answer_loss(model, texts), {}, texts.ids.numel())

    return train(model, loss, recipe, lambda: score_alphabet(tuned.qwen, 128, VALIDATION).accuracy, progress=progress)


@torch.inference_mode()
def score_alphabet(qwen: Qwen, texts: int = 256, seed: int = TEST) -> Score:
    """Ask about fresh texts with the new keys, as `recall.score` asks about animals.

    Raises:
        InputError: another model than the recall model.
    """
    _refuse_others(qwen)
    parts = []
    for number in range(-(-texts // TEXTS_AT_ONCE)):
        asked = with_new_keys(TEXTS_AT_ONCE, seed + number)
        right = qwen.model(asked.inputs.to(qwen.device)).logits.argmax(-1).cpu() == asked.targets
        parts.append(questions_of(asked, right))
    return Score(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _refuse_others(qwen: Qwen) -> None:
    if qwen.config.text.vocab_size != len(VOCABULARY):
        raise InputError('These texts are in the recall model\'s words; load one, lab.load("recall").')
