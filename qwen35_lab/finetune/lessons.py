"""Prompts with the answers that are wanted, as rows of tokens; and the loss that teaches them.

    answers    cross-entropy of the next token, over tokens of answers alone, each text counting the same
    balance    of every layer's router, as in nano/loss.py, over real tokens alone

Rows are padded behind; nothing is learnt from padding, and it counts for no router.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..inputs import write_chat
from ..model import TextModel
from ..nano.loss import Watched, balance, watched_routers
from ..nano.world import Message
from ..qwen import Qwen
from ..training import Loss
from .adapter import plain

BALANCE = 0.01  # what the routers' balance counts, beside 1 for the answers
END = "<|im_end|>"


@dataclass(frozen=True)
class Lessons:
    """Tensors are [row, token]."""

    ids: Tensor  # int64
    real: Tensor  # bool: no padding
    answer: Tensor  # bool: a token of the answer, its end included


def lessons(qwen: Qwen, pairs: Sequence[tuple[Sequence[Message], str]]) -> Lessons:
    """Chats, and what is to be said next, in the checkpoint's own chat template.

    Raises:
        InputError: there is no pair, or no chat template.
    """
    if not pairs:
        raise InputError("There is nothing to learn; pass at least one pair of messages and answer.")
    rows = []
    for messages, said in pairs:
        asked = qwen.tokenizer(prompt_text(qwen, messages), add_special_tokens=False)["input_ids"]
        rows.append((asked, qwen.tokenizer(said + END, add_special_tokens=False)["input_ids"]))
    width = max(len(asked) + len(said) for asked, said in rows)
    ids = torch.full((len(rows), width), qwen.tokenizer.pad_token_id)
    real, answer = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    for n, (asked, said) in enumerate(rows):
        end = len(asked) + len(said)
        ids[n, :end] = torch.tensor([*asked, *said])
        real[n, :end], answer[n, len(asked) : end] = True, True
    return Lessons(ids.to(qwen.device), real.to(qwen.device), answer.to(qwen.device))


def prompt_text(qwen: Qwen, messages: Sequence[Message]) -> str:
    """What the model reads before it answers, without thinking."""
    return write_chat(qwen.tokenizer, messages, thinking=False).text


def lesson_loss(model: TextModel, texts: Lessons, share: float = BALANCE) -> Loss:
    """The loss of a batch; `share` is what the balance counts.

    Raises:
        InputError: a share below 0.
    """
    if not share >= 0:
        raise InputError(f"The balance counts {share!r}; pass 0 or more.")
    asked = texts.answer[:, 1:]
    with watched_routers(model) as seen:
        hidden = model(texts.ids, logits_to_keep=1).hidden[:, :-1]
    each = F.cross_entropy(model.head(hidden[asked]).float(), texts.ids[:, 1:][asked], reduction="none")
    weight = (asked / asked.sum(1, keepdim=True))[asked]
    answers = (each * weight).sum() / weight.sum()
    even = mean_balance(seen, texts.real)
    parts = {"answers": answers} | ({} if even is None else {"balance": even})
    total = answers if even is None else answers + share * even
    return Loss(total, parts, tokens=int(texts.real.sum()))


@dataclass(frozen=True)
class Load:
    """What one router did with some lessons."""

    share: Tensor  # [expert], of all choices
    balance: float  # E · Σ f P over real tokens
    padded: float  # the same with the padding counted, which is wrong
    logits: Tensor  # [row · token, expert], padding included


@torch.no_grad()
def router_loads(model: TextModel, texts: Lessons) -> dict[str, Load]:
    """Layer -> what its router did; empty for a model without experts."""
    with watched_routers(model) as seen:
        model(texts.ids, logits_to_keep=1)
    found = {}
    for name, routed in seen:
        experts = routed.logits.shape[-1]
        chosen = torch.bincount(routed.ids[texts.real].flatten(), minlength=experts)
        every = torch.ones_like(texts.real)
        even, padded = (balance(routed, real).item() for real in (texts.real, every))
        found[plain(name)] = Load(chosen / chosen.sum(), even, padded, routed.logits.flatten(0, 1))
    return found


def mean_balance(seen: Watched, real: Tensor) -> Tensor | None:
    """The mean over layers; None for a model without routers."""
    each = [balance(routed, real) for _, routed in seen]
    return torch.stack(each).mean() if each else None
