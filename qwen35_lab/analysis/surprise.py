"""How surprised a model is by an answer: −log p of each of its tokens, in nats. What a change costs is a difference."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..qwen import Prompt, Qwen


@torch.inference_mode()
def surprise(qwen: Qwen, prompt: Prompt, answer: str) -> Tensor:
    """−log p of every token of `answer` behind `prompt`, float64: [token].

    Raises:
        InputError: the answer has no tokens.
    """
    before = qwen.encode(prompt)
    own = qwen.encode(answer)[0] if answer else torch.empty(0, dtype=torch.long)
    if not len(own):
        raise InputError("There is no answer to be surprised by; pass a text that is not empty.")
    logits = qwen.model(torch.cat((before, own[None]), dim=1), logits_to_keep=len(own) + 1).logits[0, :-1]
    return -logits.double().log_softmax(-1).gather(-1, own[:, None].to(logits.device))[:, 0].cpu()


@dataclass(frozen=True)
class SurpriseChange:
    """What a change does to the surprise by the same tokens, text by text: below 0 it is less surprised."""

    before: float  # nats per token
    after: float
    change: float  # the mean over texts of their mean differences
    error: float  # its standard error
    texts: int

    def __repr__(self) -> str:
        return (
            f"{self.before:.3f} → {self.after:.3f} nats a token, {self.change:+.4f} ± {self.error:.4f} "
            f"(standard error, {self.texts} texts)"
        )


def surprise_change(before: list[Tensor], after: list[Tensor]) -> SurpriseChange:
    """Compare the surprises by the same answers.

    Raises:
        InputError: not the same answers, or fewer than two.
    """
    if [len(a) for a in before] != [len(b) for b in after] or len(before) < 2:
        raise InputError("Pass the surprises by the same answers before and after, two of them at least.")
    means = torch.stack([(b - a).mean() for a, b in zip(before, after, strict=True)])
    error = float(means.std()) / math.sqrt(len(means))
    mean_before, mean_after = (float(torch.cat(each).mean()) for each in (before, after))
    return SurpriseChange(mean_before, mean_after, float(means.mean()), error, len(means))
