"""What a checkpoint weighs in few bits: counted from a config, on shapes without numbers."""

from dataclasses import dataclass
from math import prod

from ..config import ModelConfig
from ..family.shapes import tensor_shapes
from ..formats import find_format
from ..names import is_rounded
from ..quantise import block_of, scale_shape
from .rounding import SHARING


@dataclass(frozen=True)
class Weighed:
    """Bytes of all parameters, vision tower and MTP head among them."""

    format: str
    bytes: float
    rounded: int  # parameters in the format
    kept: int  # in bfloat16
    scales: float  # bytes

    @property
    def bits(self) -> float:
        """Per parameter, on the mean of all."""
        return 8 * self.bytes / (self.rounded + self.kept)


def weigh(config: ModelConfig, fmt: str, *, everything: bool = False) -> Weighed:
    """A checkpoint whose matrices of layers are held in a format, with float32 scales, and all else in bfloat16.

    Args:
        fmt: "bf16", or one with scales: "e4m3" for each 128 × 128, "int8" for each row, "int4" for each group of 128.
        everything: hold every parameter in the format, and count no scales: the ideal size.
    """
    form = find_format(fmt)
    shapes = tensor_shapes(config)
    small = {name for name in shapes if everything or (form.bits < 16 and is_rounded(name))}
    rounded = sum(prod(shapes[name]) for name in small)
    kept = sum(prod(shape) for name, shape in shapes.items() if name not in small)
    scales = 0
    for shape in () if everything else (tuple(shapes[name]) for name in small):
        scales += 4 * prod(scale_shape(shape, block_of(SHARING[fmt], shape)))
    return Weighed(fmt, rounded * form.bits / 8 + scales + 2 * kept, rounded, kept, scales)
