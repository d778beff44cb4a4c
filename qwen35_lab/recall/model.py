"""Two small models that learn the task, and the folder that such a model becomes.

`RECALL` has every mechanism of the dense text family. `MICROSCOPE` is one Gated DeltaNet layer with a single head:
its memory is one matrix of 12 x 12 numbers, too small for the task's 16 keys, and it learns within seconds.
"""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..checkpoint import write_model
from ..config import ModelConfig
from ..qwen import Qwen
from ..training import Recipe
from .task import END, IDS, TRAINED, VOCABULARY, Difficulty
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

# One head of DeltaNet and nothing else that remembers. The sizes of attention must be there, but no layer uses them;
# transformers' cache cannot do without an attention layer, so it is told to keep none.
ONE_HEAD: dict[str, Any] = CONFIG | {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "layer_types": ["linear_attention"],
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 1,
    "linear_key_head_dim": 12,
    "linear_value_head_dim": 12,
    "use_cache": False,
}


@dataclass(frozen=True)
class Setup:
    """A small model, the texts that it is trained on, and how."""

    name: str
    shape: Mapping[str, Any] = field(repr=False)  # a config.json
    difficulty: Difficulty
    recipe: Recipe  # of the model that ships
    texts_per_step: int
    target: float = math.inf  # the accuracy at which a training that is only watched may stop
    watched: int | None = None  # steps of such a training, where fewer than the recipe's are enough

    @property
    def config(self) -> ModelConfig:
        return ModelConfig.from_dict(self.shape)

    @property
    def quick(self) -> Recipe:
        """The recipe to watch."""
        return replace(self.recipe, steps=self.watched or self.recipe.steps, target=self.target)


RECALL = Setup("recall", CONFIG, TRAINED, Recipe(steps=400, muon_rate=1e-2, adamw_rate=6e-3), 32, target=0.99)
MICROSCOPE = Setup(
    "microscope", ONE_HEAD, Difficulty(keys=(2, 4), writes=(4, 16), questions=(4, 4)),
    Recipe(steps=600, muon_rate=1e-2, adamw_rate=6e-3, every=50), 48, watched=400,
)  # fmt: skip


def config() -> ModelConfig:
    """Of the recall model."""
    return RECALL.config


def write_checkpoint(qwen: Qwen, folder: str | Path, card: str | None = None, *, overwrite: bool = False) -> None:
    """Write a folder that `qwen35_lab.load` and transformers' Auto classes load, atomically.

    Args:
        card: the text of its README.md, if it shall have one.
    """
    settings = {"eos_token_id": IDS[END], "pad_token_id": IDS[END], "do_sample": False}
    settings |= {} if qwen.config.raw["use_cache"] else {"use_cache": False}
    generation = json.dumps(settings, indent=2)
    with tempfile.TemporaryDirectory() as temporary:
        beside = Path(temporary)
        make_tokenizer().save_pretrained(beside)
        (beside / "generation_config.json").write_text(generation + "\n", encoding="utf-8")
        if card is not None:
            (beside / "README.md").write_text(card, encoding="utf-8")
        write_model(qwen.model, qwen.config, Path(folder), tuple(sorted(beside.iterdir())), overwrite=overwrite)
