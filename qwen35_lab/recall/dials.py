"""Dials on a trained memory: what becomes of its answers when one term of the delta rule is turned up or down.

    S ← e^(decay · g) S                            decay_dial: 0 never forgets by itself
    S ← S + k ⊗ (β v − erase · β Sᵀk)              erase_dial: 0 only adds, 1 is the delta rule

Every position of a dial is one `Score`, so that it can be split: `dial[0.0].among(dial[0.0].overwritten)`.
"""

from collections.abc import Sequence

from ..edits import edit
from ..errors import InputError
from ..qwen import Qwen
from .model import MICROSCOPE
from .score import Score, score
from .task import TEST, Difficulty

ERASE, DECAY = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25), (0.0, 1.0, 4.0, 16.0)
CROWDS = (2, 4, 6, 8, 12, 16)  # keys in a text


def erase_dial(
    qwen: Qwen, factors: Sequence[float] = ERASE, difficulty: Difficulty = MICROSCOPE.difficulty,
    texts: int = 256, seed: int = TEST,
) -> dict[float, Score]:  # fmt: skip
    """Factor on what every write takes out of the memory, β Sᵀk -> how well the model answers."""
    return _dial(qwen, "layers.*.mixer.erase", factors, difficulty, texts, seed)


def decay_dial(
    qwen: Qwen, factors: Sequence[float] = DECAY, difficulty: Difficulty = MICROSCOPE.difficulty,
    texts: int = 256, seed: int = TEST,
) -> dict[float, Score]:  # fmt: skip
    """Factor on the log decay g, so that half-lives are divided by it -> how well the model answers."""
    if min(factors, default=0) < 0:
        raise InputError(f"A decay of {min(factors):g} times g lets the memory grow; pass factors of 0 or more.")
    return _dial(qwen, "layers.*.mixer.decay", factors, difficulty, texts, seed)


def capacity(
    qwen: Qwen, keys: Sequence[int] = CROWDS, writes_per_key: int = 2, texts: int = 512, seed: int = TEST
) -> dict[int, Score]:
    """Keys that the memory holds -> how well the model answers one question, asked when all has been written."""
    crowds = {n: Difficulty((n, n), (n * writes_per_key, n * writes_per_key), (1, 1)) for n in keys}
    return {n: score(qwen.model, crowd, texts, seed) for n, crowd in crowds.items()}


def _dial(
    qwen: Qwen, pattern: str, factors: Sequence[float], difficulty: Difficulty, texts: int, seed: int
) -> dict[float, Score]:
    found = {}
    for factor in factors:
        with qwen.edited(edit(pattern).scale(factor)):
            found[factor] = score(qwen.model, difficulty, texts, seed)
    return found
