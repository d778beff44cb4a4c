"""Scales: a tensor as small numbers and a factor for every block of them.

    scale = max|w| of the block / the format's largest number
    code  = w / scale, rounded to the format          ŵ = code · scale

One scale for the tensor, one for each row ("channel"), for each 128 × 128 block, or for each group of 128 in a row: the
smaller the block, the less a single large weight can spoil, and the more scales there are to store.

Reference: DeepSeek-V3 (arXiv 2412.19437), §3.3.2, for 128 × 128 blocks of weights in e4m3; `Fp8Quantize` and
`Fp8Dequantize` in transformers' `integrations/finegrained_fp8.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import InputError
from .formats import Format, find_format, round_to

Block = tuple[int | None, int | None]  # rows and columns that share a scale; None for all of them

SHARED_BY: Mapping[str, Block] = {
    "tensor": (None, None),
    "channel": (1, None),
    "block": (128, 128),
    "group": (1, 128),
}


@dataclass(frozen=True)
class Quantised:
    """`codes` [..., rows, columns] on the format's grid, `scale` [..., blocks down, blocks across]."""

    codes: Tensor
    scale: Tensor
    format: Format
    block: tuple[int, int]

    def dequantise(self, dtype: torch.dtype | None = None) -> Tensor:
        """code · scale, in the codes' shape; computed in float32 at least."""
        return dequantise(self.codes, self.scale, self.block, dtype or self.codes.dtype)

    @property
    def bytes(self) -> float:
        """Codes packed, and scales in their own dtype."""
        return self.codes.numel() * self.format.bits / 8 + self.scale.numel() * self.scale.element_size()

    @property
    def bits(self) -> float:
        """Per weight, the scales included."""
        return 8 * self.bytes / self.codes.numel()


def block_of(shared_by: str | Block, shape: torch.Size | tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a block in a matrix [..., rows, columns]; never more than it has.

    Raises:
        InputError: neither a name of `SHARED_BY` nor two positive numbers.
    """
    if isinstance(shared_by, str) and shared_by not in SHARED_BY:
        raise InputError(f"Nothing shares a scale by {shared_by!r}; use {', '.join(SHARED_BY)}, or (rows, columns).")
    rows, columns = SHARED_BY[shared_by] if isinstance(shared_by, str) else shared_by
    if any(size is not None and size < 1 for size in (rows, columns)):
        raise InputError(f"A block of {rows} × {columns} holds nothing; pass positive sizes, or None for all.")
    if len(shape) < 2:
        raise InputError(f"A tensor of shape {list(shape)} has no rows and columns; pass a matrix.")
    return min(rows or shape[-2], shape[-2]), min(columns or shape[-1], shape[-1])


def quantise(
    w: Tensor, fmt: str | Format, shared_by: str | Block = "block", scale_dtype: torch.dtype | None = None
) -> Quantised:
    """Codes and scales of a matrix, or of a stack of them: w [..., rows, columns], in float32 at least.

    A block of zeros has scale 1. Blocks at the edge may be smaller than the others.

    Args:
        scale_dtype: what the scales are rounded to, before the codes are made; as exact as w if not given.
    Raises:
        InputError: an unknown format or block, or a w that is not finite.
    """
    fmt, block = find_format(fmt), block_of(shared_by, w.shape)
    w = w.to(torch.promote_types(w.dtype, torch.float32))
    if not bool(w.isfinite().all()):
        raise InputError("A tensor with NaN or infinity has no scale; look for the place where it was made.")
    most = _largest_of_blocks(w.abs(), block)
    scale = torch.where(most > 0, most / fmt.largest, torch.ones_like(most))
    kept = scale.to(scale_dtype or scale.dtype)
    return Quantised(round_to(w / _spread(kept.to(scale.dtype), block, w.shape), fmt), kept, fmt, block)


def dequantise(codes: Tensor, scale: Tensor, block: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """code · scale [..., rows, columns], computed in float32 at least, then in `dtype`."""
    wide = torch.promote_types(dtype, torch.float32)
    return (codes.to(wide) * _spread(scale.to(wide), block, codes.shape)).to(dtype)


def rounded(w: Tensor, fmt: str | Format, shared_by: str | Block = "block") -> Tensor:
    """What is left of w after a trip through the format: the same shape and dtype."""
    return quantise(w, fmt, shared_by).dequantise(w.dtype)


def scale_shape(shape: torch.Size | tuple[int, ...], block: tuple[int, int]) -> tuple[int, ...]:
    """Of the scales of a tensor [..., rows, columns]: as many blocks as cover it."""
    return (*shape[:-2], -(-shape[-2] // block[0]), -(-shape[-1] // block[1]))


def _largest_of_blocks(size: Tensor, block: tuple[int, int]) -> Tensor:
    rows, columns = size.shape[-2:]
    whole = F.pad(size, (0, -columns % block[1], 0, -rows % block[0]))
    down, across = whole.shape[-2] // block[0], whole.shape[-1] // block[1]
    return whole.unflatten(-1, (across, block[1])).unflatten(-3, (down, block[0])).amax((-3, -1))


def _spread(scale: Tensor, block: tuple[int, int], shape: torch.Size) -> Tensor:
    """Every weight's own scale: [..., blocks down, blocks across] -> `shape`."""
    wide = scale.repeat_interleave(block[0], -2)[..., : shape[-2], :]
    return wide.repeat_interleave(block[1], -1)[..., : shape[-1]]
