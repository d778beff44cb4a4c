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

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ..config import FULL, LINEAR, TextConfig
from ..errors import InputError

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
    chosen = (parts,) if isinstance(parts, str) else tuple(parts)
    if unknown := [part for part in chosen if part not in PARTS]:
        raise InputError(f"There is no part {unknown[0]!r}; choose from {', '.join(PARTS)}.")
    found = {part: [name for n in range(config.num_hidden_layers) for name in _of(config, part, n)] for part in chosen}
    if empty := [part for part, names in found.items() if not names]:
        there = [part for part in PARTS if any(_of(config, part, n) for n in range(config.num_hidden_layers))]
        raise InputError(f"This model has nothing of {empty[0]!r} to adapt; choose from {', '.join(there)}.")
    if not found:
        raise InputError(f"Nothing is to be adapted; choose at least one of {', '.join(PARTS)}.")
    wanted = {name for names in found.values() for name in names}
    every = [name for n in range(config.num_hidden_layers) for part in PARTS for name in _of(config, part, n)]
    return [name for name in every if name in wanted]


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
    by_part: dict[str, int]

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


def cost(model: nn.Module, config: TextConfig, parts: Sequence[str] = PARTS, rank: int = 8) -> Cost:
    """Count an adapter before it is made; the model may lie on the meta device.

    A matrix [out, in] gets rank · (in + out) numbers, a stack [expert, out, in] as many for every expert.

    Raises:
        InputError: a part that is not there, or a rank below 1.
    """
    check_rank(rank)
    weights = dict(model.named_parameters())
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    by_part = {}
    for part in parts:
        shapes = [weights[name].shape for name in targets(config, [part])]
        by_part[part] = sum(rank * (shape[:-2].numel()) * (shape[-1] + shape[-2]) for shape in shapes)
    return Cost(sum(by_part.values()), sum(weight.numel() for weight in weights.values()), by_part)


def check_rank(rank: int) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise InputError(f"The rank is {rank!r}; pass a whole number, 1 or more.")
