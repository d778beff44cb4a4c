"""Gated DeltaNet, three layers in four: a memory of fixed size in place of attention.

    q, k, v = silu(conv(W x))        a causal depthwise convolution over the last 4 tokens, then heads
    β = sigmoid(W_b x)               write strength, one per value head and token
    g = −e^A_log softplus(W_a x + dt_bias)     log decay; half-life = ln 2 / −g tokens
    o = delta_rule(q/‖q‖ · K^-½, k/‖k‖, v, g, β)
    y = W_out( rms(o) w · silu(z) ),  z = W_z x

Differences from the paper's layer (Yang, Kautz & Hatamizadeh 2024, arXiv 2412.06464, fig. 1): several value heads share
a query/key head, and the output norm is plain (w), unlike the zero-centred norms of the residual stream.
A padding token writes nothing, decays nothing, and does not enter the convolution.
Reference: `Qwen3_5GatedDeltaNet` in transformers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TextConfig
from . import delta_rule, fast_delta_rule, kernels
from .cache import DeltaNetMemory, outlived
from .norm import GatedRMSNorm, l2_norm, wide
from .pieces import in_pieces, is_long
from .product import Linear
from .taps import Tap


class GatedDeltaNet(nn.Module):
    def __init__(self, config: TextConfig):
        super().__init__()
        self.key_dim, self.value_dim = config.linear_key_head_dim, config.linear_value_head_dim
        keys = config.linear_num_key_heads * self.key_dim
        values = config.linear_num_value_heads * self.value_dim
        self.widths = (keys, keys, values)
        self.state_dtype = getattr(torch, config.state_dtype)
        self.in_proj_qkv = Linear(config.hidden_size, sum(self.widths), bias=False)
        self.in_proj_z = Linear(config.hidden_size, values, bias=False)
        self.in_proj_b = Linear(config.hidden_size, config.linear_num_value_heads, bias=False)
        self.in_proj_a = Linear(config.hidden_size, config.linear_num_value_heads, bias=False)
        self.conv = CausalConv(sum(self.widths), config.linear_conv_kernel_dim)
        self.A_log = nn.Parameter(torch.zeros(config.linear_num_value_heads))
        self.dt_bias = nn.Parameter(torch.ones(config.linear_num_value_heads))
        self.norm = GatedRMSNorm(self.value_dim, config.rms_norm_eps, config.output_gate)
        self.out_proj = Linear(values, config.hidden_size, bias=False)
        key: dict[str, Any] = {"key_head": config.linear_num_key_heads, "key": self.key_dim, "dtype": torch.float32}
        gate: dict[str, Any] = {"head": config.linear_num_value_heads, "dtype": torch.float32}
        value: dict[str, Any] = {"head": config.linear_num_value_heads, "value": self.value_dim}
        inside: dict[str, Any] = {**value, "lazy": True, "dtype": torch.float32}  # the recurrence
        self.q = Tap("batch token key_head key", "queries, L2-normalised and scaled by K^-½", **key)
        self.k = Tap("batch token key_head key", "keys, L2-normalised", **key)
        self.v = Tap(
            "batch token head value", "values to be stored; made, like q and k, of a few tokens up to here", **value
        )
        self.z = Tap("batch token head value", "output gate before its activation", **value)
        self.beta = Tap("batch token head", "write strength, 0 to 1", **gate)
        self.decay = Tap("batch token head", "log decay g ≤ 0; the memory is multiplied by e^g", **gate)
        self.erase = Tap("batch token head value", "β Sᵀk, what is taken out of the memory under this key", **inside)
        self.write = Tap("batch token head value", "β v, what is put in its place", **inside)
        self.state = Tap("batch token head key value", "the memory S after each token", key=self.key_dim, **inside)
        self.read = Tap("batch token head value", "Sᵀq, what the query finds", **value)
        self.out = Tap("batch token feature", "what the mixer adds to the residual stream", feature=config.hidden_size)

    def forward(self, x: Tensor, real: Tensor | None, memory: DeltaNetMemory | None) -> Tensor:
        """x [batch, token, hidden] -> [batch, token, hidden].

        Args:
            real: bool [batch, token], False at padding; None if there is none.
            memory: the state after the earlier tokens; replaced by the state after these.
        """
        if real is None and is_long(self, x):
            memory = memory or DeltaNetMemory()
            return in_pieces(lambda part: self(part, None, memory), x)
        if real is not None:
            x = x * real[..., None]
        qkv, conv_state = self.conv(self.in_proj_qkv(x), memory.conv if memory else None, real)
        q, k, v = F.silu(qkv).split(self.widths, dim=-1)
        q = self.q(l2_norm(q.unflatten(-1, (-1, self.key_dim))) * self.key_dim**-0.5)
        k = self.k(l2_norm(k.unflatten(-1, (-1, self.key_dim))))
        v = self.v(v.unflatten(-1, (-1, self.value_dim)))
        beta, g = self.gates(x)
        if real is not None:
            beta, g = beta * real[..., None], g * real[..., None]
        before = memory.state if memory else None
        before = before.clone() if before is not None and outlived(before) else before
        o, state = self._remember(q, k, v, self.decay(g), self.beta(beta), before)
        if memory is not None:
            memory.conv, memory.state = conv_state, state.to(torch.promote_types(self.state_dtype, x.dtype))
        z = self.z(self.in_proj_z(x).unflatten(-1, (-1, self.value_dim)))
        return self.out(self.out_proj(self.norm(self.read(o), z).flatten(2)))

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Write strength β and log decay g, each [batch, token, value head], in float32 at least."""
        beta = torch.sigmoid(wide(self.in_proj_b(x)))
        g = -wide(self.A_log).exp() * F.softplus(wide(self.in_proj_a(x)) + wide(self.dt_bias))
        return beta, g

    def _remember(
        self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.erase.wanted or self.write.wanted or self.state.wanted:
            return delta_rule.recurrent(q, k, v, g, beta, state, watch=self._watch)
        if kernels.fits(k, v):
            return kernels.delta_rule(q, k, v, g, beta, state)
        here = v.device.type in ("cpu", "meta")  # where costs are counted without a number being computed
        plain = not (torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"))
        forms = fast_delta_rule if here and plain else delta_rule
        form = forms.recurrent if v.shape[1] == 1 else forms.chunked
        return form(q, k, v, g, beta, state)

    def _watch(self, name: str, value: Tensor) -> Tensor:
        tap = getattr(self, name)
        return tap(value[:, None])[:, 0] if tap.wanted else value


class CausalConv(nn.Module):
    """Depthwise causal convolution: y_t = Σ_i w_i ⊙ x_{t−K+1+i} over the last K tokens."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, kernel))

    def forward(self, x: Tensor, state: Tensor | None, real: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [batch, token, channel] -> the same shape, and the next state.

        Args:
            state: the last K − 1 inputs before x, [batch, K − 1, channel]; None for zeros.
            real: bool [batch, token]; padding is passed over as if it were not there.
        """
        past = self.weight.shape[-1] - 1
        if state is None:
            state = x.new_zeros(x.shape[0], past, x.shape[-1])
        if real is None:
            window = torch.cat((state, x), dim=1)
            return self._slide(window), window[:, x.shape[1] :].clone()  # not a view, which would keep all of it
        order = (~real).int().argsort(dim=1, stable=True)  # brings the real tokens together, behind the state
        window = torch.cat((state, x.gather(1, order[..., None].expand_as(x))), dim=1)
        y = self._slide(window).gather(1, order.argsort(dim=1)[..., None].expand_as(x))
        last = real.sum(dim=1)[:, None] + torch.arange(past, device=x.device)  # the inputs before each row's end
        return y, window.gather(1, last[..., None].expand(-1, -1, x.shape[-1]))

    def _slide(self, window: Tensor) -> Tensor:
        """[batch, K − 1 + token, channel] -> [batch, token, channel]"""
        if torch.is_grad_enabled():
            return F.conv1d(window.mT, self.weight, groups=self.weight.shape[0]).mT
        if window.shape[1] == self.weight.shape[-1]:
            return (wide(window) * wide(self.weight[:, 0].mT)).sum(1, keepdim=True).to(window.dtype)
        # as a picture of one row whose channels lie together: many times faster on a CPU, where nothing is turned round
        picture = window.mT[:, :, None].contiguous(memory_format=torch.channels_last)
        return F.conv2d(picture, self.weight[:, :, None], groups=self.weight.shape[0])[:, :, 0].mT

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, kernel={self.weight.shape[-1]}"
