"""The exercises of notebook 10: rounding by hand, a block quantiser, and which tensors may be held in 8 bits."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..analysis.rounding import Bench, Harm
from ..errors import LabError
from ..formats import find_format, round_to, step
from ..qwen import Qwen, load
from .numbers import as_number, shown
from .verdict import Mistake, attempt, grade_function

# ------------------------------------------------------------------------- 10.1  eight numbers in e4m3

VALUES = (0.29, 1.0625, 1.1875, 3.3, 20.5, -100.0, 470.0, 0.005)


def _rounded(values: Tensor, fmt: str = "e4m3", *, how: Callable[[Tensor], Tensor] = torch.round) -> Tensor:
    width = step(values, fmt)
    top = find_format(fmt).largest
    return (how(values / width) * width).clamp(-top, top)


def _hand(change: Callable[[Tensor], Tensor]) -> list[float]:
    return change(torch.tensor(VALUES, dtype=torch.float64)).tolist()


def _away(x: Tensor) -> Tensor:
    return x.sign() * (x.abs() + 0.5).floor()


def _endless(x: Tensor) -> Tensor:
    """Without an end: the exponent goes on."""
    width = torch.ldexp(torch.ones_like(x), torch.frexp(x).exponent - 4)
    return torch.where(x.abs() > 448, (x / width).round() * width, _rounded(x))


HAND_MISTAKES: tuple[tuple[str, list[float]], ...] = (
    ("You cut off what does not fit; take the nearest number.", _hand(lambda x: _rounded(x, how=torch.trunc))),
    (
        "Halfway between two numbers your list goes away from zero; the rule takes the one whose last bit is 0: 1.0625 "
        "lies between 1 and 1.125, and the bits of 1 end in 000.",
        _hand(lambda x: _rounded(x, how=_away)),
    ),
    (
        "These are the numbers of e5m2, which has two fraction bits; e4m3 has three.",
        _hand(lambda x: _rounded(x, "e5m2")),
    ),
    (
        "Right but for 470: 480 would be next, but its bits, 1111 111, stand for NaN; a quantiser stops at 448.",
        _hand(_endless),
    ),
    (
        "Right but for the smallest: below 2⁻⁶ e4m3 goes on in equal steps of 2⁻⁹, so that 0.005 does not become 0.",
        _hand(lambda x: torch.where(x.abs() < 2.0**-6, torch.zeros_like(x), _rounded(x))),
    ),
    (
        "The step does not stop shrinking in your numbers: below 2⁻⁶ it stays 2⁻⁹.",
        _hand(lambda x: torch.where(x.abs() < 2.0**-6, torch.full_like(x, 5 * 2.0**-10), _rounded(x))),
    ),
    ("These are whole numbers; a floating format has finer steps for small ones.", _hand(torch.round)),
)


def check_by_hand(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a list of eight numbers."""
    if answer is None or answer is ...:
        return False, "Not written yet: fill in the list and run this cell again."
    try:
        read = [as_number(value) for value in answer]
    except TypeError:  # nothing to go through, or a tensor without axes
        read = [None]
    said = [value for value in read if value is not None]
    if len(said) < len(read):
        return False, f"Write a list of {len(VALUES)} numbers; this is {shown(answer)}."
    if len(said) != len(VALUES):
        return False, f"There are {len(VALUES)} numbers to round, and you have {len(said)}; write one for each."
    right = _hand(lambda x: round_to(x, "e4m3"))
    wrong = [n for n in range(len(VALUES)) if not math.isclose(said[n], right[n], rel_tol=1e-9)]
    if not wrong:
        return True, f"All {len(VALUES)} are what a GPU's e4m3 makes of them."
    for diagnosis, mistake in HAND_MISTAKES:
        if all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(said, mistake, strict=True)):
            return False, diagnosis
    x = VALUES[wrong[0]]
    width = float(step(torch.tensor(x, dtype=torch.float64), "e4m3"))
    count = len(VALUES) - len(wrong)
    return (
        False,
        f"{count} of {len(VALUES)} are right. Around {x:g} the numbers of e4m3 are {width:g} apart: which is nearest?",
    )


# ------------------------------------------------------------------------- 10.2  quantise(w, block) -> codes, scale


def quantise(w: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """The oracle: int8, a scale for each block × block, w = codes · scale; w [rows, columns], multiples of block."""
    return _quantise(w, block)


def _tiles(w: Tensor, block: int) -> Tensor:
    """[rows, columns] -> [blocks down, block, blocks across, block]"""
    return w.unflatten(1, (-1, block)).unflatten(0, (-1, block))


def _quantise(
    w: Tensor, block: int, *, largest: float = 127.0, share: Callable[[Tensor], Tensor] | None = None,
    size: Callable[[Tensor], Tensor] = torch.abs, how: Callable[[Tensor], Tensor] = torch.round, inverse: bool = False,
    back: bool = False, mean: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The equation with one thing changed."""
    tiles = size(_tiles(w, block))
    most = tiles.mean((1, 3)) if mean else tiles.amax((1, 3))
    most = share(most) if share else most
    scale = torch.where(most == 0, torch.ones_like(most), most / largest)
    wide = scale.repeat_interleave(block, 0).repeat_interleave(block, 1)
    codes = how(w / wide)
    return (codes * wide if back else codes), (1 / scale if inverse else scale)


def _with(**change: Any) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    return lambda w, block: _quantise(w, block, **change)


QUANTISE_MISTAKES = (
    Mistake("All blocks have the largest scale; each block has its own.", _with(share=lambda m: m.amax().expand_as(m))),
    Mistake(
        "The blocks of a row of blocks share a scale; a block is square, block × block.",
        _with(share=lambda m: m.amax(1, keepdim=True).expand_as(m)),
    ),
    Mistake(
        "The blocks of a column of blocks share a scale; a block is square, block × block.",
        _with(share=lambda m: m.amax(0, keepdim=True).expand_as(m)),
    ),
    Mistake("The scale is turned over: weight = code · scale, so it is max|w| / 127.", _with(inverse=True)),
    Mistake("The codes are cut off toward zero; round them to the nearest.", _with(how=torch.trunc)),
    Mistake("The codes are rounded down; round them to the nearest.", _with(how=torch.floor)),
    Mistake("The codes are no whole numbers: round w / scale.", _with(how=lambda x: x)),
    Mistake("You return the weights again; codes are w / scale, rounded.", _with(back=True)),
    Mistake("You divide by 128; the largest code on both sides is 127, and −128 has no partner.", _with(largest=128.0)),
    Mistake("You divide by 255, the whole range; the largest magnitude is 127.", _with(largest=255.0)),
    Mistake(
        "The scale comes from the largest weight without its sign; a block's largest magnitude may be negative.",
        _with(size=lambda x: x),
    ),
    Mistake(
        "The scale comes from the mean of |w|, so that the large ones are clipped; take the largest.", _with(mean=True)
    ),
)


def quantise_inputs(seed: int = 0) -> list[tuple[Tensor, int]]:
    """Blocks of different sizes of weights, the largest of some negative."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for down, across, block in ((2, 3, 4), (3, 2, 8), (1, 4, 2)):
        w = torch.randn(down * block, across * block, generator=draw)
        loud = 10 ** torch.randn(down, across, generator=draw)
        made.append((w * loud.repeat_interleave(block, 0).repeat_interleave(block, 1), block))
    return made


def check_quantise(answer: Any, given: Any) -> tuple[bool, str]:
    passed, message = grade_function(
        answer, quantise, quantise_inputs(), QUANTISE_MISTAKES, arguments="(w, block)", returns="(codes, scale)",
        any_dtype=True,
    )  # fmt: skip
    if not passed:
        return passed, message
    zeros = torch.zeros(4, 4)
    zeros[0, 0] = 2.0
    result, problem = attempt(answer, (zeros, 2), "(w, block)")
    if problem or not all(bool(torch.isfinite(part).all()) for part in result):
        return False, "Right, but a block of zeros becomes NaN, 0 / 0: give it the scale 1."
    w, block = quantise_inputs(1)[0]
    codes, scale = answer(w, block)
    wide = scale.repeat_interleave(block, 0).repeat_interleave(block, 1)
    worst = float(((codes * wide - w).abs() / wide).max())
    return True, f"{message} No weight is off by more than {worst:.2f} of its block's step."


# ------------------------------------------------------------------------- 10.3  which tensors may be held in e4m3

TWELVE = (
    "embeddings and head", "in_proj_qkv", "in_proj_z", "in_proj_b (β)", "in_proj_a (decay)", "convolution", "out_proj",
    "attention q", "router", "shared expert", "experts", "norms",
)  # fmt: skip
PROMPTS = (
    "Which is larger, 463 or 229?", "Ana lives in Rome. Ben likes plums. Now Ana lives in Oslo.\nWhere does Ana live?",
    "Make JSON: Ana is 53 years old and likes apples.", "Say it in Japanese: I do not see the horse.",
    "Tell a story about a frog and a map.", "What is 417 + 230?", "Tell a story about a cat and a ball.",
    "Say it in Greek: The dog is in the garden.",
)  # fmt: skip
LEAST, MOST = 0.75, 0.25  # share of the weights that must be rounded; share of the harm of all twelve that may be done


@lru_cache(maxsize=2)
def measured(qwen: Qwen) -> tuple[Bench, dict[str, Harm], Harm]:
    """The bench, every kind of the twelve alone in e4m3, and all of them together."""
    bench = Bench(qwen, [qwen.chat_prompt(prompt) for prompt in PROMPTS])
    kinds = [kind for kind in TWELVE if kind in bench.kinds]
    return bench, {kind: bench.harm(kind, "e4m3") for kind in kinds}, bench.harm(kinds, "e4m3")


@lru_cache(maxsize=1)
def _nano() -> Qwen:
    return load("nano")


def check_which(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a choice by what rounding it does to the model."""
    if answer is None or answer is ... or (isinstance(answer, list | tuple | set) and not answer):
        return False, "Not written yet: list the kinds that you would hold in 8 bits, and run this cell again."
    if not isinstance(answer, list | tuple | set | frozenset) or not all(isinstance(kind, str) for kind in answer):
        return False, "Write a list of names, such as ['experts', 'router']."
    chosen = list(dict.fromkeys(answer))
    try:
        bench, alone, whole = measured(given if isinstance(given, Qwen) else _nano())
    except LabError as error:  # a model that cannot read the questions
        return False, str(error)
    if strange := [kind for kind in chosen if kind not in alone]:
        return False, f"There is no {shown(strange[0])} among the twelve; they are {', '.join(alone)}."
    found = bench.harm(chosen, "e4m3")
    share, harm = found.weights / whole.weights, found.kl / whole.kl
    said = f"You round {share:.0%} of the weights, and do {harm:.0%} of the harm of rounding all ({found.kl:.2g} nats)."
    if harm > MOST:
        worst = max(chosen, key=lambda kind: alone[kind].kl / alone[kind].weights)
        return False, (
            f"{said} Leave out `{worst}`: alone it costs {alone[worst].kl:.2g} nats, for "
            f"{alone[worst].weights / whole.weights:.2%} of the weights."
        )
    if share < LEAST:
        left = min((k for k in alone if k not in chosen), key=lambda kind: alone[kind].kl / alone[kind].weights)
        return False, (
            f"{said} That saves too little: `{left}` is {alone[left].weights / whole.weights:.1%} of the weights, and "
            f"alone costs {alone[left].kl:.2g} nats."
        )
    kept = ", ".join(f"{kind} {alone[kind].kl:.2g}" for kind in alone if kind not in chosen)
    return True, f"{said} What you left out costs, each alone: {kept or 'nothing'}."


CHECKS = {"10.1": check_by_hand, "10.2": check_quantise, "10.3": check_which}
