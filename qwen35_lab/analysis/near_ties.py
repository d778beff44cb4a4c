"""What a router that computes in bfloat16 would choose from the same inputs, token by token.

`routing.ties` rounds the scores; here the inputs, the weights and the product are rounded, as in a model that is cast
as a whole. A set of experts can change only where the last chosen and the first refused expert are closer than twice
the largest error of a score: one may fall by that much, the other rise.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.moe import SparseMoE
from ..qwen import Qwen
from .routing import ties
from .specialists import Routes


@dataclass(frozen=True)
class Rounded:
    """The choices of some layers' routers; each [token], all layers one behind the other."""

    margin: Tensor  # float64: logit of the last chosen minus that of the first refused expert
    error: Tensor  # float64: the largest error of one of the token's scores
    changed: Tensor  # bool: another set of experts is chosen
    layer: Tensor  # int64

    @property
    def share(self) -> float:
        """Of the tokens that get other experts."""
        return self.changed.double().mean().item()


@torch.inference_mode()
def rounded_choices(qwen: Qwen, seen: Mapping[int, Routes], dtype: torch.dtype = torch.bfloat16) -> Rounded:
    """Let every router choose once more, in `dtype`, from what it has read.

    Args:
        seen: of `routes`, by layer.
    """
    parts = []
    for layer, found in seen.items():
        ffn = qwen.model.layers[layer].ffn
        assert isinstance(ffn, SparseMoE)
        low = F.linear(found.inputs.to(dtype), ffn.router.weight.cpu().to(dtype)).double()
        k = found.ids.shape[-1]
        before, after = (
            torch.zeros_like(low, dtype=torch.bool).scatter_(1, x.topk(k).indices, True) for x in (found.logits, low)
        )
        error = (low - found.logits.double()).abs().amax(-1)
        parts.append((ties(found.logits, k).margin, error, (before != after).any(-1), torch.full((len(low),), layer)))
    return Rounded(*map(torch.cat, zip(*parts, strict=True)))
