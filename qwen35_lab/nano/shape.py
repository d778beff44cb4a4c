"""The nano's sizes, and the weights that it begins with.

It has what the family's mixture-of-experts models have: three Gated DeltaNet layers to one of gated attention, routed
experts beside a shared one, a head that guesses the token after the next, a vision tower, one table for reading and
writing tokens. "full" is to ship; "small" is the one in which the recipe was looked for.

First weights, found by measurement: at this width the family's 0.02 is far too small for most of the matrices.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..model import MultimodalModel
from ..model.deltanet import CausalConv, GatedDeltaNet
from ..model.init import HALF_LIFE
from ..model.moe import SparseMoE
from ..model.norm import GatedRMSNorm, RMSNorm
from ..model.vision import PatchEmbedding
from .patches import PATCHING
from .tokenizer import CONTEXT, END, SIZE, SPECIAL, TURN_END

GATES = 0.02  # deviation where little must be said at first: routers, decays, write strengths, the shared expert's gate
OTHER_TAPS = 0.2  # of a convolution; the last one begins near 1
POSITIONS = 0.3  # of the vision tower's table; beside patches of norm 1, 0.02 drowns
FEW = ("router", "in_proj_a", "in_proj_b", "shared_gate_proj")
INTO_STREAM = ("o_proj", "out_proj", "down_proj", "proj", "linear_fc2")  # what a layer adds to its residual stream
TABLE = 8  # cells along an edge of the vision tower's position table


@dataclass(frozen=True)
class Shape:
    """Sizes of a nano."""

    hidden: int
    layers: int
    experts: int
    chosen: int  # experts per token
    expert_width: int
    shared_width: int
    head: int  # features of an attention head
    sections: tuple[int, int, int]  # rotary pairs for time, height, width: a quarter of `head` together
    value: int  # columns of a DeltaNet head's memory
    vision_width: int
    vision_depth: int
    heads: int = 4
    kv_heads: int = 2
    linear_heads: int = 4  # of DeltaNet, for keys and for values
    key: int = 32  # rows of a DeltaNet head's memory
    vocabulary: int = SIZE


PRESETS: dict[str, Shape] = {
    "small": Shape(128, 4, 8, 2, 64, 64, 32, (3, 3, 2), 32, 96, 2),
    "full": Shape(192, 4, 16, 2, 80, 128, 48, (4, 4, 4), 48, 128, 2),
}


def config_of(shape: Shape, tokenizer: Any) -> ModelConfig:
    """The `config.json` of a nano that reads with this tokenizer."""
    ids = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in SPECIAL}
    return ModelConfig.from_dict({
        "model_type": "qwen3_5_moe",
        "architectures": ["Qwen3_5MoeForConditionalGeneration"],
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": True,
        "text_config": _text(shape, ids),
        "vision_config": _vision(shape),
        "dtype": "float32",
    })  # fmt: skip


def _text(shape: Shape, ids: dict[str, int]) -> dict[str, Any]:
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    return {
        "model_type": "qwen3_5_moe_text",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "layer_types": [kinds[n % 4] for n in range(shape.layers)],
        "linear_num_key_heads": shape.linear_heads,
        "linear_num_value_heads": shape.linear_heads,
        "linear_key_head_dim": shape.key,
        "linear_value_head_dim": shape.value,
        "linear_conv_kernel_dim": 4,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "num_experts": shape.experts,
        "num_experts_per_tok": shape.chosen,
        "moe_intermediate_size": shape.expert_width,
        "shared_expert_intermediate_size": shape.shared_width,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": CONTEXT,
        "mtp_num_hidden_layers": 1,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": list(shape.sections),
            "mrope_interleaved": True,
        },
        "tie_word_embeddings": True,
        "eos_token_id": ids[TURN_END],
        "pad_token_id": ids[END],
        "bos_token_id": None,
        "dtype": "float32",
    }


def _vision(shape: Shape) -> dict[str, Any]:
    return {
        "model_type": "qwen3_5_moe",
        "depth": shape.vision_depth,
        "hidden_size": shape.vision_width,
        "intermediate_size": 4 * shape.vision_width,
        "num_heads": shape.heads,
        "out_hidden_size": shape.hidden,
        "patch_size": PATCHING.patch,
        "spatial_merge_size": PATCHING.merge,
        "temporal_patch_size": PATCHING.frames,
        "in_channels": 3,
        "num_position_embeddings": TABLE**2,
        "hidden_act": "gelu_pytorch_tanh",
    }


@torch.no_grad()
def initialise_nano(model: MultimodalModel, seed: int = 0) -> MultimodalModel:
    """Fill a model's weights in place, the same for the same seed on every machine.

    Matrices are N(0, 1/inputs), those that write into a residual stream smaller by √(2 · layers), embeddings
    N(0, 1/width). A DeltaNet head's half-life is the same at every token at first, log-spaced over the heads.
    """
    draw = torch.Generator().manual_seed(seed)
    assert model.vision_config is not None
    for name, module in model.named_modules():
        depth = model.vision_config.depth if name.startswith("vision.") else model.config.num_hidden_layers
        quiet = (2 * depth) ** -0.5
        if isinstance(module, nn.Linear):
            _linear(module, name.rsplit(".", 1)[-1], quiet, draw)
        elif isinstance(module, nn.Embedding):
            std = POSITIONS if name == "vision.pos_embed" else module.embedding_dim**-0.5
            _normal(module.weight, std, draw)
        elif isinstance(module, SparseMoE):
            _normal(module.gate_up_proj, module.gate_up_proj.shape[-1] ** -0.5, draw)
            _normal(module.down_proj, quiet * module.down_proj.shape[-1] ** -0.5, draw)
        elif isinstance(module, PatchEmbedding):
            _normal(module.weight, module.weight[0].numel() ** -0.5, draw)
            module.bias.zero_()
        elif isinstance(module, CausalConv):
            _normal(module.weight, OTHER_TAPS, draw)
            module.weight[..., -1] += 1
        elif isinstance(module, GatedDeltaNet):
            low, high = (math.log(tokens) for tokens in HALF_LIFE)
            module.dt_bias.zero_()
            module.A_log.copy_(-torch.linspace(low, high, len(module.A_log)))  # g = −ln 2 · e^A_log = −ln 2 / half-life
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, RMSNorm):
            module.weight.zero_()
        elif isinstance(module, GatedRMSNorm):
            module.weight.fill_(1)
    return model


def _linear(layer: nn.Linear, name: str, quiet: float, draw: torch.Generator) -> None:
    std = GATES if name in FEW else layer.in_features**-0.5 * (quiet if name in INTO_STREAM else 1)
    _normal(layer.weight, std, draw)
    if layer.bias is not None:
        layer.bias.zero_()


def _normal(parameter: Tensor, std: float, draw: torch.Generator) -> None:
    parameter.copy_(torch.randn(parameter.shape, generator=draw) * std)
