"""Tokens that were read and are to be forgotten: three ways, and how wrong the memory is afterwards.

* replay: go back to a snapshot and read what is kept once more
* record: keep the state after every token, and take the right one
* crop: cut keys, values and the convolution's inputs to the kept length, and leave the states as they are: what
  `DynamicCache.crop` of transformers does once it records the past. Wrong for a hybrid, and silent

The first two are in model/rollback.py; the third is enough where all layers are attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..model import Cache, TextModel
from ..model.cache import DeltaNetMemory
from ..model.rollback import rewindable
from ..qwen import Prompt, Qwen
from .compare import gap

WAYS = ("replay", "record", "crop")


@dataclass(frozen=True)
class TakenBack:
    """How far each way of taking tokens back is from a cache that has never read them; shares of the largest value."""

    taken: tuple[int, ...]  # numbers of tokens
    states: Tensor  # [way, number] of the DeltaNet states, the worst layer
    logits: Tensor  # [way, number] of the next token
    tokens: int  # that were read in the pass
    provenance: str
    ways: tuple[str, ...] = WAYS


def read_and_keep(model: TextModel, cache: Cache, ids: Tensor, keep: int, way: str) -> None:
    """Read ids [1, token] in one pass, then let the cache forget all but the first `keep` of them.

    Raises:
        InputError: no such way.
    """
    if way not in WAYS:
        raise InputError(f"There is no way {way!r} of taking tokens back; choose from {', '.join(WAYS)}.")
    if way == "replay":
        before = cache.snapshot()
        model(ids, cache=cache)
        cache.restore(before)
        if keep:
            model(ids[:, :keep], cache=cache)
        return
    with rewindable(model, cache) as rewind:
        model(ids, cache=cache)
    states = [layer.state if isinstance(layer, DeltaNetMemory) else None for layer in cache.layers]
    rewind(keep)
    for layer, state in zip(cache.layers, states, strict=True):
        if way == "crop" and isinstance(layer, DeltaNetMemory):
            layer.state = state


def state_gap(ours: Cache, reference: Cache) -> float:
    """The largest `gap` of any DeltaNet layer's state; 0 in a model without such layers."""
    pairs = zip(ours.layers, reference.layers, strict=True)
    states = [(a.state, b.state) for a, b in pairs if isinstance(a, DeltaNetMemory) and isinstance(b, DeltaNetMemory)]
    return max((gap(a, b) for a, b in states if a is not None and b is not None), default=0.0)


@torch.inference_mode()
def take_back(qwen: Qwen, prompt: Prompt, drafted: Prompt, then: Prompt | None = None) -> TakenBack:
    """Read a prompt, and drafts after it in one pass; take back the last 1, 2, … all of the drafts, each way.

    Args:
        then: what is read next, for the logits; the last draft if not given.
    """
    read, drafts = qwen.encode(prompt), qwen.encode(drafted)
    probe = drafts[:, -1:] if then is None else qwen.encode(then)
    taken = tuple(range(1, drafts.shape[1] + 1))
    rows = [_errors(qwen.model, read, drafts, drafts.shape[1] - n, probe) for n in taken]
    states, logits = (torch.tensor(part, dtype=torch.float64).T for part in zip(*rows, strict=True))
    return TakenBack(taken, states, logits, drafts.shape[1], str(qwen.provenance))


def _errors(
    model: TextModel, read: Tensor, drafts: Tensor, keep: int, probe: Tensor
) -> tuple[Sequence[float], Sequence[float]]:
    """Of states and of logits, for each of `WAYS`, against a cache that has read only what is kept."""
    right = model.new_cache()
    model(torch.cat((read, drafts[:, :keep]), dim=1), cache=right)
    caches = [model.new_cache() for _ in WAYS]
    for way, cache in zip(WAYS, caches, strict=True):
        model(read, cache=cache)
        read_and_keep(model, cache, drafts, keep, way)
    states = [state_gap(cache, right) for cache in caches]
    wanted = model(probe, cache=right).logits[0, -1]
    return states, [gap(model(probe, cache=cache).logits[0, -1], wanted) for cache in caches]
