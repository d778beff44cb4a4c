"""One decoder layer: x += mixer(norm(x)), then x += feed-forward(norm(x)). `layer_types` decides which mixer it has."""

from torch import Tensor, nn

from ..config import FULL, LINEAR, TextConfig
from .attention import GatedAttention
from .cache import AttentionMemory, DeltaNetMemory
from .deltanet import GatedDeltaNet
from .mlp import SwiGLU
from .moe import SparseMoE
from .norm import RMSNorm
from .taps import Tap

MIXERS = {LINEAR: GatedDeltaNet, FULL: GatedAttention}


class Block(nn.Module):
    def __init__(self, config: TextConfig, kind: str):
        super().__init__()
        self.kind = kind
        self.mixer_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mixer = MIXERS[kind](config)
        self.ffn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.ffn = SparseMoE(config) if config.is_moe else SwiGLU(config.hidden_size, config.intermediate_size)
        stream = {"axes": "batch token feature", "feature": config.hidden_size}
        self.input = Tap(meaning="the residual stream as it enters the layer", **stream)
        self.after_mixer = Tap(meaning="the residual stream between mixer and feed-forward", **stream)
        self.output = Tap(meaning="the residual stream as it leaves the layer", **stream)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None,
        real: Tensor | None,
        memory: AttentionMemory | DeltaNetMemory | None,
    ) -> Tensor:
        """x [batch, token, hidden] -> [batch, token, hidden]; attention takes `rotary` and `mask`, DeltaNet `real`."""
        x = self.input(x)
        y = self.mixer_norm(x)
        y = self.mixer(y, real, memory) if self.kind == LINEAR else self.mixer(y, rotary, mask, memory)
        x = self.after_mixer(x + y)
        return self.output(x + self.ffn(self.ffn_norm(x)))
