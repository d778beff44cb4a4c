"""An adapter as others take it: peft's two files, with the official names of the modules.

    save_adapter(tuned, "in-sentences")
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("nano-text"), "in-sentences")

The names depend on who reads them. A language model alone has `model.layers.0…`, a whole one
`model.language_model.layers.0…`. An adapter with the wrong prefix finds no module; depending on the reader that is an
error, a warning, or silence, and then the base answers as if nothing had been learnt.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ..files import write_folder
from ..names import PREFIXES, name_map, official_name
from .adapter import NAME, Tuned
from .targets import STACKED

BEFORE = "base_model.model."  # peft's own prefix
INNER, OUTER = STACKED  # peft nests what it puts around the two stacks of a module: the first is inside


def adapter_names(tuned: Tuned, *, eyes: bool = False) -> dict[str, str]:
    """Name of a changed parameter -> the name that its two factors have in an adapter file, without their endings.

    Args:
        eyes: for a whole model (`AutoModelForMultimodalLM`); else for the language model alone.
    """
    names, prefix = name_map(tuned.base.config.text), PREFIXES[0 if eyes else 1]
    found = {}
    for name in tuned.names:
        official = official_name(names[name], prefix)
        module, _, leaf = official.rpartition(".")
        both = {n.rpartition(".")[2] for n in tuned.names if n.rpartition(".")[0] == name.rpartition(".")[0]}
        inside = ".base_layer" if leaf == INNER and OUTER in both and leaf in STACKED else ""
        found[name] = BEFORE + module + inside
    return found


def save_adapter(tuned: Tuned, folder: str | Path, *, eyes: bool = False) -> Path:
    """Write an adapter that peft loads onto transformers' model of the same checkpoint; all or nothing.

    Raises:
        CheckpointError: the folder exists, or cannot be written.
    """
    names = adapter_names(tuned, eyes=eyes)
    tensors: dict[str, Tensor] = {}
    for name, layer in tuned.layers().items():
        for factor in ("lora_A", "lora_B"):
            weight = getattr(layer, factor)[NAME].weight
            tensors[f"{names[name]}.{factor}.weight"] = weight.detach().cpu().contiguous()
    with write_folder(Path(folder)) as beside:
        save_file(tensors, beside / "adapter_model.safetensors", metadata={"format": "pt"})
        (beside / "adapter_model.safetensors").chmod(0o644)
        (beside / "adapter_config.json").write_text(json.dumps(_config(tuned, eyes), indent=2) + "\n")
    return Path(folder)


def _config(tuned: Tuned, eyes: bool) -> dict[str, Any]:
    names, prefix = name_map(tuned.base.config.text), PREFIXES[0 if eyes else 1]
    official = [official_name(names[name], prefix) for name in tuned.names]
    stacked = [name for name in official if name.endswith(STACKED) and not name.endswith(".weight")]
    return {
        "peft_type": "LORA",
        "task_type": None,
        "r": tuned.rank,
        "lora_alpha": tuned.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [name.removesuffix(".weight") for name in official if name not in stacked],
        "target_parameters": stacked or None,
        "inference_mode": True,
    }
