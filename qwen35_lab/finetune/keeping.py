"""What a fine-tuned model can still do: the nano's own kinds of questions, judged by its world, before and after."""

from collections.abc import Sequence

from ..errors import InputError
from ..nano.score import answer
from ..nano.tokenizer import SIZE
from ..nano.world import KINDS, draw
from ..qwen import Qwen

AT_ONCE = 32


def kept(qwen: Qwen, kinds: Sequence[str] = tuple(KINDS), n: int = 32, seed: int = 0) -> dict[str, tuple[int, int]]:
    """Kind -> (right answers, questions): the first question of n held-out samples each, answered greedily.

    Raises:
        InputError: a model that does not read what the nano reads, no such kind, or n below 1.
    """
    if qwen.config.text.vocab_size != SIZE:
        raise InputError('These questions are in the nano\'s words and pictures; load one, lab.load("nano").')
    if n < 1:
        raise InputError(f"{n} questions measure nothing; ask one at least.")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InputError(f"There is no kind {unknown[0]!r}; choose from {', '.join(KINDS)}.")
    found = {}
    for kind in kinds:
        samples = [draw(kind, seed, index, "test") for index in range(n)]
        prompts = sorted(((s, s.questions[0]) for s in samples), key=lambda pair: len(str(pair[0].messages)))
        right = 0
        for at in range(0, n, AT_ONCE):
            said = answer(qwen.model, qwen.tokenizer, prompts[at : at + AT_ONCE])
            right += sum(each.verdict == "right" for each in said)
        found[kind] = (right, n)
    return found
