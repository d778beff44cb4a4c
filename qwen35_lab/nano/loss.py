"""What the nano is trained by, part by part.

    answers    cross-entropy of the next token, Σ w·ce / Σ w, over tokens that the assistant says (`Batch.weight`)
    mtp        the same of the head that guesses the token after the next
    balance    how unevenly the routers share out tokens: E · Σ_e f_e P_e for each layer, then the mean over layers;
               f_e is the share of choices that fell on expert e, P_e the mean of its probability. 1 is even; all on
               the same k of E experts is E / k.

The head's loss reaches the head alone: the hidden states, the embeddings and the table that it shares with the model
are given to it as they are, without a gradient. So the model learns what it would without a head. A layer's balance
reaches its router, and through what the router reads, the layers before.

The balance is taken layer by layer, because a collapsed layer hides behind even ones where choices are pooled first.
Reference: Fedus et al. 2021 (arXiv 2101.03961), eq. 4 to 6, here with k choices a token.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model import MultimodalModel
from ..model.moe import SparseMoE
from ..model.mtp import mtp_hidden
from ..model.taps import listen
from ..training import Loss
from .pack import Batch


@dataclass(frozen=True)
class Shares:
    """What each part counts in the whole; the answers count 1."""

    mtp: float = 0.3
    balance: float = 0.01


SHARES = Shares()


@dataclass
class Routed:
    """What one router did in a pass."""

    logits: Tensor  # [row, token, expert]
    ids: Tensor  # [row, token, choice]


@dataclass
class Watched:
    """What the routers did in a pass, by the name of their layer, the head's included."""

    logits: dict[str, Tensor] = field(default_factory=dict)
    ids: dict[str, Tensor] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, Routed]]:
        return ((name, Routed(self.logits[name], self.ids[name])) for name in self.logits)


@contextmanager
def watched_routers(model: torch.nn.Module) -> Iterator[Watched]:
    """Inside the block, passes of this thread leave what their routers did; each pass replaces the one before."""
    seen = Watched()
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, SparseMoE):
                for tap, kept in ((module.router_logits, seen.logits), (module.expert_ids, seen.ids)):
                    listen(stack, tap, _keeper(kept, name))
        yield seen


def _keeper(kept: dict[str, Tensor], name: str):
    def keep(module: torch.nn.Module, inputs: tuple, value: Tensor) -> None:
        kept[name] = value

    return keep


def balance(routed: Routed, real: Tensor) -> Tensor:
    """Of one layer: E · Σ f P, a scalar.

    Args:
        real: bool [row, token], False at padding, which counts for nothing.
    """
    experts = routed.logits.shape[-1]
    probability = routed.logits[real].softmax(-1).mean(0)
    share = torch.bincount(routed.ids[real].flatten(), minlength=experts) / routed.ids[real].numel()
    return experts * (share * probability).sum()


def nano_loss(model: MultimodalModel, texts: Batch, shares: Shares = SHARES) -> Loss:
    """The loss of a batch; logits are formed only where something is to be learnt."""
    inputs = texts.inputs()
    del inputs["attention_mask"]  # padding stands behind everything, and nothing is learnt from it
    counts = texts.weight[:, 1:]
    asked = counts > 0
    with watched_routers(model) as seen:
        out = model(**inputs, logits_to_keep=1)
        further = mtp_hidden(model, out.hidden.detach(), texts.ids, None, out.positions, out.embedded.detach())
    logits = model.head(out.hidden[:, :-1][asked])
    targets = texts.targets[asked]
    weight = counts[asked]
    answers = _weighted(logits, targets, weight)

    asked_later = asked[:, 1:]  # slot i guesses token i + 2
    table = model.embed_tokens.weight if model.lm_head is None else model.lm_head.weight
    guessed = F.linear(further[:, :-1][asked_later], table.detach())
    mtp = _weighted(guessed, texts.targets[:, 1:][asked_later], counts[:, 1:][asked_later])

    real = texts.document > 0
    # a slot of the head is a token and the one after it
    even = torch.stack([balance(each, real[:, -each.ids.shape[1] :]) for _, each in seen]).mean()
    total = answers + shares.mtp * mtp + shares.balance * even
    with torch.no_grad():
        right = (logits.argmax(-1) == targets).double().mean()
    parts = {"answers": answers, "mtp": mtp, "balance": even, "right": right}
    return Loss(total, parts, tokens=int(real.sum()))


def _weighted(logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    return (F.cross_entropy(logits, targets, reduction="none") * weight).sum() / weight.sum()
