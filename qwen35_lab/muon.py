"""Muon for many matrices at once: fused experts, the kernel of the vision tower's patches, and matrices of one shape.

    M ← μ M + G                     momentum; the step looks ahead along it (Nesterov): U = G + μ M
    O = NewtonSchulz(U)             towards U's nearest matrix with all singular values equal
    W ← (1 − rate · decay) W − rate · 0.2 √max(rows, columns) · O

torch.optim.Muon takes matrices only, one after the other. Here a parameter [expert, row, column] is that many matrices,
and all that share a shape go through Newton–Schulz together, which is what makes small ones quick.
Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the scale 0.2 √max: Liu et al. 2025, arXiv
2502.16982, for updates as large as AdamW's.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
TINY = 1e-7


class StackedMuon(Optimizer):
    """Parameters of two dimensions are matrices, of three stacks of them; more are flattened to [first, all others].

    Args:
        lr: an update has a root mean square of about 0.2 times this.
        steps: of Newton–Schulz; 3 are nearly as good as 5, and where matrices are many they are what a step costs.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float, weight_decay: float = 0.0,
        momentum: float = 0.95, steps: int = 5,
    ):  # fmt: skip
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        assert closure is None, "the loss is computed before"
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = _matrices(self._ahead(parameter, group["momentum"]))
                    alike[tuple(update.shape[1:])].append((parameter, update))
            for (rows, columns), members in alike.items():
                even = orthogonalised(torch.cat([update for _, update in members]), group["steps"])
                scale = -group["lr"] * 0.2 * max(rows, columns) ** 0.5
                for (parameter, _), part in zip(members, even.split([len(u) for _, u in members]), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(part.view_as(parameter), alpha=scale)

    def _ahead(self, parameter: Tensor, momentum: float) -> Tensor:
        """Keep the momentum; returns the gradient with what is expected of the next step."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        kept = state["momentum"].mul_(momentum).add_(parameter.grad)
        return parameter.grad + momentum * kept


def _matrices(x: Tensor) -> Tensor:
    """-> [matrix, row, column]"""
    return x if x.ndim == 3 else x.flatten(1)[None]


def orthogonalised(x: Tensor, steps: int) -> Tensor:
    """Newton–Schulz on matrices [matrix, row, column], in bfloat16 as in torch.optim.Muon; returns x's dtype."""
    a, b, c = COEFFICIENTS
    tall = x.shape[-2] > x.shape[-1]
    y = (x.mT if tall else x).bfloat16()
    y = y / y.norm(dim=(-2, -1), keepdim=True).clamp(min=TINY)
    for _ in range(steps):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return (y.mT if tall else y).to(x.dtype)
