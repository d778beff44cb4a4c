"""Random weights that can remember.

Matrices are drawn from N(0, initializer_range²), as in transformers. The decay is not: with transformers'
A ~ U(0.01, 16) and dt_bias = 1 most heads forget within half a token, and a fresh model's memory is all but empty.
Here every DeltaNet head starts with a half-life of its own, log-uniform between 16 and 256 tokens: A_log = 0 and
dt_bias = softplus⁻¹(ln 2 / half-life), so that g = −softplus(dt_bias) = −ln 2 / half-life when its input is 0.
"""

import math

import torch
from torch import Tensor, nn

from .deltanet import CausalConv, GatedDeltaNet
from .moe import SparseMoE
from .norm import GatedRMSNorm, RMSNorm
from .text import TextModel
from .vision import PatchEmbedding

HALF_LIFE = (16.0, 256.0)  # tokens


@torch.no_grad()
def initialise(model: TextModel, seed: int = 0, half_life: tuple[float, float] = HALF_LIFE) -> TextModel:
    """Fill a model's weights in place, the same for the same seed on every device.

    Args:
        half_life: shortest and longest initial half-life of a DeltaNet head, in tokens.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(parameter: Tensor, std: float) -> None:
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    std = model.config.initializer_range
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            draw(module.weight, std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, SparseMoE):
            draw(module.gate_up_proj, std)
            draw(module.down_proj, std)
        elif isinstance(module, PatchEmbedding):
            draw(module.weight, std)
            module.bias.zero_()
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, RMSNorm):
            module.weight.zero_()
        elif isinstance(module, GatedRMSNorm):
            module.weight.fill_(1)
        elif isinstance(module, CausalConv):
            bound = module.weight.shape[-1] ** -0.5
            module.weight.copy_(torch.empty(module.weight.shape).uniform_(-bound, bound, generator=generator))
        elif isinstance(module, GatedDeltaNet):
            low, high = (math.log(h) for h in half_life)
            lives = torch.empty(module.dt_bias.shape).uniform_(low, high, generator=generator).exp()
            module.A_log.zero_()
            module.dt_bias.copy_((math.log(2) / lives).expm1().log())  # softplus⁻¹
    return model
