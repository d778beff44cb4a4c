"""How many experts a step has to read: one token needs k of them, a batch of B tokens nearly all.

    even and independent     E (1 − (1 − k / E)^B)         distinct experts, expected
    with unequal loads       Σ_e 1 − (1 − π_e)^B           π_e, the share of tokens that choose expert e

Both are exact for tokens that are drawn independently: an expert is missed if each of the B tokens misses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..family.shapes import Config
from ..family.sizes import BITS, parameters
from .recorded import counted
from .specialists import Routes


def expected_touched(experts: int, top_k: int, tokens: int) -> float:
    """Distinct experts that B = `tokens` tokens need together, if each chooses k of E evenly and on its own.

    Raises:
        InputError: a number that is none, or more experts per token than there are.
    """
    E, k, B = counted(experts, "experts", 1), counted(top_k, "top_k", 1), counted(tokens, "tokens")
    if k > E:
        raise InputError(f"top_k is {k}; choose between 1 and the {E} experts.")
    return E * (1 - (1 - k / E) ** B)


@dataclass(frozen=True)
class Touched:
    """Shares of a layer's experts that a step reads, by the number of tokens in it; each [batch]."""

    batches: tuple[int, ...]
    strangers: Tensor  # simulated: tokens of any documents, as when many users wait for a token each
    neighbours: Tensor  # simulated: tokens that follow one another in a document, as when a prompt is read
    loads: Tensor  # the second formula
    even: Tensor  # the first one


def touched_experts(seen: Routes, batches: Sequence[int], draws: int = 400, seed: int = 0) -> Touched:
    """Simulate on what a router really chose.

    Args:
        batches: numbers of tokens, each at most as many as the longest document has.
        draws: batches of each size.
    Raises:
        InputError: no document is that long.
    """
    E, k = seen.logits.shape[-1], seen.ids.shape[-1]
    chosen = torch.zeros(len(seen.ids), E, dtype=torch.bool).scatter_(1, seen.ids, True)
    draw = torch.Generator().manual_seed(seed)
    rows: list[tuple[float, ...]] = []
    for size in batches:
        any_where = torch.randint(len(chosen), (draws, counted(size, "a batch", 1)), generator=draw)
        starts = _starts(seen.document, size)
        start = starts[torch.randint(len(starts), (draws, 1), generator=draw)]
        simulated = (chosen[pick].any(1).double().mean().item() for pick in (any_where, start + torch.arange(size)))
        by_load = (1 - (1 - chosen.double().mean(0)) ** size).mean().item()
        rows.append((*simulated, by_load, expected_touched(E, k, size) / E))
    return Touched(tuple(batches), *torch.tensor(rows, dtype=torch.float64).T)


def _starts(document: Tensor, size: int) -> Tensor:
    """Tokens that have `size` − 1 others of their document behind them."""
    last = torch.arange(len(document) - size + 1)
    found = last[document[last] == document[last + size - 1]] if len(last) else last
    if not len(found):
        raise InputError(f"No document has {size} tokens; choose smaller batches.")
    return found


@dataclass(frozen=True)
class ActiveShare:
    """Two shares that are easily taken for one another."""

    active: int  # parameters that work on one token of text
    text: int  # all parameters of the language model
    experts: float  # chosen and shared experts, over the routed ones of a layer

    @property
    def parameters(self) -> float:
        return self.active / self.text


def active_share(config: Config) -> ActiveShare:
    """What works on one token, from the config alone.

    Raises:
        InputError: a model without experts, in which everything works.
    """
    _refuse_dense(config)
    text, count = config.text, parameters(config)
    chosen = text.num_experts_per_tok + bool(text.shared_expert_intermediate_size)
    return ActiveShare(count.active, count.text, chosen / text.num_experts)


def _refuse_dense(config: Config) -> None:
    if not config.text.is_moe:
        raise InputError("This model has no experts, and uses all its weights for every token; choose a mixture.")


def step_bytes(config: Config, batch: int, dtype: str = "bfloat16") -> float:
    """Bytes of weights that a decoding step reads for a batch of sequences: what all share once, and the experts.

    Expected, for even and independent choices; for one sequence it is `Parameters.read_per_token`. Without the cache.

    Raises:
        InputError: a model without experts, or a dtype that is not known.
    """
    _refuse_dense(config)
    text, count = config.text, parameters(config)
    if dtype not in BITS:
        raise InputError(f"The dtype {dtype!r} is not known; use one of {', '.join(BITS)}.")
    share = expected_touched(text.num_experts, text.num_experts_per_tok, counted(batch, "batch", 1)) / text.num_experts
    common = count.read_per_token - count.active_experts
    return (common + share * count.routed_experts) * BITS[dtype] / 8
