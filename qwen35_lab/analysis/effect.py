"""What an edit did to the next token, as numbers.

    Δ log p = log p_after(answer) − log p_before(answer)
    KL(before ‖ after) = Σ_x p_before(x) (log p_before(x) − log p_after(x))      in nats, 0 if nothing changed

Log-softmax in float64, so that tiny effects are not rounding.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..capture import formed
from ..edits import AnyEdit, Edit, edits_of
from ..errors import InputError
from ..qwen import Prompt, Qwen
from .recorded import counted


@dataclass(frozen=True, repr=False)
class Effect:
    """Natural logarithms; a rank counts the tokens that are more likely, 0 is the first choice (printed from 1 on)."""

    answer: int  # token id
    logp_before: float
    logp_after: float
    kl: float  # KL(before ‖ after)
    rank_before: int
    rank_after: int
    top_before: int  # token id of the first choice
    top_after: int
    names: tuple[str, str, str]  # of the answer and of the two first choices, to be read

    @property
    def delta_logp(self) -> float:
        """Below 0: the edit made the answer less likely."""
        return self.logp_after - self.logp_before

    @property
    def rank_change(self) -> int:
        """Above 0: so many tokens have overtaken the answer."""
        return self.rank_after - self.rank_before

    def __repr__(self) -> str:
        answer, before, after = self.names
        choice = f"first choice stays {before}" if self.top_before == self.top_after else f"{before} → {after}"
        return (
            f"Effect({answer}: Δlog p {self.delta_logp:+.3g}, rank {self.rank_before + 1} → {self.rank_after + 1}, "
            f"KL {self.kl:.3g} nats, {choice})"
        )


def effect(
    before: Tensor, after: Tensor, answer: int | None = None, name: Callable[[int], str] = "<{}>".format
) -> Effect:
    """Compare the scores of the next token before and after an edit.

    Args:
        before, after: logits [vocabulary].
        answer: token id; None for the first choice before.
        name: token id -> text, for the one-line print (`qwen.token_text`).
    Raises:
        InputError: shapes that differ or are not one token's, scores that are no numbers, or an answer that is no token
            id.
    """
    if before.ndim != 1 or before.shape != after.shape:
        raise InputError(
            f"The logits have shapes {list(before.shape)} and {list(after.shape)}; "
            "pass those of one token, [vocabulary], from the same model."
        )
    before, after = (x.detach().cpu().double() for x in (before, after))
    for when, scores in (("before", before), ("after", after)):  # −inf forbids a token; NaN would rank first
        if not bool((scores < torch.inf).all()) or not bool(scores.isfinite().any()):
            raise InputError(
                f"The logits {when} the edit hold no probabilities (NaN or infinity); change the edit less."
            )
    p, q = before.log_softmax(-1), after.log_softmax(-1)
    tops = int(before.argmax()), int(after.argmax())  # of the logits: log-softmax rounds, and can make ties
    answer = tops[0] if answer is None else counted(answer, "answer")
    if answer >= len(p):
        raise InputError(f"The answer {answer} is outside the vocabulary of {len(p)}; pass a token id.")
    return Effect(
        answer=answer,
        logp_before=float(p[answer]),
        logp_after=float(q[answer]),
        kl=float(torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).sum()),
        rank_before=int((before > before[answer]).sum()),
        rank_after=int((after > after[answer]).sum()),
        top_before=tops[0],
        top_after=tops[1],
        names=(name(answer), name(tops[0]), name(tops[1])),
    )


def edit_effect(
    qwen: Qwen, prompt: Prompt, edits: AnyEdit | Iterable[AnyEdit], answer: str | int | None = None
) -> Effect:
    """Run a prompt without edits and with them, and compare what is said next.

    Both runs form the same lazy values, so that they take the same path and what differs is the edit alone.

    Args:
        answer: the next token whose probability matters, as text or id; None for the first choice before.
    Raises:
        InputError: an edit that does not fit or meets no token, or an answer that is not one token.
    """
    edits = edits_of(edits)
    with formed(qwen.model, [each.pattern for each in edits if isinstance(each, Edit)]):
        before, after = (qwen.trace(prompt, "logits", use)["logits"][-1] for use in ((), edits))
    if isinstance(answer, str):
        ids = qwen.encode(answer)[0]
        if len(ids) != 1:
            raise InputError(f"The answer {answer!r} is {len(ids)} tokens; pass one token, or its id.")
        answer = int(ids[0])
    return effect(before, after, answer, qwen.token_text)
