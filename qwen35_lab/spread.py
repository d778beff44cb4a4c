"""One model over several devices, layer by layer: `device="auto"` where the best device has no room for all of it.

A layer runs where its weights are; what it reads is brought there, and what the last one gives is brought home. Home is
the device of the embedding, and of all else that is no layer: head, vision tower, MTP head. accelerate says which layer
goes where: GPUs in their order, as much as each has room for, and the rest to the CPU. Its own dispatch would copy that
rest to a GPU in each pass, and it follows calls of modules alone, while our head and routers read weights directly.

Tried with "cpu" and "meta" alone, and not with GPUs.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import memory
from .config import ModelConfig
from .errors import InputError
from .family import stored
from .model import TextModel
from .tensors import stored_bytes

Places = Mapping[str, int | str | torch.device]  # module -> device


def has_room(device: torch.device, folder: Path, config: ModelConfig, dtype: torch.dtype | None) -> bool:
    """Whether a checkpoint's weights fit a device as they will be in memory: in `dtype`, and never in FP8."""
    if dtype is None and config.fp8 is None:
        return stored_bytes(folder) <= memory.free(device)
    name = str(dtype or torch.bfloat16).removeprefix("torch.")
    return sum(stored.stored_bytes(config, name).values()) <= memory.free(device)


def find_places(model: TextModel, limits: Mapping[int | str, int | str] | None = None) -> Places:
    """Which layer goes where, by accelerate's rules.

    Args:
        limits: device -> bytes that may be used there; None for what is free, less a reserve.
    Raises:
        InputError: accelerate is not installed, or all devices together have no room for the model.
    """
    try:
        from accelerate import infer_auto_device_map
    except ImportError as error:
        raise InputError(
            f"A model on several devices needs accelerate ({error}); `pip install accelerate`, or name one device."
        ) from error
    places = infer_auto_device_map(model, dict(limits) if limits else None, no_split_module_classes=["Block"])
    if "disk" in places.values():
        raise InputError("The devices have no room for this model; take a smaller dtype, or experts='disk'.")
    return places


def spread(model: TextModel, places: Places) -> str:
    """Put a model's layers where they belong, in place; where that is, in words.

    Args:
        places: of modules, or of what they are inside of; "" is the whole model.
    """
    home = torch.device(_at("embed_tokens", places))
    for name, part in model.named_children():
        if name != "layers":
            part.to(home)
    for n, layer in enumerate(model.layers):
        device = torch.device(_at(f"layers.{n}", places))
        layer.to(device).register_forward_pre_hook(partial(_bring, device))
    model.norm.register_forward_pre_hook(partial(_bring, home))
    counts = Counter(str(next(layer.parameters()).device) for layer in model.layers)
    return f"Layers: {', '.join(f'{n} on {device}' for device, n in counts.items())}; all else on {home}."


def _at(name: str, places: Places) -> int | str | torch.device:
    """By the longest name in `places` that this one begins with."""
    parts = name.split(".")
    return next(places[key] for n in range(len(parts), -1, -1) if (key := ".".join(parts[:n])) in places)


def _bring(device: torch.device, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Tensors, and tuples of them, to a device; a layer's memory is there already."""
    return tuple(
        _bring(device, module, each) if isinstance(each, tuple) else each.to(device) if torch.is_tensor(each) else each
        for each in given
    )
