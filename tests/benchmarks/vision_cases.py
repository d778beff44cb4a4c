"""The vision tower of Qwen3.5-0.8B, ours against transformers' (by default with PyTorch's fused attention) on the same
weights: 1,024 patches, as one square picture, as three of different shapes, and as a film of four frames."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from benchmarks.race import Case, Given
from torch import nn
from transformers import Qwen3_5VisionConfig
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5VisionModel

import qwen35_lab as lab
from qwen35_lab.checkpoint import vision_names
from qwen35_lab.model.vision import VisionTower

NAME = "Qwen3.5-0.8B"
GOAL = 1.2
NOT_QUICK = "more than two blocks of 12, three pictures"
SHOWN = {
    "one picture": [(1, 32, 32)],
    "three pictures": [(1, 16, 32), (1, 24, 16), (1, 8, 16)],
    "a film of four frames": [(4, 16, 16)],
}


def cases(given: Given) -> Iterator[Case]:
    """Each of what is shown, in both dtypes."""
    for dtype in (torch.bfloat16, torch.float32):
        yield from compared(*towers(dtype, given.device, depth=2 if given.quick else 12), given)


def compared(ours: VisionTower, theirs: nn.Module, given: Given) -> Iterator[Case]:
    weight = ours.patch_embed.weight
    pixels = torch.randn(1024, weight[0].numel(), device=weight.device, dtype=weight.dtype)
    for what, grids in SHOWN.items():
        if given.quick and what == "three pictures":
            continue
        yield Case(
            f"vision tower of the 0.8B, 1,024 patches, {what}, {str(weight.dtype).removeprefix('torch.')}",
            partial(ours, pixels, grids),
            partial(theirs, pixels, torch.tensor(grids, device=weight.device)),
            GOAL,
        )


def towers(dtype: torch.dtype, device: str, depth: int) -> tuple[VisionTower, nn.Module]:
    """Both with the same tensors."""
    raw = lab.load_config(NAME).raw
    raw = raw | {"vision_config": raw["vision_config"] | {"depth": depth}}
    config = lab.ModelConfig.from_dict(raw).vision
    assert config is not None
    kept = {name: value for name, value in raw["vision_config"].items() if name != "model_type"}
    with torch.device(device):
        theirs: Any = Qwen3_5VisionModel(Qwen3_5VisionConfig(**kept)).eval()
    state = theirs.to(dtype).state_dict()
    for weight in state.values():
        weight.normal_(0, weight.shape[-1] ** -0.5)
    with torch.device("meta"):
        ours = VisionTower(config)
    names = {name.removeprefix("vision."): state[n.removeprefix("visual.")] for name, n in vision_names(config).items()}
    ours.load_state_dict(names, assign=True)
    return ours.eval(), theirs
