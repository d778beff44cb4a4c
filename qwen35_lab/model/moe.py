"""Sparse mixture of experts with a shared expert.

    p = softmax(router · x)                      over all experts, in float32
    y = Σ_{i ∈ top-k} p_i / Σ p · expert_i(x)    the chosen weights renormalised to sum to one
      + sigmoid(shared gate · x) · shared(x)     an expert that every token uses

The order matters: softmax, then top-k, then renormalise. Experts are stored fused, `gate_up_proj` [E, 2F, H] with the
gate rows first, and `down_proj` [E, H, F].
Reference: Shazeer et al. 2017 (arXiv 1701.06538); `Qwen3_5MoeSparseMoeBlock` in transformers.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import get_ident

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TextConfig
from .mlp import SwiGLU
from .norm import wide
from .product import Linear, times
from .taps import Tap


@dataclass(frozen=True)
class Routing:
    """What can be turned in a router while the model runs."""

    top_k: int  # experts per token
    dtype: torch.dtype = torch.float32  # of the product router · x; in bfloat16 near-ties pick other experts
    stand_ins: Mapping[int, int] = field(default_factory=dict)  # expert -> the one that answers in its place
    masked: frozenset[int] = frozenset()  # experts that cannot be chosen; whoever turns the router sees to that


class SparseMoE(nn.Module):
    def __init__(self, config: TextConfig):
        super().__init__()
        H, E, width = config.hidden_size, config.num_experts, config.moe_intermediate_size
        self.width = width  # of a routed expert
        self.configured = Routing(config.num_experts_per_tok)
        self.turned: dict[int, Routing] = {}  # by thread: how it has turned this router
        self.router = Linear(H, E, bias=False)
        self.gate_up_proj = nn.Parameter(torch.empty(E, 2 * width, H))
        self.down_proj = nn.Parameter(torch.empty(E, H, width))
        self.stored: Callable[[int], tuple[Tensor, Tensor]] | None = None  # reads an expert that is not in memory
        self.shared_expert = SwiGLU(
            H, config.shared_expert_intermediate_size, "what the shared expert answers, before its gate"
        )
        self.shared_gate_proj = Linear(H, 1, bias=False)
        k = config.num_experts_per_tok
        self.router_logits = Tap(
            "batch token expert",
            "the router's score of every expert, before the softmax",
            dtype=torch.float32,
            expert=E,
        )
        self.expert_ids = Tap(
            "batch token choice", "the experts chosen for each token, best first", dtype=torch.int64, choice=k
        )
        self.expert_weights = Tap("batch token choice", "their weights, which sum to one", choice=k)
        self.expert_out = Tap(
            "batch token choice feature", "what each chosen expert answers, before weighting", choice=k, feature=H
        )
        self.shared_gate = Tap("batch token one", "how far the shared expert is let through, 0 to 1", one=1)
        self.out = Tap("batch token feature", "what the feed-forward adds to the residual stream", feature=H)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, token, hidden] -> [batch, token, hidden]"""
        ids, weights = self.route(x)
        answers = self.expert_out(self.run_experts(x, ids))
        routed = (answers * weights[..., None]).sum(-2)
        shared_gate = self.shared_gate(torch.sigmoid(self.shared_gate_proj(x)))
        return self.out(routed + shared_gate * self.shared_expert(x))

    @property
    def routing(self) -> Routing:
        """In this thread."""
        return self.turned.get(get_ident(), self.configured)

    @property
    def top_k(self) -> int:
        return self.routing.top_k

    def turn(self, stack: ExitStack, routing: Routing) -> None:
        """Route so, in this thread, until `stack` closes."""
        thread = get_ident()
        before = self.turned.get(thread, self.configured)
        stack.callback(self._turn_back, thread, before)
        self.turned[thread] = routing

    def _turn_back(self, thread: int, before: Routing) -> None:
        self.turned[thread] = before
        if before is self.configured:
            del self.turned[thread]

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The chosen experts and their weights, each [batch, token, top_k]."""
        dtype = self.routing.dtype
        if dtype == torch.float32:
            dtype = torch.promote_types(dtype, x.dtype)
        logits = self.router_logits(wide(F.linear(x.to(dtype), self.router.weight.to(dtype))))
        probabilities = logits.softmax(-1)
        chosen = self.expert_ids(probabilities.topk(self.top_k, dim=-1).indices)
        weights = probabilities.gather(-1, chosen)
        weights = weights / weights.sum(-1, keepdim=True)
        return chosen, self.expert_weights(weights.to(x.dtype))

    def run_experts(self, x: Tensor, ids: Tensor) -> Tensor:
        """Each chosen expert's answer, every expert run once: x [B, T, H], ids [B, T, k] -> [B, T, k, H]"""
        tokens, choices = x.flatten(0, 1), ids.flatten()
        order = choices.argsort(stable=True)  # pairs (token, choice), grouped by expert
        experts, counts = choices[order].unique_consecutive(return_counts=True)
        groups = tokens[order // ids.shape[-1]].split(counts.tolist())
        weights = self._weights()
        pairs = zip(experts.tolist(), groups, strict=True)
        answers = torch.cat([self.expert(e, group, weights) for e, group in pairs])
        return answers[order.argsort()].view(*ids.shape, -1)

    def expert(self, index: int, x: Tensor, weights: Callable[[int], tuple[Tensor, Tensor]] | None = None) -> Tensor:
        """One routed expert on some tokens: [n, H] -> [n, H]"""
        gate_up, down = (weights or self._weights())(self.routing.stand_ins.get(index, index))
        gate, up = times(x, gate_up).chunk(2, dim=-1)
        return times(F.silu(gate) * up, down)

    def _weights(self) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Reads an expert's two matrices."""
        if self.stored:
            return self.stored
        if not torch.is_grad_enabled():
            return lambda index: (self.gate_up_proj[index], self.down_proj[index])
        # apart all at once: the gradient of an index is as large as the whole stack, for every expert anew
        return list(zip(self.gate_up_proj, self.down_proj, strict=True)).__getitem__
