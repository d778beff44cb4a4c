"""The recall model: every mechanism of the dense text family in 0.24 million parameters, and its folder."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ..checkpoint import write_model
from ..config import ModelConfig
from ..model import TextModel
from .task import END, IDS, VOCABULARY
from .tokenizer import CONTEXT, make_tokenizer

# As in Qwen3.5-4B and larger: three DeltaNet layers, then one of gated attention; value heads share the
# query/key heads of a DeltaNet, query heads the key/value heads of attention; a quarter of a head is rotated.
CONFIG: dict[str, Any] = {
    "model_type": "qwen3_5_text",
    "architectures": ["Qwen3_5ForCausalLM"],
    "vocab_size": len(VOCABULARY),
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_conv_kernel_dim": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "initializer_range": 0.02,
    "max_position_embeddings": CONTEXT,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "partial_rotary_factor": 0.25,
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
    },
    "tie_word_embeddings": True,
    "use_cache": True,
    "eos_token_id": IDS[END],
    "pad_token_id": IDS[END],
    "bos_token_id": None,
    "dtype": "float32",
}


def config() -> ModelConfig:
    return ModelConfig.from_dict(CONFIG)


def write_checkpoint(model: TextModel, folder: str | Path, card: str | None = None, *, overwrite: bool = False) -> None:
    """Write a folder that `qwen35_lab.load` and transformers' Auto classes load, atomically.

    Args:
        card: the text of its README.md, if it shall have one.
    """
    generation = json.dumps({"eos_token_id": IDS[END], "pad_token_id": IDS[END], "do_sample": False}, indent=2)
    with tempfile.TemporaryDirectory() as temporary:
        beside = Path(temporary)
        make_tokenizer().save_pretrained(beside)
        (beside / "generation_config.json").write_text(generation + "\n", encoding="utf-8")
        if card is not None:
            (beside / "README.md").write_text(card, encoding="utf-8")
        write_model(model, config(), Path(folder), tuple(sorted(beside.iterdir())), overwrite=overwrite)
