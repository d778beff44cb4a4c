"""A model's `config.json`, as transformers' Auto classes read it."""

from dataclasses import fields
from typing import Any

from .config import ModelConfig
from .fp8 import FIELD

OLDER_SPELLINGS = ("torch_dtype", "rope_theta", "partial_rotary_factor", "rope_scaling", "full_attention_interval")
LEFT_OUT = (*OLDER_SPELLINGS, FIELD)  # how the file that was read held its weights says nothing about this one


def text_only(config: ModelConfig, dtype: str, mtp: bool = False) -> dict[str, Any]:
    """The `config.json` of the language model alone: the file's own words, and over them what the model has."""
    text, rope = config.text, config.text.rope
    renamed = {"output_gate": "output_gate_type", "state_dtype": "mamba_ssm_dtype", "rope": "rope_parameters"}
    raw = {k: v for k, v in (config.raw.get("text_config") or config.raw).items() if k not in LEFT_OUT}
    known = {renamed.get(f.name, f.name): getattr(text, f.name) for f in fields(text)}
    known["mtp_num_hidden_layers"] = int(mtp)  # the config may promise a head that the model does not have
    known = {name: value for name, value in known.items() if value or name in raw}  # a dense model has no experts
    yarn = ("factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "truncate")
    known["rope_parameters"] = {
        "rope_type": rope.type,
        "rope_theta": rope.theta,
        "partial_rotary_factor": rope.partial_rotary_factor,
        "mrope_section": list(rope.mrope_section),
        "mrope_interleaved": True,
    } | {name: getattr(rope, name) for name in yarn if rope.type == "yarn" and getattr(rope, name) is not None}
    eos = list(text.eos_token_id)
    kind = "Qwen3_5Moe" if text.is_moe else "Qwen3_5"
    return {
        **raw,
        **known,
        "layer_types": list(text.layer_types),
        "eos_token_id": eos[0] if len(eos) == 1 else eos or None,
        "architectures": [f"{kind}ForCausalLM"],
        "model_type": "qwen3_5_moe_text" if text.is_moe else "qwen3_5_text",
        "dtype": dtype,
    }


def multimodal(config: ModelConfig, dtype: str, mtp: bool = False) -> dict[str, Any]:
    """The `config.json` of language model and vision tower together."""
    assert config.vision is not None
    kind = "Qwen3_5Moe" if config.text.is_moe else "Qwen3_5"
    text = text_only(config, dtype, mtp)
    tokens = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return {
        **{k: v for k, v in config.raw.items() if k not in LEFT_OUT},
        "architectures": [f"{kind}ForConditionalGeneration"],
        "model_type": "qwen3_5_moe" if config.text.is_moe else "qwen3_5",
        "text_config": {k: v for k, v in text.items() if k != "architectures"},
        "vision_config": (config.raw.get("vision_config") or {}) | vars(config.vision),
        **{name: getattr(config, name) for name in tokens if getattr(config, name) is not None},
        "tie_word_embeddings": config.text.tie_word_embeddings,
        "dtype": dtype,
    }
