"""The shipped configs as they stand in their files, and transformers' own model of a config."""

import json
from typing import Any

import torch
import transformers

from qwen35_lab.paths import data_path

transformers.logging.set_verbosity_error()

REFERENCE = {
    "qwen3": transformers.Qwen3ForCausalLM,
    "qwen3_moe": transformers.Qwen3MoeForCausalLM,
    "qwen3_next": transformers.Qwen3NextForCausalLM,
    "qwen3_5": transformers.Qwen3_5ForConditionalGeneration,
    "qwen3_5_text": transformers.Qwen3_5ForCausalLM,
    "qwen3_5_moe": transformers.Qwen3_5MoeForConditionalGeneration,
    "qwen3_5_moe_text": transformers.Qwen3_5MoeForCausalLM,
}


def reference_model(raw: dict[str, Any]) -> torch.nn.Module:
    """The model with its default random weights; experts one after the other, which takes any width."""
    config = transformers.AutoConfig.for_model(**raw, experts_implementation="eager")
    return REFERENCE[raw["model_type"]](config).eval()


def raw_config(name: str) -> dict[str, Any]:
    return json.loads(data_path("family", f"{name}.json").read_text(encoding="utf-8"))
