"""Products with weights on a CPU, for passes that train nothing: the same sums, and sooner.

    many rows, float32     oneDNN's: MKL's take 1.1 to 3 times as long
    one row, float32       MKL's, for a batch of two with half of the weights each: a whole takes up to 3 times as long
    bias or activation     oneDNN adds the bias and bends each block of the product while that is still in the cache
    one row, bfloat16      see one_row.py

Small matrices, other dtypes, weights in fewer bits, other processors and passes with derivatives have `F.linear`.
Measured with PyTorch 2.13 on an AMD EPYC (tests/benchmarks/product_cases.py). oneDNN writes a program for every number
of rows and shape of matrix, which takes a millisecond and some 0.6 MB, and keeps the last thousand of them.
"""

import platform
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

ACTIVATIONS = {
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu": F.gelu,
    "silu": F.silu,
    "relu": F.relu,
}
ONEDNN: Any = torch.ops.mkldnn
IN_ONEDNN = {"": ("none", ""), "gelu_pytorch_tanh": ("gelu", "tanh"), "gelu": ("gelu", "none"), "silu": ("swish", ""),
             "relu": ("relu", "")}  # fmt: skip
X86 = platform.machine().lower() in ("x86_64", "amd64")
LARGE = 1 << 18  # weights; below, a call of oneDNN takes longer than the product


class Linear(nn.Linear):
    """`nn.Linear`, by `times`."""

    def forward(self, input: Tensor) -> Tensor:
        return times(input, self.weight, self.bias)


def times(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "") -> Tensor:
    """activation(x Wᵀ + b): x [..., in], weight [out, in] -> [..., out]"""
    if _large_and_plain(x, weight):
        out, width = weight.shape
        fused = bias is not None or activation != ""
        if x.dtype == torch.float32 and x.numel() == width and not fused and out % 2 == 0:
            halves = weight.view(2, out // 2, width)
            # turned round, which is how MKL is told of the faster way
            return torch.bmm(halves, x.reshape(1, width).T.expand(2, width, 1)).view(*x.shape[:-1], out)
        if _onednn_takes(x, fused):
            kind, form = IN_ONEDNN[activation]
            return ONEDNN._linear_pointwise(x, weight, bias, kind, [], form)
    return bent(F.linear(x, weight, bias), activation)


def bent(y: Tensor, activation: str) -> Tensor:
    """activation(y), of any shape; "" changes nothing."""
    return ACTIVATIONS[activation](y) if activation else y


def through(layer: nn.Linear, x: Tensor, activation: str = "") -> Tensor:
    """activation(layer(x)): x [..., in] -> [..., out]; as one, unless somebody has put something in between."""
    heard = layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer)  # accelerate's take its place
    if type(layer) is Linear and not heard:
        return times(x, layer.weight, layer.bias, activation)
    return bent(layer(x), activation)


def is_plain() -> bool:
    """Whether numbers are only computed on a CPU: not derived, recorded or cast, as a bare operator could not be."""
    derived = torch.is_grad_enabled() or forward_ad._current_level >= 0
    return not (derived or cast(Any, torch.jit).is_tracing() or torch.is_autocast_enabled("cpu"))


def _large_and_plain(x: Tensor, weight: Tensor) -> bool:
    """Whether the weights are many, lie on a CPU as they are multiplied, and nothing else is wanted."""
    return (
        weight.numel() >= LARGE and is_plain() and type(weight) in (Tensor, nn.Parameter)
        and weight.device.type == "cpu" and weight.is_contiguous() and x.dtype == weight.dtype
        and x.shape[-1] == weight.shape[1]
    )  # fmt: skip


def _onednn_takes(x: Tensor, fused: bool) -> bool:
    onednn = cast(Any, torch.backends.mkldnn)
    if not (X86 and onednn.enabled and hasattr(ONEDNN, "_linear_pointwise")):
        return False
    # in bfloat16 PyTorch's own product is oneDNN's as well
    return x.dtype == torch.float32 or (fused and x.dtype == torch.bfloat16 and ONEDNN._is_mkldnn_bf16_supported())
