"""Pictures and clips as the rows that a vision tower reads, and as placeholders in a text.

The order of pixels is the official processors': patch by patch, the four patches that are merged into one token next to
each other, in a patch channel by channel, frame by frame. A picture counts as two equal frames. Values stay bytes here,
a quarter of the size; `as_floats` makes −1 to 1 of them, which is what mean and deviation of 0.5 come to.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .positions import Grid
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
        film = np.broadcast_to(seen, (self.frames, *seen.shape)) if seen.ndim == 3 else seen
        missing = -len(film) % self.frames
        if missing:
            film = np.concatenate([film, *[film[-1:]] * missing])
        unit = self.patch * self.merge
        frames, height, width, channels = film.shape
        if height % unit or width % unit:
            raise InputError(f"A picture of {height}×{width} pixels does not divide into units of {unit}; resize it.")
        grid = (frames // self.frames, height // self.patch, width // self.patch)
        edge = (self.merge, self.patch)
        parts = film.reshape(grid[0], self.frames, height // unit, *edge, width // unit, *edge, channels)
        parts = parts.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
        return parts.reshape(grid[0] * grid[1] * grid[2], -1), grid

    def tokens(self, grid: Grid) -> int:
        """How many tokens one moment of it becomes."""
        return (grid[1] // self.merge) * (grid[2] // self.merge)

    def image_text(self, grid: Grid) -> str:
        """What one image placeholder becomes."""
        return IMAGE * self.tokens(grid)

    def clip_text(self, grid: Grid, rate: float = FRAMES_PER_SECOND) -> str:
        """What one video placeholder becomes: every moment with its time, the mean over its first and last frame.

        As transformers 5.23's processor writes it: inside the markers that the template has put around the
        placeholder, which therefore stand twice.
        """
        moments = []
        for n in range(grid[0]):
            seconds = (n * self.frames / rate + (n * self.frames + self.frames - 1) / rate) / 2
            moments.append(f"<{seconds:.1f} seconds><|vision_start|>{VIDEO * self.tokens(grid)}<|vision_end|>")
        return "".join(moments)


PATCHING = Patching()


def as_floats(patches: Tensor) -> Tensor:
    """Bytes -> float32 from −1 to 1."""
    return patches.to(torch.float32) / 127.5 - 1
