"""How well a model recalls: every question with its circumstances, so that accuracy can be split any way."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model import TextModel
from .task import TEST, TRAINED, Batch, Difficulty, batch

TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Score:
    """One entry per question asked."""

    right: Tensor  # bool
    overwritten: Tensor  # bool: the key had been written more than once
    keys: Tensor  # int64: different keys in the text
    writes: Tensor  # int64: writes in the text

    @property
    def accuracy(self) -> float:
        return self.among(torch.ones_like(self.right))

    def among(self, chosen: Tensor) -> float:
        """Accuracy on a part of the questions, `score.among(score.overwritten)`; nan if there is none."""
        return self.right[chosen].double().mean().item()

    def by_keys(self) -> dict[int, float]:
        """Keys in a text -> accuracy."""
        return {n: self.among(self.keys == n) for n in self.keys.unique().tolist()}

    def by_writes(self) -> dict[int, float]:
        """Writes in a text -> accuracy."""
        return {n: self.among(self.writes == n) for n in self.writes.unique().tolist()}

    def __repr__(self) -> str:
        once, more = self.among(~self.overwritten), self.among(self.overwritten)
        split = f"written once {once:.2%}, overwritten {more:.2%}"
        return f"{self.accuracy:.2%} of {len(self.right):,} questions ({split})"


@torch.inference_mode()
def score(model: TextModel, difficulty: Difficulty = TRAINED, texts: int = 1024, seed: int = TEST) -> Score:
    """Ask a model about fresh texts: at each question, is the most likely next token the right one?

    Args:
        texts: rounded up to whole batches, each with a number of writes and of questions of its own.
        seed: of the first batch; `VALIDATION` to choose by, `TEST` to report.
    """
    device = model.embed_tokens.weight.device
    parts = []
    for number in range(-(-texts // TEXTS_AT_ONCE)):
        asked = batch(TEXTS_AT_ONCE, seed + number, difficulty)
        right = model(asked.inputs.to(device)).logits.argmax(-1).cpu() == asked.targets
        parts.append(questions_of(asked, right))
    return Score(*(torch.cat(column) for column in zip(*parts, strict=True)))


def questions_of(asked: Batch, right: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields of `Score` for one batch; `right` is bool [text, token − 1]."""
    answer = asked.answer[:, 1:]
    keys = asked.keys[:, None].expand_as(answer)[answer]
    return right[answer], asked.overwritten[:, 1:][answer], keys, torch.full_like(keys, asked.writes)
