"""Normalisation: three of them, which are easy to confuse.

* `RMSNorm` (residual stream, q and k of full attention) is zero-centred: the stored weight w multiplies as (1 + w).
* `GatedRMSNorm` (the output of a DeltaNet head) has a plain weight w, and multiplies by an activated gate.
* `l2_norm` (q and k of DeltaNet) has no weight at all.

All three compute in float32 at least, whatever the model's dtype.
Reference: Zhang & Sennrich 2019 (arXiv 1910.07467); `Qwen3_5RMSNorm`, `Qwen3_5RMSNormGated`, `l2norm` in
`transformers/models/qwen3_5/modeling_qwen3_5.py`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def wide(x: Tensor) -> Tensor:
    """The same numbers in float32, or in float64 if they are that already."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def rms_normalise(x: Tensor, eps: float, weight: Tensor | None = None) -> Tensor:
    """x / sqrt(mean(x²) + eps) · weight over the last axis."""
    return F.rms_norm(x, x.shape[-1:], weight, eps)


def l2_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    """x / sqrt(sum(x²) + eps) over the last axis, in float32 at least."""
    x = wide(x)
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps)


class RMSNorm(nn.Module):
    """Zero-centred RMSNorm: x / rms(x) · (1 + w)."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        return rms_normalise(wide(x), self.eps, 1 + wide(self.weight)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}"


class GatedRMSNorm(nn.Module):
    """x / rms(x) · w · activation(gate), the norm before the gate."""

    def __init__(self, size: int, eps: float, activation: str = "silu"):
        super().__init__()
        self.eps, self.activation = eps, activation
        self.activate = {"silu": F.silu, "sigmoid": torch.sigmoid}[activation]
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """x, gate: [..., size] -> [..., size] in the gate's dtype."""
        y = rms_normalise(wide(x), self.eps, wide(self.weight))
        return (y * self.activate(wide(gate))).to(gate.dtype)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}, {self.activation}"
