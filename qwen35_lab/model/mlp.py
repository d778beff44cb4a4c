"""SwiGLU, the feed-forward of a dense layer and of every expert: down( silu(gate x) ⊙ up x ).

Reference: Shazeer 2020 (arXiv 2002.05202), eq. 6.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from .pieces import in_pieces, is_long
from .product import Linear
from .taps import Tap

ADDED = "what the feed-forward adds to the residual stream"


class SwiGLU(nn.Module):
    def __init__(self, hidden_size: int, intermediate_size: int, meaning: str = ADDED):
        """`meaning` is what the result is, for the table of taps."""
        super().__init__()
        self.gate_proj = Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = Linear(intermediate_size, hidden_size, bias=False)
        self.out = Tap("batch token feature", meaning, feature=hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, token, hidden] -> [batch, token, hidden]"""
        if is_long(self, x):
            return in_pieces(self, x)
        return self.out(self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x)))
