"""The official FP8 layout: matrices in e4m3 with a scale for each block, and what `config.json` says about them.

    quantization_config   {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": […], …}
    x.weight              float8_e4m3fn, the codes
    x.weight_scale_inv    [blocks down, blocks across], bfloat16 in official files, float32 beside a float32 model;
                          weight = code · scale_inv, the inverse of what made the codes

Routed experts stand one by one. Kept in 16 bits or more, as in the official files: embeddings, head, norms,
convolutions, the inputs of β and decay, routers, the gates of shared experts, the vision tower; and the matrix that
joins the two inputs of an MTP head. Activations are rounded while such a model runs on a GPU ("dynamic"); we read the
weights, and compute in the dtype that was asked for.

Reference: `FineGrainedFP8Config` and `integrations/finegrained_fp8.py` in transformers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .quantise import quantise, scale_shape
from .reader import Reader

FP8 = "F8_E4M3"  # how safetensors writes it
SCALE = "_scale_inv"  # behind the name of what it scales
FIELD = "quantization_config"

# the matrices that such files hold in 8 bits, by the ends of their names; those are the same in ours
ROUNDED = re.compile(
    r"(?:[qkvo]_proj|in_proj_(?:qkv|z|qkvz)|out_proj|gate_proj|up_proj|down_proj)\.weight|(?:gate_up|down)_proj"
)


def is_rounded(name: str) -> bool:
    """Is a tensor, by its official name or by ours, among those that are stored in few bits?"""
    inside = not name.startswith(("vision.", "visual.", "model.visual."))
    return inside and bool(ROUNDED.fullmatch(".".join(name.split(".")[-(2 if name.endswith(".weight") else 1) :])))


@dataclass(frozen=True)
class BlockFP8:
    """What a `quantization_config` of the official kind says."""

    block: tuple[int, int] = (128, 128)  # rows and columns that share a scale
    kept: tuple[str, ...] = ()  # modules whose weights are not in FP8


def parse_fp8(raw: Any) -> BlockFP8:
    """Raises ConfigError, with the name of the field, for every other kind of quantisation."""
    get = Reader(raw, f"{FIELD}.")
    method = get.name("quant_method")
    if method != "fp8":
        raise get.error("quant_method", f"is {method!r}, but of quantised weights only fp8 in blocks is read")
    get.choice("fmt", "e4m3", ("e4m3",))
    get.choice("activation_scheme", "dynamic", ("dynamic",))
    get.choice("scale_fmt", "float", ("float",))
    get.choice("expert_dtype", "fp8", ("fp8",))
    if get.raw.get("modules_to_convert"):
        raise get.error("modules_to_convert", "is not empty, but only the matrices of layers are read from FP8")
    block = get.raw.get("weight_block_size", (128, 128))
    if not isinstance(block, list | tuple) or [type(n) for n in block] != [int, int] or min(block) < 1:
        raise get.error("weight_block_size", f"is {block!r}, not two positive whole numbers")
    kept = get.raw.get("modules_to_not_convert") or get.raw.get("ignored_layers") or ()
    if not isinstance(kept, list | tuple) or not all(isinstance(name, str) for name in kept):
        raise get.error("modules_to_not_convert", "is not a list of names")
    return BlockFP8((block[0], block[1]), tuple(kept))


def fault_of(name: str, weight: Any, scale: Any | None, fp8: BlockFP8 | None) -> str:
    """What is wrong with a stored tensor and its scale, or nothing. `weight` and `scale` are slices of safetensors."""
    small = weight.get_dtype() == FP8
    if small and fp8 is None:
        return f"{name} is in FP8, and config.json has no `{FIELD}`"
    if small and scale is None:
        return f"{name} is in FP8 without {name}{SCALE}"
    if scale is not None and not small:
        return f"{name} has a scale, but is not in FP8"
    if scale is not None and fp8 is not None:
        wanted, found = scale_shape(tuple(weight.get_shape()), fp8.block), tuple(scale.get_shape())
        if found != wanted:
            return f"{name}{SCALE} has shape {list(found)}, expected {list(wanted)}"
    return ""


def fp8_words(fp8: BlockFP8) -> dict[str, Any]:
    """The `quantization_config` for a `config.json`."""
    return {
        "quant_method": "fp8",
        "fmt": "e4m3",
        "activation_scheme": "dynamic",
        "weight_block_size": list(fp8.block),
        "modules_to_not_convert": list(fp8.kept),
    }


def to_fp8(
    tensors: Mapping[str, Tensor], rounded: set[str], block: tuple[int, int]
) -> tuple[dict[str, Tensor], BlockFP8]:
    """A checkpoint's tensors in the FP8 layout, by official name, and what its `config.json` has to say.

    Args:
        rounded: names of the tensors that become FP8; stacks of experts among them are taken apart.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name not in rounded:
            found[name] = tensor
            continue
        for part, weight in apart(name, tensor):
            made = quantise(weight, "e4m3", block, torch.bfloat16 if weight.dtype == torch.bfloat16 else None)
            found[part] = made.codes.to(torch.float8_e4m3fn).contiguous()
            found[part + SCALE] = made.scale
    whole = (
        name.removesuffix(".weight") for name, tensor in tensors.items() if name.endswith(".weight") and tensor.ndim > 1
    )
    return found, BlockFP8(block, tuple(name for name in whole if f"{name}.weight" not in rounded))


def apart(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A stack of experts as official FP8 files hold it, expert by expert; any other tensor as it is."""
    if ".mlp.experts." not in name or tensor.ndim != 3:
        return [(name, tensor)]
    stem, last = name.rsplit(".", 1)
    parts = ("gate_proj", "up_proj") if last == "gate_up_proj" else ("down_proj",)
    return [
        (f"{stem}.{e}.{part}.weight", rows)
        for e, expert in enumerate(tensor)
        for part, rows in zip(parts, expert.chunk(len(parts)), strict=True)
    ]
