"""A new manner for the nano: it answers in a word, and is to answer in a sentence.

    Mia likes tea. … Now Mia likes rice. What does Mia like?     rice  →  rice is the answer.

The word must still be found in the text. Names and values of the test are pairs that neither the nano's training nor
these lessons show. The sentence is made of words that the nano has said before. The table that scores words is frozen,
and sentences with words that it had only read (`what`, `where`) an adapter on the layers did not learn.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import InputError
from ..nano.world import Message, draw
from ..qwen import Qwen
from ..training import History, Loss, Recipe, train
from .adapter import Tuned
from .lessons import BALANCE, Lessons, lesson_loss, lessons, prompt_text

DISTANCE = (0, 4)  # sentences between a fact and its question
ROWS = 8  # of a step
MOST_STEPS = 10_000  # a seed has texts of its own for so many
ROOM = 16  # tokens of an answer
AT_ONCE = 32
RECIPE = Recipe(60, adamw_rate=3e-3, warmup=5, every=15)
Pair = tuple[list[Message], str]


def in_a_sentence(answer: str) -> str:
    """`rice` -> `rice is the answer.`"""
    return f"{answer} is the answer."


def _pairs(seed: int, split: str, start: int, count: int) -> Iterator[tuple[Pair, str]]:
    """Chats with the sentence that is wanted, and the bare value."""
    for index in range(start, start + count):
        sample = draw("facts", seed, index, split, distance=DISTANCE)
        question = sample.questions[0]
        yield (sample.prompt(question), in_a_sentence(question.answer)), question.answer


def sentence_lessons(qwen: Qwen, step: int, seed: int = 0, rows: int = ROWS) -> Lessons:
    """What a step reads."""
    return lessons(qwen, [pair for pair, _ in _pairs(seed, "train", step * rows, rows)])


def teach_sentences(
    tuned: Tuned, recipe: Recipe = RECIPE, seed: int = 0, *, balance: float = BALANCE, questions: int = 32,
    progress: bool = True,
) -> History:  # fmt: skip
    """Teach an adapter the manner; some ten seconds on one CPU thread for the nano.

    Args:
        balance: what the routers' balance counts in the loss.
        questions: held-out ones (of the split "valid") that are asked every `recipe.every` steps.
    """

    def loss(step: int) -> Loss:
        return lesson_loss(tuned.qwen.model, sentence_lessons(tuned.qwen, step, seed), balance)

    def evaluate() -> float:
        return score_sentences(tuned.qwen, questions, split="valid").share

    return train(tuned.qwen.model, loss, recipe, evaluate, progress=progress)


@dataclass(frozen=True)
class Said:
    """What came of some questions, in numbers of answers."""

    asked: int
    sentences: int  # the right sentence, to the letter
    values: int  # the right value, whatever stands around it
    words: int  # the bare value: the old manner
    examples: tuple[tuple[str, str, str], ...]  # question, wanted, said

    @property
    def share(self) -> float:
        return self.sentences / self.asked

    def __repr__(self) -> str:
        return (
            f"of {self.asked} answers {self.sentences} are the right sentence, {self.words} the right word alone; "
            f"{self.values} hold the right value"
        )


def score_sentences(qwen: Qwen, questions: int = 64, split: str = "test", seed: int = 0) -> Said:
    """Ask a model about facts it has not seen, greedily.

    Raises:
        InputError: fewer than one question.
    """
    if questions < 1:
        raise InputError(f"{questions} questions measure nothing; ask one at least.")
    asked = list(_pairs(seed, split, 0, questions))
    texts = [prompt_text(qwen, messages) for (messages, _), _ in asked]
    said: list[str] = []
    for start in range(0, questions, AT_ONCE):
        said += qwen.generate(texts[start : start + AT_ONCE], max_new_tokens=ROOM)
    said = [text.strip() for text in said]
    rows = [(m[-1]["content"].rsplit("\n", 1)[-1], want, text) for ((m, want), _), text in zip(asked, said)]
    values = [value for _, value in asked]
    return Said(
        questions,
        sum(text == want for _, want, text in rows),
        sum(bool(re.search(rf"\b{re.escape(v)}\b", text)) for v, text in zip(values, said)),
        sum(text == value for value, text in zip(values, said)),
        tuple(rows[:5]),
    )
