"""The pictures of one call, checked: the tensors that transformers' processors make, images and videos together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import VisionConfig
from ..errors import InputError
from .vision import Grid


@dataclass(frozen=True)
class Pictures:
    """What a call shows. Grids are (frames, rows, columns) in patches."""

    pixels: Tensor  # [patch, channel · frame · row · column], the images' before the videos'
    images: list[Grid]
    videos: list[Grid]
    merge: int  # patches per side of a cell

    @property
    def grids(self) -> list[Grid]:
        return self.images + self.videos

    @property
    def image_cells(self) -> int:
        return sum(t * h * w for t, h, w in self.cells(self.images))

    def cells(self, grids: Sequence[Grid]) -> list[Grid]:
        """(frames, rows, columns) in cells, each of which is one token."""
        return [(t, h // self.merge, w // self.merge) for t, h, w in grids]


def pictures(
    config: VisionConfig, pixel_values: Tensor | None, image_grid_thw: Tensor | None,
    pixel_values_videos: Tensor | None, video_grid_thw: Tensor | None,
) -> Pictures | None:  # fmt: skip
    """The pictures that a forward pass was given, or None.

    Raises:
        InputError: pixels without a grid or the other way round, or ones that do not fit each other or the config.
    """
    images, seen = _checked(config, "pixel_values", pixel_values, "image_grid_thw", image_grid_thw)
    videos, moving = _checked(config, "pixel_values_videos", pixel_values_videos, "video_grid_thw", video_grid_thw)
    pixels = [each for each in (seen, moving) if each is not None]
    return Pictures(torch.cat(pixels), images, videos, config.spatial_merge_size) if pixels else None


def _checked(
    config: VisionConfig, name: str, pixels: Tensor | None, grid_name: str, grid: Tensor | None
) -> tuple[list[Grid], Tensor | None]:
    if pixels is None and grid is None:
        return [], None
    if pixels is None or grid is None:
        missing, there = (name, grid_name) if pixels is None else (grid_name, name)
        raise InputError(f"{there} came without {missing}; pass both, as the processor made them.")
    grid = torch.as_tensor(grid)
    if grid.ndim != 2 or grid.shape[1] != 3 or grid.is_floating_point() or not len(grid) or int(grid.min()) < 1:
        raise InputError(
            f"{grid_name} is {grid.tolist()}; pass (frames, rows, columns) in patches, one row for each picture."
        )
    if bool((grid[:, 1:] % config.spatial_merge_size).any()):
        raise InputError(
            f"{grid_name} is {grid.tolist()}, but rows and columns come in multiples of {config.spatial_merge_size}; "
            "resize the picture as the processor does."
        )
    values = config.in_channels * config.temporal_patch_size * config.patch_size**2
    expected = (int(grid.prod(1).sum()), values)
    if tuple(pixels.shape) != expected:
        raise InputError(
            f"{name} has shape {tuple(pixels.shape)}, but {grid_name} and the config say {expected}: one row for each "
            f"patch, with its {values} pixel values; use the processor of this checkpoint."
        )
    return [(t, h, w) for t, h, w in grid.tolist()], pixels
