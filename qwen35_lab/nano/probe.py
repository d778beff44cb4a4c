"""A quick look during training: answers judged word for word, with the right words before them given.

It flatters where an answer is long (what comes after a mistake is never seen), and is strict where several answers are
right. The real scores are in score.py.
"""

from typing import Any

import torch
from torch import Tensor

from ..model import MultimodalModel
from .pack import Batch, batch
from .world import KINDS

ROWS, LENGTH = 8, 512


class Probe:
    """The same held-out rows of every kind each time; call it with a model.

    Args:
        rows: of `LENGTH` tokens, of each kind.
    """

    def __init__(self, tokenizer: Any, rows: int = ROWS, split: str = "valid"):
        self.texts: dict[str, Batch] = {
            kind: batch(tokenizer, 0, rows=rows, length=LENGTH, split=split, mix={kind: 1.0}) for kind in KINDS
        }

    @torch.inference_mode()
    def __call__(self, model: MultimodalModel) -> dict[str, float]:
        """Kind -> share of answers of which every token is the most likely one."""
        device = model.embed_tokens.weight.device
        return {kind: exact(model, texts.to(device)) for kind, texts in self.texts.items()}


def exact(model: MultimodalModel, texts: Batch) -> float:
    """The share of a batch's answers that are said word for word; nan if it has none."""
    inputs = texts.inputs()
    del inputs["attention_mask"]
    hidden = model(**inputs, logits_to_keep=1).hidden[:, :-1]
    number = _numbers(texts)[:, 1:]
    where = number > 0
    wrong = model.head(hidden[where]).argmax(-1) != texts.targets[where]
    missed = torch.bincount(number[where], wrong.double(), minlength=1)
    asked = torch.bincount(number[where], minlength=1) > 0
    return (missed[asked] == 0).double().mean().item()


def _numbers(texts: Batch) -> Tensor:
    """Like `Batch.answer`, but numbered on from row to row."""
    most = texts.answer.amax(1)
    return torch.where(texts.answer > 0, texts.answer + (most.cumsum(0) - most)[:, None], 0)
