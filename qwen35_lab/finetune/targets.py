"""Which weights an adapter changes, and what that costs.

    part        layers                  matrices
    deltanet    Gated DeltaNet          in_proj_qkv, in_proj_z, in_proj_b, in_proj_a, out_proj
    attention   gated full attention    q_proj (with the gate), k_proj, v_proj, o_proj
    mlp         all                     the dense feed-forward, or the shared expert: gate_proj, up_proj, down_proj
    experts     sparse ones             gate_up_proj, down_proj of the routed experts, stacked [expert, out, in]

Never changed: embeddings, norms, convolutions, `A_log`, `dt_bias`, the vision tower, the MTP head, and the routers: the
model reads a router's weight directly, past what peft puts around its module, so that an adapter there would learn
nothing, and nobody would say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..config import FULL, LINEAR, ModelConfig, TextConfig
from ..errors import InputError
from ..model import build

DELTANET = ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
DENSE = ("gate_proj", "up_proj", "down_proj")
STACKED = ("gate_up_proj", "down_proj")
PARTS = ("deltanet", "attention", "mlp", "experts")
ADAM_BYTES = 8  # per trained number: AdamW's two means, in float32
GRADIENT_BYTES = 4


def targets(config: TextConfig, parts: Sequence[str] = PARTS) -> list[str]:
    """Names of our parameters that an adapter of these parts changes, layer by layer.

    Raises:
        InputError: there is no such part, or nothing of it in this model.
    """
    names = _those(config, parts)
    missing = [
        part for part in _chosen(parts) if not any(_of(config, part, n) for n in range(config.num_hidden_layers))
    ]
    if missing:
        there = [part for part in PARTS if part not in missing and _those(config, part)]
        raise InputError(f"This model has nothing of {missing[0]!r} to adapt; choose from {', '.join(there)}.")
    if not names:
        raise InputError(f"Nothing is to be adapted; choose at least one of {', '.join(PARTS)}.")
    return names


def _chosen(parts: Sequence[str]) -> tuple[str, ...]:
    chosen = (parts,) if isinstance(parts, str) else tuple(parts)
    if unknown := [part for part in chosen if part not in PARTS]:
        raise InputError(f"There is no part {unknown[0]!r}; choose from {', '.join(PARTS)}.")
    return chosen


def _those(config: TextConfig, parts: Sequence[str]) -> list[str]:
    """What there is of some parts, layer by layer."""
    chosen = _chosen(parts)
    return [
        name for n in range(config.num_hidden_layers) for part in PARTS if part in chosen
        for name in _of(config, part, n)
    ]  # fmt: skip


def _of(config: TextConfig, part: str, n: int) -> list[str]:
    """What one layer has of a part."""
    kind = config.layer_types[n]
    if part == "deltanet":
        return [f"layers.{n}.mixer.{name}.weight" for name in DELTANET] if kind == LINEAR else []
    if part == "attention":
        return [f"layers.{n}.mixer.{name}.weight" for name in ATTENTION] if kind == FULL else []
    if part == "mlp":
        where = f"layers.{n}.ffn.shared_expert" if config.is_moe else f"layers.{n}.ffn"
        return [f"{where}.{name}.weight" for name in DENSE]
    return [f"layers.{n}.ffn.{name}" for name in STACKED] if config.is_moe else []


@dataclass(frozen=True)
class Cost:
    """What an adapter of some rank adds to a model."""

    trained: int  # numbers
    whole: int  # of the model, frozen

    @property
    def share(self) -> float:
        return self.trained / self.whole

    @property
    def bytes(self) -> int:
        """Of the adapter, its gradient and AdamW's two means, in float32; the activations come on top."""
        return self.trained * (4 + GRADIENT_BYTES + ADAM_BYTES)

    @property
    def bytes_in_full(self) -> int:
        """Of gradient and means, if every weight were trained instead."""
        return self.whole * (GRADIENT_BYTES + ADAM_BYTES)


def cost(config: ModelConfig, parts: Sequence[str] = PARTS, rank: int = 8) -> Cost:
    """Count an adapter before it is made, from the config alone.

    A matrix [out, in] gets rank · (in + out) numbers, a stack [expert, out, in] as many for every expert.

    Raises:
        InputError: a part that is not there, or a rank below 1.
    """
    targets(config.text, parts)
    return costs(config, {"": parts}, [rank])[""][0]


def costs(config: ModelConfig, choices: Mapping[str, Sequence[str]], ranks: Sequence[int]) -> dict[str, list[Cost]]:
    """Name of a choice of parts -> its cost at each rank; an empty list where the model has nothing of them.

    Raises:
        InputError: a part that is in no model, or a rank below 1.
    """
    for rank in ranks:
        check_rank(rank)
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in build(config).named_parameters()}
    whole = sum(shape.numel() for shape in shapes.values())
    found = {}
    for choice, parts in choices.items():
        names = _those(config.text, parts)
        each = sum(shapes[n][:-2].numel() * (shapes[n][-1] + shapes[n][-2]) for n in names)  # per rank
        found[choice] = [Cost(rank * each, whole) for rank in ranks] if names else []
    return found


def check_rank(rank: int) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise InputError(f"The rank is {rank!r}; pass a whole number, 1 or more.")
