"""x Wᵀ, and for a single row in float32 on a CPU as fast as W can be read."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def times(x: Tensor, weight: Tensor) -> Tensor:
    """`F.linear` without a bias: x [n, in], weight [out, in] -> [n, out]

    MKL takes longer for a matrix and one vector than for a batch of two such products with half of the rows each: up to
    twice as long where rows are short (PyTorch 2.13, x86). Where gradients are taken, the product is the usual one.
    """
    out, width = weight.shape
    if x.shape[:-1] != (1,) or out % 2 or not _plain(weight) or torch.is_grad_enabled():
        return F.linear(x, weight)
    halves = weight.view(2, out // 2, width)
    return torch.bmm(halves, x.T.expand(2, width, 1)).view(1, out)


def _plain(weight: Tensor) -> bool:
    """Whether it lies as it is multiplied: what is held in fewer bits has products of its own."""
    kind = (weight.dtype, weight.device.type)
    return kind == (torch.float32, "cpu") and type(weight) in (Tensor, nn.Parameter) and weight.is_contiguous()
