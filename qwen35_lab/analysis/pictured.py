"""transformers' own reading of a prompt with pictures, to compare ours with: features, positions, and logits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..qwen import Qwen
from .parity import quiet_transformers


@dataclass(frozen=True)
class Theirs:
    """Of one prompt, without the batch axis."""

    seen: Tensor  # [cell, feature], what the tower makes
    positions: Tensor  # [3, token]
    logits: Tensor  # [token, vocabulary]
    version: str  # of transformers


@torch.inference_mode()
def by_transformers(qwen: Qwen, made: Mapping[str, Any]) -> Theirs:
    """Let transformers' class read the checkpoint and the prompt.

    Args:
        made: what `qwen.processor` made of one text with pictures.
    Raises:
        InputError: the model has no folder that transformers could load, or there is nothing to see.
    """
    if qwen.folder is None or not ("image_grid_thw" in made or "video_grid_thw" in made):
        raise InputError(
            "This compares a checkpoint's reading of pictures; load one, and pass a prompt with a picture."
        )
    with quiet_transformers():
        import transformers

        dtype = qwen.model.embed_tokens.weight.dtype
        model: Any = transformers.AutoModelForImageTextToText.from_pretrained(qwen.folder, dtype=dtype)
        model = model.eval().to(qwen.device)
        seen: list[Tensor] = []
        hook = model.model.visual.merger.register_forward_hook(lambda module, inputs, output: seen.append(output))
        try:
            logits = model(**made).logits[0]
        finally:
            hook.remove()
        grids = {name: made.get(name) for name in ("image_grid_thw", "video_grid_thw", "attention_mask")}
        where, _ = model.model.get_rope_index(made["input_ids"], mm_token_type_ids=made["mm_token_type_ids"], **grids)
    return Theirs(torch.cat(seen), where[:, 0], logits, transformers.__version__)
