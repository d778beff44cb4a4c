"""How large an image becomes, and how many tokens it costs: from its edges alone, without looking at it.

    resize     to multiples of a cell (32 pixels), aspect ratio kept, at least 64 and at most 16,384 cells of area
    tokens     one for each cell of 2×2 patches

The pixels themselves go through transformers' image processor (processor.py), whose rule this is, number for number.
Reference: `smart_resize` in transformers; limits: the published `preprocessor_config.json`.
"""

import math
from dataclasses import dataclass
from typing import Any

from ..config import VisionConfig
from ..errors import InputError

MOST_STRETCHED = 200  # times as long as wide


@dataclass(frozen=True)
class ImageSettings:
    """How images are made ready. Edges are counts of pixels over the whole image."""

    patch_size: int = 16
    merge_size: int = 2
    shortest_edge: int = 65_536
    longest_edge: int = 16_777_216

    @property
    def factor(self) -> int:
        """Pixels per side of a cell."""
        return self.patch_size * self.merge_size

    @classmethod
    def of(cls, source: Any) -> "ImageSettings":
        """Of a `VisionConfig`, with the published limits for its cells, or of a `Processor` or image processor."""
        if isinstance(source, VisionConfig):
            cell = (source.patch_size * source.spatial_merge_size) ** 2
            return cls(source.patch_size, source.spatial_merge_size, 64 * cell, 16_384 * cell)
        made = getattr(source, "image_processor", source)
        return cls(made.patch_size, made.merge_size, made.size["shortest_edge"], made.size["longest_edge"])

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of cells of an image of that size in pixels; their product is its tokens."""
        rows, columns = image_size(height, width, self)
        return rows // self.factor, columns // self.factor

    def tokens(self, height: int, width: int) -> int:
        rows, columns = self.cells(height, width)
        return rows * columns


def image_size(height: int, width: int, settings: ImageSettings) -> tuple[int, int]:
    """Pixels to which an image is resized, (height, width): multiples of a cell, within the limits.

    Raises:
        InputError: an edge of no pixels, or an image that is too long and thin.
    """
    if min(height, width) < 1:
        raise InputError(f"An image of {height}×{width} pixels has nothing to see; pass one with pixels.")
    if max(height, width) / min(height, width) > MOST_STRETCHED:
        raise InputError(
            f"An image of {height}×{width} pixels is more than {MOST_STRETCHED} times as long as wide; cut it."
        )
    factor, pixels = settings.factor, height * width
    rows, columns = (round(side / factor) * factor for side in (height, width))
    if rows * columns > settings.longest_edge:
        shrink = math.sqrt(pixels / settings.longest_edge)
        rows, columns = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif rows * columns < settings.shortest_edge:
        grow = math.sqrt(settings.shortest_edge / pixels)
        rows, columns = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return rows, columns
