"""How often an expert is in memory when it is asked for, of every budget at once.

An LRU of n experts holds the one that is asked for exactly if fewer than n others were asked for since the last time.
So these distances, counted once, tell the hit rate of every n.

Reference: Mattson et al. 1970, "Evaluation techniques for storage hierarchies" (stack distances).
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from .. import generate
from ..errors import InputError
from ..trace import Trace


def asked_experts(trace: Trace, *, one_by_one: bool = False) -> list[tuple[int, int]]:
    """(layer, expert) in the order in which a run asked for them: pass by pass, layer by layer, each of a pass once.

    Args:
        trace: with `layers.*.ffn.expert_ids`, of a prompt, or of a prompt and what came after it.
        one_by_one: count as if the prompt's tokens had been read in a pass each, as new ones are.
    Raises:
        InputError: the trace holds no routing.
    """
    ids = {int(name.split(".")[1]): value for name, value in trace.tensors.items() if name.endswith(".ffn.expert_ids")}
    if not ids:
        raise InputError('The trace holds no routing; trace a model with experts and record "layers.*.ffn.expert_ids".')
    prompt = 0 if one_by_one else len(trace.tokens) - max(0, len(trace.steps) - 1)  # the last new token is not read
    piece = generate.PREFILL_TOKENS if trace.steps else max(1, prompt)  # what is only read is read at once
    passes = [slice(n, min(n + piece, prompt)) for n in range(0, prompt, piece)]
    passes += [slice(n, n + 1) for n in range(prompt, len(trace.tokens))]
    return [(layer, e) for rows in passes for layer in sorted(ids) for e in ids[layer][rows].unique().tolist()]


def hit_rates(asked: Sequence[Hashable], most: int) -> Tensor:
    """Share of `asked` that is in memory with room for 1, 2, … `most`, of a memory that is empty at first: [budget].

    Raises:
        InputError: nothing was asked for.
    """
    if not asked:
        raise InputError("Nothing was asked for, so there is no rate; pass at least one expert.")
    found = torch.zeros(most, dtype=torch.float64)
    recent: list[Hashable] = []  # the last one first
    for key in asked:
        if key in recent:
            distance = recent.index(key)
            found[distance:] += 1  # with room for distance + 1 and more
            del recent[distance]
        recent.insert(0, key)
    return found / len(asked)
