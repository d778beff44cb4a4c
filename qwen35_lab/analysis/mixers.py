"""One mixer of a model by itself, with random weights or none, to be counted or timed."""

from collections.abc import Callable

import torch
from torch import nn

from ..config import FULL, LINEAR, ModelConfig
from ..errors import InputError
from ..family import load_config
from ..model.attention import GatedAttention
from ..model.deltanet import GatedDeltaNet
from ..model.rope import rotary_angles
from .counter import Count, count_operators, written_out
from .recorded import counted

MIXERS = {LINEAR: GatedDeltaNet, FULL: GatedAttention}


def build_mixer(config: ModelConfig, kind: str, device: str = "cpu", seed: int = 0) -> nn.Module:
    """A mixer of that kind in float32; its weights are random, which is as slow as trained, or on "meta" not there."""
    if kind not in MIXERS:
        raise InputError(f"There is no layer of kind {kind!r}; pass {LINEAR!r} or {FULL!r}.")
    with torch.device(device):
        made = MIXERS[kind](config.text)
    draw = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.requires_grad_(False)
        if device != "meta":
            parameter.copy_(0.02 * torch.randn(parameter.shape, generator=draw))
    return made


def reading(mixer: nn.Module, config: ModelConfig, tokens: int, seed: int = 0) -> Callable[[], torch.Tensor]:
    """A call that lets a mixer read a text of so many tokens, without a cache."""
    text, device = config.text, next(mixer.parameters()).device
    x = torch.randn(1, tokens, text.hidden_size, generator=torch.Generator().manual_seed(seed)).to(device)
    if isinstance(mixer, GatedDeltaNet):
        return lambda: mixer(x, None, None)
    positions = torch.arange(tokens, device=device).expand(3, 1, tokens)
    rotary = rotary_angles(positions, text.head_dim, text.rope, x.dtype)
    return lambda: mixer(x, rotary, None, None)


def count_mixer(
    config: ModelConfig | str, kind: str, tokens: int, *, attention: str = "written out", device: str = "meta"
) -> Count:  # fmt: skip
    """What PyTorch's counter finds in one mixer that reads a text.

    Args:
        attention: "written out", product by product, or "fused", as it runs otherwise.
        device: on "meta" nothing is computed; which fused kernel there is only shows on the device itself, "cpu".
    """
    config = load_config(config) if isinstance(config, str) else config
    mixer = build_mixer(config, kind, device)
    run = reading(mixer, config, counted(tokens, "tokens", 1))
    if attention == "fused":
        return count_operators(run)
    with written_out(mixer):
        return count_operators(run)
