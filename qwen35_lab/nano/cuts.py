"""Facts asked of a nano while a part of it is switched off: what its eraser is good for, and where it remembers.

    found = switched_off(qwen)
    found["nothing"].once, found["the erase of all layers"].overwritten

What is asked is the first question of held-out texts. An answer is right if each of its tokens is the most likely one,
the right ones before it given: exactly then the greedy answer is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import LINEAR
from ..edits import Edit, edit
from ..errors import InputError
from ..qwen import Qwen
from .encode import encode
from .render import render_prompt
from .tokenizer import SIZE, TURN_END
from .world import Question, Sample, draw

AT_ONCE = 32  # rows of a batch
NAMELESS = 2  # first tokens of a question, "What does" or "Where does", which name nobody
Cut = Callable[[Sequence[int]], list[Edit]]  # where each row's question begins -> what is changed


@dataclass(frozen=True)
class Remembered:
    """One entry per question."""

    right: Tensor  # bool
    rewritten: Tensor  # bool: the fact that is asked for was written more than once
    distance: Tensor  # int64: sentences after its last write

    @property
    def once(self) -> float:
        """Share of right answers about facts that were written once."""
        return self.among(~self.rewritten)

    @property
    def overwritten(self) -> float:
        """Share of right answers about facts that were written over."""
        return self.among(self.rewritten)

    def among(self, chosen: Tensor) -> float:
        """Accuracy on a part of the questions; nan if there is none."""
        return self.right[chosen].double().mean().item()

    def __repr__(self) -> str:
        return f"{len(self.right):,} questions: written once {self.once:.1%}, overwritten {self.overwritten:.1%}"


@dataclass(frozen=True)
class Asked:
    """One question as the model reads it, and what it is to say."""

    ids: list[int]  # all but the answer's last token
    answer: list[int]
    begin: int  # the question's first token
    rewritten: bool
    distance: int


def switched_off(qwen: Qwen, each: int = 32, seed: int = 0) -> dict[str, Remembered]:
    """What is switched off, in words -> what the nano still knows.

    Without its erase a layer only adds: β Sᵀk = 0 throughout. A memory is emptied once, as the question begins: S = 0,
    or, of attention, no weight from then on for what came before. What the text has left in other layers stays.

    Args:
        each: questions about facts that were written once, and as many about overwritten ones; the same for every cut.
    Raises:
        InputError: the model does not read what the nano reads.
    """
    asked = ask_facts(qwen, each, seed)
    kinds = qwen.config.text.layer_types
    linear = [n for n, kind in enumerate(kinds) if kind == LINEAR]
    cuts: dict[str, Cut] = {"nothing": lambda begins: []}
    cuts |= {f"the erase of layer {n}": unerased(n) for n in linear}
    cuts["the erase of all layers"] = unerased(*linear)
    cuts |= {f"the memory of layer {n}": emptied(n, kind) for n, kind in enumerate(kinds)}
    return {name: remembered(qwen, asked, cut) for name, cut in cuts.items()}


def ask_facts(qwen: Qwen, each: int = 32, seed: int = 0, split: str = "test") -> list[Asked]:
    """The first questions of texts, so many about facts written once and so many about overwritten ones.

    Those of short texts come first.
    """
    if qwen.config.text.vocab_size != SIZE or TURN_END not in qwen.tokenizer.get_vocab():
        raise InputError('These facts are told in the nano\'s words and chat; load one, lab.load("nano").')
    room = {"once": each, "overwritten": each}
    asked: list[Asked] = []
    index = 0
    while any(room.values()):
        sample = draw("facts", seed, index, split)
        question, index = sample.questions[0], index + 1
        if room[question.type]:
            room[question.type] -= 1
            asked.append(_asked(qwen.tokenizer, sample, question))
    return sorted(asked, key=lambda one: len(one.ids))


def _asked(tokenizer: Any, sample: Sample, question: Question) -> Asked:
    prompt = render_prompt(sample, question, tokenizer).ids.tolist()
    answer = encode(tokenizer, question.answer)
    end = prompt.index(encode(tokenizer, TURN_END)[0])
    begin = 1 + max(n for n in range(end) if "\n" in tokenizer.decode([prompt[n]]))
    rewritten, distance = question.type == "overwritten", question.facts["distance"]
    return Asked(prompt + answer[:-1], answer, begin, rewritten, distance)


def unerased(*layers: int) -> Cut:
    return lambda begins: [edit(f"layers.{n}.mixer.erase").zero() for n in layers]


def emptied(layer: int, kind: str) -> Cut:
    """As the question begins: behind the words that name nobody, so that no window of the convolution reaches back."""
    state, weights = f"layers.{layer}.mixer.state", f"layers.{layer}.mixer.weights"

    def empty(row: int, first: int) -> Edit:
        if kind == LINEAR:
            return edit(state, batch=row, token=first - 1).zero()
        return edit(weights, batch=row, query=slice(first, None), key=slice(None, first)).zero()

    return lambda begins: [empty(row, begin + NAMELESS) for row, begin in enumerate(begins)]


@torch.inference_mode()
def remembered(qwen: Qwen, asked: Sequence[Asked], cut: Cut = lambda begins: []) -> Remembered:
    """Ask, with a cut."""
    right: list[bool] = []
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        with qwen.edited(*cut([each.begin for each in part])):
            right += _right(qwen, part)
    rewritten, distance = ([getattr(each, name) for each in asked] for name in ("rewritten", "distance"))
    return Remembered(torch.tensor(right), torch.tensor(rewritten), torch.tensor(distance))


def _right(qwen: Qwen, asked: Sequence[Asked]) -> list[bool]:
    """Whether every token of an answer is the first choice. Padding stands behind, where nobody sees it."""
    width = max(len(each.ids) for each in asked)
    ids = torch.tensor([each.ids + [0] * (width - len(each.ids)) for each in asked], device=qwen.device)
    hidden = qwen.model(ids, logits_to_keep=1).hidden
    # where the answers stand, alone: to score all words at every token takes as long as a layer
    ends = [row[len(each.ids) - len(each.answer) : len(each.ids)] for row, each in zip(hidden, asked, strict=True)]
    chosen = qwen.model.head(torch.cat(ends)).argmax(-1).split([len(end) for end in ends])
    return [end.tolist() == each.answer for end, each in zip(chosen, asked, strict=True)]
