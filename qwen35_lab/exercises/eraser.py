"""The third exercise of notebook 03: a text that is answered rightly only because old values are erased."""

from collections.abc import Sequence
from typing import Any

import torch

from ..edits import edit
from ..errors import LabError
from ..qwen import Qwen
from ..recall.task import KEYS, VALUES
from .numbers import shown

WITHOUT_ERASE = edit("layers.*.mixer.erase").zero()  # λ = 0: every DeltaNet layer only adds to its memory
MOST_WRITES = 6
FORM = '([("cat", "red"), ("dog", "blue")], "cat")'


def check_break(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge (writes, question): wrong when nothing is erased (λ = 0), right with the full rule (λ = 1)."""
    if not isinstance(given, Qwen):
        return False, "Pass the model too: lab.check(…, your_answer, given=qwen)."
    if problem := _text_problem(answer):
        return False, problem
    writes, question = answer
    truth = {key: value for key, value in writes}[question]
    text = " . ".join(f"{key} {value}" for key, value in writes) + f" . ? {question}"
    try:
        with_erase = _answer(given, text)
        with given.edited(WITHOUT_ERASE):
            without = _answer(given, text)
    except LabError as error:
        return False, f"The model does not take this text: {error}"
    both = f"`{text}`: with the erase it says `{with_erase}`, without `{without}`; right is `{truth}`."
    if with_erase != truth:
        return False, f"{both} The trained rule fails here too; find a text that only the erase gets right."
    if without == truth:
        return False, f"{both} Right both times; what does a memory return that only adds?"
    return True, f"{both} {len(writes)} writes, and the old value is still there unless it is erased."


def _text_problem(answer: Any) -> str:
    if answer is None or answer is ...:
        return f"Nothing to try yet: answer with writes and a question, such as `{FORM}`."
    if not (isinstance(answer, Sequence) and len(answer) == 2 and isinstance(answer[1], str)):
        return f"Answer with writes and a question: (list of (key, value), key), such as `{FORM}`."
    writes, question = answer
    if not isinstance(writes, Sequence) or not all(
        isinstance(write, Sequence) and not isinstance(write, str) and len(write) == 2 for write in writes
    ):
        return f"Every write is a pair (key, value); an answer looks like `{FORM}`."
    if len(writes) > MOST_WRITES:
        return f"That is {len(writes)} writes; find one with at most {MOST_WRITES}."
    for key, value in writes:
        if problem := _word_problem(key, KEYS, "key") or _word_problem(value, VALUES, "value"):
            return problem
    if problem := _word_problem(question, KEYS, "key"):
        return problem
    if question not in [key for key, _ in writes]:
        return f"`{question}` is never written, so no answer to it is right; ask for a key of your writes."
    return ""


def _word_problem(word: Any, words: Sequence[str], kind: str) -> str:
    if word in words:
        return ""
    other = {"key": VALUES, "value": KEYS}[kind]
    if word in other:
        return f"`{word}` stands where a {kind} belongs; keys are animals, values are colours, written (key, value)."
    return f"The model knows no {kind} {shown(word)}; the {kind}s are {', '.join(words)}."


@torch.inference_mode()
def _answer(qwen: Qwen, text: str) -> str:
    return qwen.token_text(int(qwen.model(qwen.encode(text)).logits[0, -1].argmax()))
