"""A long text in pieces, for inference: what lies between two products then stays in the processor's cache."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .taps import heard

PIECE = 512  # tokens


def is_long(module: nn.Module, x: Tensor) -> bool:
    """Whether x [batch, token, feature] should go through a module in pieces: nobody listens inside, nothing learns."""
    return x.shape[1] > PIECE and not torch.is_grad_enabled() and not heard(module)


def in_pieces(read: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What `read` makes of the pieces, one behind the other: [batch, token, feature]"""
    # through flat, as products are slower where a batch of one has the strides of the whole text
    parts = (part.flatten(0, 1).unflatten(0, (x.shape[0], -1)) for part in x.split(PIECE, dim=1))
    return torch.cat([read(part) for part in parts], dim=1)
