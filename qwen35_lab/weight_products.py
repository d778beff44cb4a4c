"""Products with weights in 8 and 4 bits on a CPU: PyTorch's kernels for a few tokens, plain matrices for many.

    int8    w = code · scale, a scale for each row
    int4    w = (code − 8) · scale + offset, a pair for each group in a row

Decoding reads every weight for one token, so a kernel that unpacks codes on their way to the product saves what 16 bits
would take to be read. With many tokens the product itself takes the time, and there the kernels are slow: codes
become a matrix once, and PyTorch's ordinary product follows. So it is, too, where autograd listens (the kernels have no
derivative), in dtypes for which a kernel is a plain loop, and in rows that the int8 kernel cannot read: it takes 16
columns at a time, and with another number of them reads on into memory that is not its own.

torchao makes the numbers and holds them; its own products are the slower ones here (its int8 makes the plain matrix for
every token). This file imports it, and is imported when it is needed.

Reference: `_weight_int8pack_mm` and `_weight_int4pack_mm_for_cpu` in PyTorch; `Int8Tensor` and `Int4OpaqueTensor` in
torchao.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchao.prototype.quantization.int4 import Int4OpaqueTensor
from torchao.quantization import Int8Tensor, PerRow

GROUPS = (128, 64, 32)  # of int4, the largest that divides a row

# up to how many tokens a kernel is the faster way; dtypes that are not named never take it
FEW_INT8 = {torch.bfloat16: 8}
FEW_INT4 = {torch.bfloat16: 128, torch.float32: 1}

MIDDLE = 8  # the code of int4 that stands for 0


class Int8Rows(Int8Tensor):
    """A matrix [rows, columns] in int8, with a scale for each row, in bfloat16 if the matrix was."""

    @classmethod
    def of(cls, weight: Tensor) -> "Int8Rows":
        made = cls.from_hp(weight, granularity=PerRow())
        if weight.dtype != torch.bfloat16:
            return made
        # the kernel takes scales in the dtype of the tokens: those come first, and the codes are made for them
        made = cls.from_hp(weight, granularity=PerRow(), scale=made.scale.bfloat16().float())
        return cls(made.qdata, made.scale.bfloat16(), made.block_size, weight.dtype, zero_point=made.zero_point)

    def dot(self, x: Tensor) -> Tensor:
        """x · wᵀ: [..., columns] -> [..., rows]"""
        tokens, codes, scale = x.reshape(-1, x.shape[-1]), self.qdata, self.scale.flatten()
        if _is_few(tokens, scale, FEW_INT8) and tokens.shape[1] % 16 == 0:
            y = torch.ops.aten._weight_int8pack_mm(tokens.contiguous(), codes, scale)
        elif x.dtype == torch.float16:  # which holds the numbers, but not sums of codes up to 127
            y = F.linear(tokens, (codes.float() * scale.float()[:, None]).to(x.dtype))
        else:
            y = F.linear(tokens, codes.to(x.dtype)) * scale.to(x.dtype)
        return y.view(*x.shape[:-1], codes.shape[0])

    def rows(self, ids: Tensor) -> Tensor:
        """Those rows, as a table of words is read: [...] -> [..., columns]"""
        return (F.embedding(ids, self.qdata) * F.embedding(ids, self.scale)).to(self.dtype)


class Int4Groups(Int4OpaqueTensor):
    """A matrix [rows, columns] in int4, with a scale and an offset for each group in a row."""

    @classmethod
    def of(cls, weight: Tensor) -> "Int4Groups | None":
        """None if it does not fit: rows come in multiples of 16, columns in multiples of 32."""
        rows, columns = weight.shape
        group = next((size for size in GROUPS if columns % size == 0), None)
        if group is None or rows % 16:
            return None
        made = cls.from_hp(weight.contiguous(), [1, group])
        return cls(made.qdata, made.scale_and_zero, made.block_size, weight.shape)

    def dot(self, x: Tensor) -> Tensor:
        """x · wᵀ: [..., columns] -> [..., rows]"""
        tokens, packed = x.reshape(-1, x.shape[-1]), self.qdata
        if _is_few(tokens, self.scale_and_zero, FEW_INT4) or layout() is None:
            y = torch.ops.aten._weight_int4pack_mm_for_cpu(
                tokens.contiguous(), packed, self.block_size[1], self.scale_and_zero
            )
        else:
            y = F.linear(tokens, self.dequantize(x.dtype))
        return y.view(*x.shape[:-1], packed.shape[0])

    def dequantize(self, output_dtype: torch.dtype | None = None) -> Tensor:
        """The plain matrix, computed in float32 at least."""
        packed, scales, way = self.qdata, self.scale_and_zero, layout()  # scales [groups, rows, 2]
        if way is None:
            return self.dot(torch.eye(2 * packed.shape[1], dtype=scales.dtype)).mT.to(output_dtype or scales.dtype)
        wide = torch.promote_types(scales.dtype, torch.float32)
        scale, offset = scales.to(wide).permute(2, 1, 0)[..., None]
        codes = unpack(packed, way).to(wide).unflatten(1, (-1, self.block_size[1]))
        return codes.sub_(MIDDLE).mul_(scale).add_(offset).flatten(1).to(output_dtype or scales.dtype)


@Int8Rows.implements_torch_function(F.linear)
@Int4Groups.implements_torch_function(F.linear)
def _linear(func: object, types: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    x, weight, *rest = args
    bias = rest[0] if rest else kwargs.get("bias")
    return weight.dot(x) if bias is None else weight.dot(x) + bias


@Int8Rows.implements_torch_function(F.embedding)
def _embedding(func: object, types: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    ids, table, *_ = args
    return table.rows(ids)


def _is_few(tokens: Tensor, scale: Tensor, few: dict[torch.dtype, int]) -> bool:
    """Is a kernel the faster way for these tokens [token, columns], and may it be taken?"""
    listened = tokens.requires_grad and torch.is_grad_enabled()
    return tokens.is_cpu and tokens.dtype == scale.dtype and len(tokens) <= few.get(scale.dtype, 0) and not listened


@dataclass(frozen=True)
class Layout:
    """How int4 is packed: rows stand in blocks, in a block column after column, in a byte two rows of a column.

    They are rows i and i + block / 2 by halves, otherwise rows 2i and 2i + 1, as always in a smaller block at the end.
    """

    block: int
    halves: bool


LAYOUTS = (Layout(64, True), Layout(32, True), Layout(32, False))  # of AVX-512, of AVX2, of other processors


@cache
def layout() -> Layout | None:
    """This machine's. PyTorch does not tell, so those that are known are tried out; None if it is none of them."""
    codes = (torch.arange(144 * 32) ** 2 // 7 % 16).view(144, 32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
    return next((way for way in LAYOUTS if torch.equal(unpack(packed, way), codes.byte())), None)


def unpack(packed: Tensor, way: Layout) -> Tensor:
    """Codes 0 to 15 of an int4 matrix: uint8 [rows, columns / 2] -> uint8 [rows, columns]."""
    rows, columns = len(packed), packed.shape[1] * 2
    whole = rows - rows % way.block
    parts = []
    for part, size, halves in ((packed[:whole], way.block, way.halves), (packed[whole:], rows - whole, False)):
        if len(part):
            pairs = part.reshape(-1, columns, size // 2)
            codes = torch.stack([pairs & 15, pairs >> 4], -2 if halves else -1).flatten(-2)  # [block, column, row]
            parts.append(codes.mT.reshape(-1, columns))
    return torch.cat(parts)
