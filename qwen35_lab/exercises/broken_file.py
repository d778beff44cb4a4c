"""The last exercise: a checkpoint that loads without a complaint and answers wrongly. Which tensor, and what of it?

    broken = lab.exercises.break_file(qwen, folder, seed=3)
    lab.check("15.3", ("layers.0.mixer.conv.weight", "reversed"), given=broken)

One of eight faults is written into the file, all of which people have made in converting checkpoints; every shape still
fits. The file has gone through bfloat16, so that every tensor differs a little from the good one, and one a lot.
"""

import difflib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..config import FULL, LINEAR, TextConfig
from ..errors import InputError
from ..qwen import Qwen, load
from .numbers import shown


@dataclass(frozen=True)
class Fault:
    word: str  # the answer
    weight: str  # inside a layer
    change: Callable[[Tensor, TextConfig], Tensor]
    story: str
    kind: str | None = None  # layers that have the weight; None for all


def _halves(x: Tensor, config: TextConfig) -> Tensor:
    first, second = x.chunk(2, dim=-2)
    return torch.cat((second, first), dim=-2)


def _keys_first(x: Tensor, config: TextConfig) -> Tensor:
    keys = config.linear_num_key_heads * config.linear_key_head_dim
    q, k, v = x.split((keys, keys, x.shape[0] - 2 * keys))
    return torch.cat((k, q, v))


def _gates_behind(x: Tensor, config: TextConfig) -> Tensor:
    """All queries, then all gates, as if that had been the order; it is query and gate, head by head."""
    heads = x.view(config.num_attention_heads, 2, config.head_dim, x.shape[-1])
    return heads.transpose(0, 1).reshape(x.shape)


FAULTS = (
    Fault("halves swapped", "ffn.gate_up_proj", _halves, "up stands where the gate belongs, in every expert"),
    Fault("one added", "mixer_norm.weight", lambda x, c: x + 1, "it was saved as 1 + w, and the model adds one again"),
    Fault("reversed", "mixer.conv.weight", lambda x, c: x.flip(-1), "its kernel runs backwards in time", LINEAR),
    Fault("zeroed", "mixer.dt_bias", lambda x, c: x * 0, "its heads have lost their half-lives", LINEAR),
    Fault("shifted by one", "ffn.router.weight", lambda x, c: x.roll(1, 0), "each expert gets its neighbour's tokens"),
    Fault("q and k swapped", "mixer.in_proj_qkv.weight", _keys_first, "it asks with keys and writes under queries",
          LINEAR),
    Fault("gates behind queries", "mixer.q_proj.weight", _gates_behind,
          "queries and gates are stored head by head, not all of one and then all of the other", FULL),
    Fault("transposed", "mixer.out_proj.weight", lambda x, c: x.T, "rows and columns are exchanged; square, it fits",
          LINEAR),
)  # fmt: skip
WORDS = tuple(fault.word for fault in FAULTS)
_truths: "WeakKeyDictionary[nn.Module, tuple[str, Fault]]" = WeakKeyDictionary()


def break_file(qwen: Qwen, folder: str | Path, seed: int) -> Qwen:
    """Write a copy of a model with one fault in it, and load it; the same fault for the same seed.

    Args:
        folder: where to; it must not exist yet.
    Raises:
        InputError: this model has no place for the fault of this seed.
        CheckpointError: the folder exists, or cannot be written.
    """
    fault = FAULTS[seed % len(FAULTS)]
    weights = dict(qwen.model.named_parameters())
    config = qwen.config.text
    places = [f"layers.{n}.{fault.weight}" for n, kind in enumerate(config.layer_types) if fault.kind in (None, kind)]
    places = [name for name in places if name in weights and _fits(fault, weights[name], config)]
    if not places:
        raise InputError(f"This model has no place for the fault of seed {seed}; try another seed.")
    name = random.Random(seed).choice(places)
    twin = qwen.twin()
    for each, weight in weights.items():
        value = fault.change(weight.detach(), config) if each == name else weight.detach()
        owner, _, leaf = each.rpartition(".")
        rounded = nn.Parameter(value.bfloat16().to(weight.dtype), requires_grad=False)
        setattr(twin.model.get_submodule(owner), leaf, rounded)
    twin.save(folder)
    broken = load(folder)
    broken.provenance = replace(qwen.provenance, name=f"{qwen.provenance.name} with a fault")
    if qwen.folder is not None:
        broken.tokenizer = qwen.tokenizer  # the folder may be gone when it is needed
    _truths[broken.model] = name, fault
    return broken


def _fits(fault: Fault, weight: Tensor, config: TextConfig) -> bool:
    return fault.word != "transposed" or weight.shape[0] == weight.shape[1]


def check_broken_file(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge (name of a weight, word for what is wrong with it)."""
    if not isinstance(given, Qwen) or given.model not in _truths:
        return False, "Pass the model that `break_file` returned too: lab.check(…, your_answer, given=broken)."
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not all(isinstance(a, str) for a in answer):
        return False, 'Answer with a pair of the weight\'s name and a word, ("layers.0.mixer.conv.weight", "reversed").'
    (name, word), (truth, fault) = (a.strip() for a in answer), _truths[given.model]
    names = dict(given.model.named_parameters())
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`model.named_parameters()` lists them."
        return False, f"The model has no weight {shown(name)}; {hint}"
    if word not in WORDS:
        return False, f"{shown(word)} is not in the list; the words are {', '.join(WORDS)}."
    if name == truth and word == fault.word:
        return True, f"`{truth}`, {fault.word}: {fault.story}."
    if name == truth:
        return False, f"`{name}` it is, but it is not {word}. Undo your guess on the broken weight, and compare again."
    here, there = (_layer(each) for each in (name, truth))
    if here != there:
        later = "later" if here < there else "earlier"
        return False, f"`{name}` differs by its rounding alone; the fault comes {later}, in another layer."
    return False, f"The right layer, but `{name}` differs by its rounding alone; compare its neighbours."


def _layer(name: str) -> int:
    words = name.split(".")
    return int(words[1]) if words[0] == "layers" else -1 if words[0].startswith("embed") else 10**6


CHECKS = {"15.3": check_broken_file}
