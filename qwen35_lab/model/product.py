"""Products with weights on a CPU, for passes that train nothing: the same sums in fewer passes over memory.

`times` and `through` are `F.linear` and a call of the layer; where those are not to be had faster, or gradients are
taken, or a hook listens to the layer, they are exactly that. Measured with PyTorch 2.13 on x86.
"""

import platform
from typing import Any

import torch
from torch import Tensor, nn
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


def times(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ: x [n, in], weight [out, in] -> [n, out]

    In float32 MKL takes longer for a matrix and one vector than for a batch of two such products with half of the rows
    each: up to twice as long where rows are short.
    """
    out, width = weight.shape
    if x.shape[:-1] != (1,) or out % 2 or weight.dtype != torch.float32 or not _plain(weight):
        return F.linear(x, weight)
    halves = weight.view(2, out // 2, width)
    return torch.bmm(halves, x.T.expand(2, width, 1)).view(1, out)


def through(layer: nn.Linear, x: Tensor, activation: str = "") -> Tensor:
    """activation(layer(x)): x [..., in] -> [..., out]

    oneDNN adds the bias and bends each block of the product while that is still in the cache.
    """
    if not _onednn_takes(layer, x):
        y = layer(x)
        return ACTIVATIONS[activation](y) if activation else y
    kind, form = IN_ONEDNN[activation]
    return ONEDNN._linear_pointwise(x, layer.weight, layer.bias, kind, [], form)


def _onednn_takes(layer: nn.Linear, x: Tensor) -> bool:
    heard = layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer)  # accelerate's take its place
    if type(layer) is not nn.Linear or heard or not _plain(layer.weight) or x.dtype != layer.weight.dtype:
        return False
    if not (X86 and torch.backends.mkldnn.is_available() and hasattr(ONEDNN, "_linear_pointwise")):
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and ONEDNN._is_mkldnn_bf16_supported())


def _plain(weight: Tensor) -> bool:
    """Whether it lies on a CPU as it is multiplied, and is not learned; fewer bits have products of their own."""
    kept = type(weight) in (Tensor, nn.Parameter) and weight.device.type == "cpu" and weight.is_contiguous()
    return kept and not torch.is_grad_enabled()
