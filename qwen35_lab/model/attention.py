"""Gated full attention, one layer in four.

Differences from a plain attention layer: q and k are RMS-normalised per head before the rotation, only part of a head
is rotated (see rope.py), a few key/value heads are shared by groups of query heads (GQA), and a sigmoid gate computed
from the layer's input, one value per head and feature, decides how much of the result passes.
`q_proj` interleaves the two per head: `head_dim` query rows, then `head_dim` gate rows, for every head.

Reference: Ainslie et al. 2023, GQA (arXiv 2305.13245); Qiu et al. 2025, gated attention (arXiv 2505.06708);
`Qwen3_5Attention` in transformers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TextConfig
from .cache import AttentionMemory
from .norm import RMSNorm, wide
from .product import Linear, is_plain
from .rope import rotate
from .taps import Tap

BLOCK = 256  # tokens that follow earlier ones and look back at once, on a GPU and where something is derived
FLASH: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


class GatedAttention(nn.Module):
    def __init__(self, config: TextConfig):
        super().__init__()
        D, bias = config.head_dim, config.attention_bias
        self.head_dim = D
        self.q_proj = Linear(config.hidden_size, config.num_attention_heads * 2 * D, bias)
        self.k_proj = Linear(config.hidden_size, config.num_key_value_heads * D, bias)
        self.v_proj = Linear(config.hidden_size, config.num_key_value_heads * D, bias)
        self.o_proj = Linear(config.num_attention_heads * D, config.hidden_size, bias)
        self.q_norm = RMSNorm(D, config.rms_norm_eps)
        self.k_norm = RMSNorm(D, config.rms_norm_eps)
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.q = Tap("batch token head feature", "queries, normalised and rotated", head=heads, feature=D)
        self.k = Tap(
            "batch token kv_head feature", "keys of the new tokens, normalised and rotated", kv_head=kv_heads, feature=D
        )
        self.v = Tap("batch token kv_head feature", "values of the new tokens", kv_head=kv_heads, feature=D)
        self.scores = Tap(
            "batch head query key", "q·k/√d, −inf where masked, before the softmax", lazy=True, head=heads
        )
        self.weights = Tap("batch head query key", "attention weights; each row sums to one", lazy=True, head=heads)
        self.gate = Tap("batch token head feature", "the output gate after its sigmoid, 0 to 1", head=heads, feature=D)
        self.out = Tap("batch token feature", "what the mixer adds to the residual stream", feature=config.hidden_size)

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, memory: AttentionMemory | None
    ) -> Tensor:
        """x [batch, token, hidden] -> [batch, token, hidden].

        Args:
            rotary: cos and sin of the new tokens, see rope.py.
            mask: who may look at whom, bool [batch, 1, query, key]; None if the only rule is "not at later tokens".
            memory: keys and values of earlier tokens; the new ones are appended.
        """
        q, gate = self.q_proj(x).unflatten(-1, (-1, 2, self.head_dim)).unbind(-2)  # [batch, token, head, feature]
        k = self.k_proj(x).unflatten(-1, (-1, self.head_dim))
        v = self.v(self.v_proj(x).unflatten(-1, (-1, self.head_dim)))
        q = self.q(rotate(self.q_norm(q), *rotary))
        k = self.k(rotate(self.k_norm(k), *rotary))
        if memory is not None:
            k, v = memory.append(k, v)
        attend = self._attend_readably if self.scores.wanted or self.weights.wanted else self._attend_fused
        y = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask).transpose(1, 2)
        y = y * self.gate(torch.sigmoid(gate))
        return self.out(self.o_proj(y.flatten(2)))

    def _attend_fused(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q kᵀ/√d) v by PyTorch's fused kernel, which never forms the weights."""
        if q.shape[2] == 1:  # it may look at everything: the queries that share a key stand where its tokens would
            grouped = q.reshape(*k.shape[:2], -1, self.head_dim)
            y = F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask)
            return y.reshape(q.shape)  # not `view`: on a GPU, in float32 or with a mask, tokens lie before heads
        if mask is None and q.shape[2] < k.shape[2]:
            return (self._attend_apart if flash_takes(q, k, v) else self._attend_in_blocks)(q, k, v)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)

    def _attend_apart(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Tokens that follow earlier ones: these, of which every query sees all, and the new ones apart, with no mask.

        q [batch, head, token, feature], k and v [batch, kv_head, earlier + token, feature] -> the shape of q.
        Each result is weighed by the sum of its exponentials, the logarithm of which the kernel returns.
        """
        past, sharing = k.shape[2] - q.shape[2], q.shape[1] // k.shape[1]
        # in the first, queries that share a key stand where its tokens would
        before, sum_before = FLASH(q.reshape(*k.shape[:2], -1, self.head_dim), k[:, :, :past], v[:, :, :past])
        own = (x[:, :, past:].repeat_interleave(sharing, dim=1) for x in (k, v))
        among, sum_among = FLASH(q, *own, is_causal=True)
        share = torch.sigmoid(sum_before.reshape(sum_among.shape) - sum_among)[..., None]
        return wide(among).lerp_(wide(before.reshape(among.shape)), share).to(q.dtype)

    def _attend_in_blocks(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Tokens that follow earlier ones, a few at a time: the mask of all would be as large as the text is long."""
        T, past, blocks = q.shape[2], k.shape[2] - q.shape[2], []
        for begin in range(0, T, BLOCK):
            block = q[:, :, begin : begin + BLOCK]
            end = past + begin + block.shape[2]
            mask = later(block.shape[2], end, q.device).logical_not()
            seen = k[:, :, :end], v[:, :, :end]
            blocks.append(F.scaled_dot_product_attention(block, *seen, attn_mask=mask, enable_gqa=True))
        return torch.cat(blocks, dim=2)

    def _attend_readably(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """The same, written out, so that scores and weights can be seen and changed."""
        sharing = q.shape[1] // k.shape[1]
        k, v = (z.repeat_interleave(sharing, dim=1) for z in (k, v))
        scores = q @ k.mT / self.head_dim**0.5
        if mask is None and q.shape[2] > 1:
            mask = ~later(q.shape[2], k.shape[2], q.device)
        scores = self.scores(scores if mask is None else scores.masked_fill(~mask, -torch.inf))
        if mask is not None:  # once more: an edit of the scores does not open the future
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = wide(scores).softmax(-1).to(q.dtype)
        if mask is not None:
            weights = weights.masked_fill(~mask, 0)  # a padding token that sees nobody: 0, not 0/0
        weights = self.weights(weights)
        return (weights if mask is None else weights.masked_fill(~mask, 0)) @ v  # nor does an edit of the weights


def flash_takes(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether the CPU's kernel can be called by itself: it checks nothing, and its logarithms have no derivative."""
    alike = all(x.device.type == "cpu" and x.stride(-1) == 1 and x.dtype == q.dtype for x in (q, k, v))
    return FLASH is not None and alike and is_plain()


def later(new: int, seen: int, device: torch.device) -> Tensor:
    """Which of the tokens seen come after each of the `new` ones, the last of them: bool [new, seen]"""
    return torch.ones(new, seen, dtype=torch.bool, device=device).triu(seen - new + 1)


def attention_mask_for(real: Tensor | None, new: int, past: int) -> Tensor | None:
    """Who may look at whom: bool [batch, 1, new, past + new], or None for the plain rule "not at later tokens".

    Args:
        real: bool [batch, past + new], False at padding; None if there is none.
        new, past: tokens of this call, and before it.
    """
    return None if real is None else (real[:, None, :] & ~later(new, past + new, real.device))[:, None]
