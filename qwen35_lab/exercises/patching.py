"""The first exercise of notebook 14: patch one layer of a run from another, and say how much that brings back."""

import math
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import torch
from torch import Tensor

from ..edits import AnyEdit, edit
from ..qwen import Qwen, load
from .numbers import numbers_of

PAIRS = (  # two texts of one length that differ in one value; the last word asks
    ("cat red . dog blue . owl gold . ? cat", "cat green . dog blue . owl gold . ? cat"),
    ("fox pink . bee teal . cow navy . rat lime . ? bee", "fox pink . bee gold . cow navy . rat lime . ? bee"),
)
NEAR = 2e-4  # of the gap between the two runs: above rounding, below what any mistake moves


def patched_share(qwen: Qwen, clean: str, corrupt: str, layer: int) -> float:
    """How much of the clean answer comes back when one mixer's output at the last token is that of the clean run.

    (d_patched − d_corrupt) / (d_clean − d_corrupt), d the logit of the clean answer less that of the corrupt one.
    """
    return _share(qwen, clean, corrupt, f"layers.{layer}.mixer.out", token=-1)


def _share(
    qwen: Qwen, clean: str, corrupt: str, tap: str, *, token: Any = -1, source: str | None = None,
    into: str | None = None, words: tuple[int, int] | None = None,
    part: Callable[[float, float, float], float] | None = None,
    scores: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> float:  # fmt: skip
    """`patched_share` with one thing changed: where, from what, into what, what is compared, and how."""
    first, second = (qwen.trace(text, ["logits", tap]) for text in (clean, corrupt))
    read = {"clean": first, "corrupt": second}
    answers = words or (int(first["logits"][-1].argmax()), int(second["logits"][-1].argmax()))
    there: list[AnyEdit] = [edit(tap, token=token).patch_from(read[source or "clean"])]
    third = qwen.trace({"clean": clean, "corrupt": corrupt}[into or "corrupt"], "logits", there)
    a, b, c = (_difference(scores(trace["logits"][-1]), answers) for trace in (first, second, third))
    return part(a, b, c) if part else (c - b) / (a - b)


def _difference(scores: Tensor, answers: tuple[int, int]) -> float:
    return float(scores[answers[0]] - scores[answers[1]])


def _wrong_answers(qwen: Qwen, clean: str, corrupt: str) -> tuple[int, int]:
    """The word that is asked for, and the one before it: neither is an answer."""
    ids = qwen.encode(clean)[0]
    return int(ids[-1]), int(ids[-2])


PATCH_MISTAKES: tuple[tuple[str, Callable[[Qwen, str, str, int], float]], ...] = (
    (
        "Nothing comes back anywhere: it looks as if the patch is from the corrupt run itself. Trace the clean text, "
        "and patch from that trace into a run of the corrupt one.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", source="corrupt"),
    ),
    (
        "You run the clean text with the corrupt run's output. The question is what *restores* the answer: run the "
        "corrupt text, with the clean run's output.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", source="corrupt", into="clean"),
    ),
    (
        "You patch at the token of the value that differs. Patch where the answer is given: the last token, token=-1.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", token=_differs(q, a, b)),
    ),
    (
        "You patch every token, so that the whole mixer is that of the clean run; patch the last one, token=-1.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", token=slice(None)),
    ),
    (
        "You patch the layer's output, that is, everything up to there; patch what this mixer adds, "
        "`layers.N.mixer.out`.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.output"),
    ),
    (
        "You patch what the feed-forward adds, `ffn.out`; the exercise is about the mixer, `layers.N.mixer.out`.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.ffn.out"),
    ),
    (
        "You patch the layer before or after: layers are counted from 0, as in `layers.0.mixer.out`.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{(n + 1) % _layers(q)}.mixer.out"),
    ),
    (
        "You patch the layer before or after: layers are counted from 0, as in `layers.0.mixer.out`.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{(n - 1) % _layers(q)}.mixer.out"),
    ),
    (
        "You compare the logits of words that are no answers. Take those that the two runs give: the first choice "
        "after the clean text, and after the corrupt one.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", words=_wrong_answers(q, a, b)),
    ),
    (
        "You compare probabilities; they saturate, so that half of the way looks like nothing. Compare logits.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", scores=lambda logits: logits.softmax(-1)),
    ),
    (
        "That is the change alone; divide by the gap between the clean and the corrupt run, so that 1 is all of it.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", part=lambda a, b, c: c - b),
    ),
    (
        "You measure what is still missing, 1 minus the share; count from the corrupt run, so that 0 is no effect.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", part=lambda a, b, c: (a - c) / (a - b)),
    ),
    (
        "You divide the patched difference by the clean one; subtract the corrupt run's from both first.",
        lambda q, a, b, n: _share(q, a, b, f"layers.{n}.mixer.out", part=lambda a, b, c: c / a),
    ),
)


def _layers(qwen: Qwen) -> int:
    return len(qwen.config.text.layer_types)


def _differs(qwen: Qwen, clean: str, corrupt: str) -> int:
    return int((qwen.encode(clean)[0] != qwen.encode(corrupt)[0]).nonzero()[0])


@once
def _recall() -> Qwen:
    return load("recall")


@torch.inference_mode()
def check_patching(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a patching function by its effect sizes, for every layer of the recall model and two pairs of texts."""
    qwen = _recall()
    cases = [(*pair, n) for pair in PAIRS for n in range(_layers(qwen))]
    inputs, wanted = [(qwen, *case) for case in cases], "one number, the share that comes back"
    found, problem = numbers_of(answer, inputs, "(qwen, clean, corrupt, layer)", wanted)
    if problem:
        return False, problem
    right = [patched_share(qwen, *case) for case in cases]
    if _alike(found, right):
        most, least = (pick(range(len(cases)), key=lambda n: right[n]) for pick in (max, min))
        return True, (
            f"Right for {len(cases)} cases. The most comes back from layer {cases[most][2]}: {right[most]:.0%} of the "
            f"gap; the least from layer {cases[least][2]}."
        )
    for diagnosis, mistake in PATCH_MISTAKES:
        if _alike(found, [mistake(qwen, *case) for case in cases]):
            return False, diagnosis
    n = max(range(len(cases)), key=lambda n: abs(found[n] - right[n]))
    said = (
        f"for layer {cases[n][2]} of {cases[n][0]!r} against {cases[n][1]!r} it says {found[n]:.3f}, not {right[n]:.3f}"
    )
    return False, f"Not yet, and not a mistake this checker knows: {said}."


def _alike(found: Sequence[float], other: Sequence[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=NEAR, abs_tol=NEAR) for a, b in zip(found, other, strict=True))


CHECKS = {"14.1": check_patching}
