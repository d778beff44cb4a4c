"""Pictures and clips as the rows that a vision tower reads, and as placeholders in a text.

They are cut as `inputs/video.py` cuts every video; a picture counts as two equal frames. Values stay bytes here, a
quarter of the size; `as_floats` makes −1 to 1 of them, which is what mean and deviation of 0.5 come to.
"""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..inputs import VideoSettings
from ..inputs.video import film_text, patchify, timestamps
from ..model.vision import Grid
from .template import IMAGE, VIDEO
from .world import Clip, Picture
from .world.clips import FRAMES_PER_SECOND


@dataclass(frozen=True)
class Patching:
    """How the vision tower cuts."""

    patch: int = 8  # pixels along an edge
    merge: int = 2  # patches along the edge of what becomes one token
    frames: int = 2  # of a clip that share a patch

    def cut(self, seen: Picture | Clip) -> tuple[NDArray[np.uint8], Grid]:
        """One picture [height, width, 3] or clip [frame, height, width, 3], already of a fitting size.

        Returns:
            Bytes [patch, 3 · frames · patch · patch], and the grid. An odd clip repeats its last frame.
        Raises:
            InputError: an edge is no multiple of `patch · merge`.
        """
        film = seen[None] if seen.ndim == 3 else seen
        unit = self.patch * self.merge
        height, width = film.shape[1:3]
        if height % unit or width % unit:
            raise InputError(f"A picture of {height}×{width} pixels does not divide into units of {unit}; resize it.")
        settings = VideoSettings(self.patch, self.frames, self.merge)
        patches, grid = patchify(rearrange(torch.from_numpy(film), "t h w c -> t c h w"), settings)
        return patches.numpy(), grid

    def cells(self, grid: Grid) -> Grid:
        """The grid counted in tokens."""
        return grid[0], grid[1] // self.merge, grid[2] // self.merge

    def tokens(self, grid: Grid) -> int:
        """How many tokens one moment of it becomes."""
        _, rows, columns = self.cells(grid)
        return rows * columns

    def image_text(self, grid: Grid) -> str:
        """What one image placeholder becomes."""
        return IMAGE * self.tokens(grid)

    def clip_text(self, grid: Grid, rate: float = FRAMES_PER_SECOND) -> str:
        """What one video placeholder becomes: every moment with its time. The clip's frames are taken to be even.

        As transformers 5.23's processor writes it: inside the markers that the template has put around the
        placeholder, which therefore stand twice.
        """
        seconds = timestamps(range(grid[0] * self.frames), rate, self.frames)
        return film_text(seconds, f"<|vision_start|>{VIDEO * self.tokens(grid)}<|vision_end|>")


PATCHING = Patching()


def as_floats(patches: Tensor) -> Tensor:
    """Bytes -> float32 from −1 to 1."""
    return patches.to(torch.float32) / 127.5 - 1
