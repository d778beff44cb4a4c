"""Who answers in a mixture of experts: load, certainty, company, and how close the choices were.

Pure functions on what the taps of an MoE layer hold: `router_logits` [..., expert], `expert_ids` and `expert_weights`
[..., choice], any leading axes. Numbers come back in float64. `routing_of` gathers them for one layer of a trace.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import InputError
from ..trace import Trace
from .recorded import layer_of, values

Label = TypeVar("Label", bound=Hashable)


def load(ids: Tensor, experts: int, weights: Tensor | None = None) -> Tensor:
    """The share of all choices that fell on each expert, [expert]; sums to one. Balanced: 1 / experts each.

    Args:
        ids: chosen experts [..., choice].
        weights: [..., choice]; then each choice counts as much as the expert's answer does.
    Raises:
        InputError: no choices, or an id that is no expert.
    """
    ids = _checked(ids, experts).flatten()
    counts = None if weights is None else weights.cpu().double().flatten()
    total = torch.bincount(ids, counts, minlength=experts).double()
    return total / total.sum()


def load_by(ids: Tensor, groups: Sequence[Label], experts: int) -> dict[Label, Tensor]:
    """The load of each group of tokens, such as the languages or the sources of a text, in order of appearance.

    Args:
        ids: [token, choice].
        groups: a label for each token.
    Returns:
        label -> [expert], each summing to one.
    """
    if ids.ndim != 2 or len(groups) != len(ids):
        raise InputError(f"There are {len(groups)} labels for ids of shape {list(ids.shape)}; pass one for each token.")
    return {
        label: load(ids[torch.tensor([other == label for other in groups])], experts) for label in dict.fromkeys(groups)
    }


def entropy(logits: Tensor, *, normalised: bool = False) -> Tensor:
    """How undecided the router is: H(p) = −Σ p ln p of p = softmax(logits), [...], in nats.

    Args:
        normalised: divide by ln(experts), so that 0 is one sure expert and 1 no preference at all.
    """
    p = logits.cpu().double().softmax(-1)
    H = torch.special.entr(p).sum(-1)
    return H / math.log(max(p.shape[-1], 2)) if normalised else H  # of a single expert 0, not 0/0


def coactivation(ids: Tensor, experts: int) -> Tensor:
    """How many tokens chose both experts of a pair: int64 [expert, expert], symmetric; the diagonal is who chose one.

    Args:
        ids: [..., choice].
    """
    rows = _checked(ids, experts).flatten(0, -2)
    chosen = torch.zeros(len(rows), experts, dtype=torch.float64).scatter_(1, rows, 1.0)
    return (chosen.T @ chosen).long()


def jensen_shannon(p: Tensor, q: Tensor, *, distance: bool = False) -> Tensor:
    """Jensen–Shannon divergence of distributions over the last axis, to base 2: 0 if equal, 1 if disjoint.

        JS(p, q) = H((p + q) / 2) − H(p) / 2 − H(q) / 2

    Lin 1991, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37(1); equal weights.

    Args:
        p, q: [..., outcome], each summing to one.
        distance: return √JS, which is a metric (Endres & Schindelin 2003), 0 to 1 as well.
    Raises:
        InputError: not distributions of the same outcomes.
    """
    p, q = p.cpu().double(), q.cpu().double()
    sums = torch.cat([x.sum(-1).flatten() for x in (p, q)])
    if p.shape[-1] != q.shape[-1] or min(p.min(), q.min()) < 0 or (sums - 1).abs().max() > 1e-4:
        raise InputError("These are not two distributions of the same outcomes; pass loads, which sum to one.")
    H = [torch.special.entr(x).sum(-1) for x in ((p + q) / 2, p, q)]
    divergence = ((H[0] - (H[1] + H[2]) / 2) / math.log(2)).clamp(0, 1)
    return divergence.sqrt() if distance else divergence


@dataclass(frozen=True)
class Ties:
    """How close a router's decisions were; each [...], one entry per token.

    Rounding never reverses an order, it only makes unequal scores equal. So a choice can change exactly where the last
    chosen and the first refused expert become equal; which of them then wins is up to the implementation.
    """

    margin: Tensor  # float64: logit of the last chosen minus that of the first refused expert; inf if all are chosen
    exact: Tensor  # bool: they are equal already
    rounded: Tensor  # bool: they are equal once rounded
    changed: Tensor  # bool: another set is chosen once rounded, if of equal scores the lower expert number wins


def ties(logits: Tensor, top_k: int, dtype: torch.dtype = torch.bfloat16) -> Ties:
    """Tokens whose experts hang on the router's precision: the logits as they are, against the logits in `dtype`.

    A router that computes in `dtype` throughout rounds more often than this, its products and its softmax too.

    Args:
        logits: [..., expert].
    """
    E = logits.shape[-1]
    if not 1 <= top_k <= E:
        raise InputError(f"top_k is {top_k}; choose between 1 and the {E} experts.")
    wide, rounded = logits.cpu().double(), logits.cpu().to(dtype).double()
    (margin, before), (margin_rounded, after) = (_border(x, top_k) for x in (wide, rounded))
    return Ties(margin, margin == 0, margin_rounded == 0, (before != after).any(-1))


def _border(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The margin [...] between the last chosen and the first refused expert, and the chosen set, bool [..., expert]."""
    values, order = logits.sort(dim=-1, descending=True, stable=True)
    chosen = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, order[..., :top_k], True)
    if top_k == logits.shape[-1]:
        return torch.full_like(values[..., 0], torch.inf), chosen
    return values[..., top_k - 1] - values[..., top_k], chosen


@dataclass(frozen=True)
class Routing:
    """One MoE layer over a text."""

    ids: Tensor  # [token, choice]
    weights: Tensor  # [token, choice], float64
    load: Tensor  # [expert]: share of the choices
    weighted_load: Tensor  # [expert]: share of the weight
    entropy: Tensor  # [token], nats, over all experts
    coactivation: Tensor  # [expert, expert], tokens
    ties: Ties  # in bfloat16


def routing_of(trace: Trace, layer: int) -> Routing:
    """Everything above for a layer of a trace.

    Raises:
        InputError: the routing was not recorded, there is no such layer, or it has no experts.
    """
    layer = layer_of(trace, layer, "ffn.*")
    prefix = f"layers.{layer}.ffn"
    if f"{prefix}.out" in trace.tensors and f"{prefix}.router_logits" not in trace.tensors:
        raise InputError(
            f'Layer {layer} has no routing in this trace; trace a model with experts and record "{prefix}.*".'
        )
    logits, ids, weights = values(trace, [f"{prefix}.{n}" for n in ("router_logits", "expert_ids", "expert_weights")])
    experts = logits.shape[-1]
    return Routing(
        ids=ids.cpu(),
        weights=weights.cpu().double(),
        load=load(ids, experts),
        weighted_load=load(ids, experts, weights),
        entropy=entropy(logits),
        coactivation=coactivation(ids, experts),
        ties=ties(logits, ids.shape[-1]),
    )


def _checked(ids: Tensor, experts: int) -> Tensor:
    ids = ids.cpu().long()
    if ids.ndim < 1 or ids.numel() == 0:
        raise InputError("There are no choices to count; pass ids [..., choice] of at least one token.")
    low, high = (int(n) for n in ids.aminmax())
    if low < 0 or high >= experts:
        raise InputError(f"Expert {low if low < 0 else high} is not one of {experts}; pass how many experts there are.")
    return ids if ids.ndim > 1 else ids[None]
