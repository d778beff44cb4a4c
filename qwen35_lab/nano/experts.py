"""Who of a nano's experts answers, and whether that depends on what is asked.

    seen = expert_loads(model, tokenizer)
    seen.shares()["layers.0.ffn"]["clips"]        # the share of each expert, of all choices in clips
    permutation_test(seen, "layers.0.ffn").p      # how often chance alone sets the kinds as far apart

Whole documents are shuffled, not tokens: tokens of one document are alike for many reasons, and a test that took them
for independent would find specialists everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..model import MultimodalModel
from ..model.mtp import mtp_hidden
from .loss import watched_routers
from .pack import batch
from .world import KINDS

DOCUMENTS = 24  # of each kind
LENGTH = 512  # tokens; no document is longer
ROUNDS = 999


@dataclass(frozen=True)
class Loads:
    """How often every expert was chosen."""

    kinds: tuple[str, ...]  # of every document
    counts: dict[str, Tensor]  # by the name of its layer: [document, expert]

    def shares(self) -> dict[str, dict[str, list[float]]]:
        """Layer -> kind -> the share of each expert in all choices there."""
        found: dict[str, dict[str, list[float]]] = {}
        for layer, counts in self.counts.items():
            for kind in dict.fromkeys(self.kinds):
                of_kind = counts[[n for n, each in enumerate(self.kinds) if each == kind]].sum(0)
                found.setdefault(layer, {})[kind] = (of_kind / of_kind.sum()).tolist()
        return found


@torch.inference_mode()
def expert_loads(
    model: MultimodalModel, tokenizer: Any, kinds: Sequence[str] = tuple(KINDS), split: str = "test", seed: int = 0,
    documents: int = DOCUMENTS,
) -> Loads:  # fmt: skip
    """Watch the routers, the MTP head's included, over some documents of each kind, each read alone."""
    device = model.embed_tokens.weight.device
    counts: dict[str, list[Tensor]] = {}
    for kind in kinds:
        how = {"rows": documents, "length": LENGTH, "split": split, "mix": {kind: 1.0}, "alone": True}
        texts = batch(tokenizer, 0, seed, **how).to(device)
        real = texts.document > 0
        with watched_routers(model) as seen:
            out = model(**texts.inputs(), logits_to_keep=1)
            if model.mtp is not None:
                mtp_hidden(model, out.hidden, texts.ids, None, out.positions, out.embedded)
        for layer, routed in seen:
            there = real[:, -routed.ids.shape[1] :, None]  # the head has one slot less
            experts = torch.arange(routed.logits.shape[-1], device=device)
            chosen = (routed.ids[..., None] == experts) & there[..., None]
            counts.setdefault(layer, []).append(chosen.sum((1, 2)).double().cpu())
    named = tuple(kind for kind in kinds for _ in range(documents))
    return Loads(named, {layer: torch.cat(each) for layer, each in counts.items()})


@dataclass(frozen=True)
class Separation:
    """How far apart the kinds are in one layer, and how far chance sets them.

    A distance is the mean, over kinds, of the total variation between the experts' shares in documents of the kind and
    in all others: 0, nothing differs, to 1, they share no expert.
    """

    distance: float
    by_chance: float  # 99 of 100 shuffles stay below
    p: float  # share of rounds, this one included, in which chance does as well


def permutation_test(loads: Loads, layer: str, rounds: int = ROUNDS, seed: int = 0) -> Separation:
    """Shuffle which document is of which kind, `rounds` times.

    Source: Phipson & Smyth 2010, doi:10.2202/1544-6115.1585, for counting the real arrangement as one of the rounds.
    """
    counts = loads.counts[layer].double()
    shares = counts / counts.sum(1, keepdim=True)
    names = list(dict.fromkeys(loads.kinds))
    member = torch.tensor([[kind == name for kind in loads.kinds] for name in names]).double()
    draw = torch.Generator().manual_seed(seed)
    shuffled = [_distance(shares[torch.randperm(len(shares), generator=draw)], member) for _ in range(rounds)]
    chance, distance = torch.tensor(shuffled, dtype=torch.float64), _distance(shares, member)
    p = (1 + int((chance >= distance).sum())) / (1 + rounds)
    return Separation(distance, chance.quantile(0.99).item(), p)


def _distance(shares: Tensor, member: Tensor) -> float:
    """member: [kind, document], 1 where it is of the kind."""
    inside, outside = ((who / who.sum(1, keepdim=True)) @ shares for who in (member, 1 - member))
    return ((inside - outside).abs().sum(1) / 2).mean().item()
