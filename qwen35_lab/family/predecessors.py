"""Just enough of a Qwen3 `config.json` to count with: the models before Qwen3.5, which this package does not build.

Qwen3 (2025) has full attention in every layer and no vision. Qwen3-Next, the preview of Qwen3.5, already mixes in
Gated DeltaNet layers, a shared expert and gated attention.

Reference: `transformers/models/{qwen3,qwen3_moe,qwen3_next}/configuration_*.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import FULL, LINEAR, TextConfig
from ..errors import ConfigError
from ..reader import Reader

PREDECESSOR_TYPES = ("qwen3", "qwen3_moe", "qwen3_next")

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
MOE_SIZES = ("num_experts", "num_experts_per_tok", "moe_intermediate_size")
DELTANET_SIZES = (
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
)


@dataclass(frozen=True)
class PredecessorConfig:
    """The sizes of a Qwen3 or Qwen3-Next model. Not a `ModelConfig`, so that nothing tries to build it."""

    model_type: str
    text: TextConfig  # DeltaNet sizes are 0 where a model has none
    vision: None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "PredecessorConfig":
        """Read the sizes of a `config.json` whose `model_type` is qwen3, qwen3_moe or qwen3_next."""
        get = Reader(raw)
        model_type = raw.get("model_type")
        if model_type not in PREDECESSOR_TYPES:
            raise ConfigError(
                f"The field `model_type` is {model_type!r}, which is not a predecessor of Qwen3.5; "
                f"pass a config whose `model_type` is one of {', '.join(PREDECESSOR_TYPES)}."
            )
        if raw.get("mlp_only_layers") or raw.get("decoder_sparse_step", 1) != 1:
            raise get.error("mlp_only_layers", "or `decoder_sparse_step` leaves some layers without experts")
        moe, hybrid = model_type != "qwen3", model_type == "qwen3_next"
        names = SIZES
        names += MOE_SIZES if moe else ("intermediate_size",)
        names += (*DELTANET_SIZES, "shared_expert_intermediate_size") if hybrid else ()
        sizes: dict[str, Any] = dict.fromkeys(DELTANET_SIZES, 0) | {name: get.size(name) for name in names}
        layers, every = sizes["num_hidden_layers"], get.size("full_attention_interval", 4) if hybrid else 1
        text = TextConfig(
            **sizes,
            layer_types=tuple(LINEAR if (layer + 1) % every else FULL for layer in range(layers)),
            attention_bias=get.flag("attention_bias", False),
            tie_word_embeddings=get.flag("tie_word_embeddings", False),
            dtype=get.name("dtype") or get.name("torch_dtype"),
        )
        return cls(model_type, text)
