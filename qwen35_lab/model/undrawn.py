"""Nothing is drawn for a model without memory.

On PyTorch's device "meta" a model has modules, names and shapes, and no weights. PyTorch draws first values there all
the same: that computes nothing, and takes a second the first time, for what stands in for random numbers has to be
imported.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

FILLS = {Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_}  # and all of torch.nn.init


class Undrawn(TorchFunctionMode):
    """Within it, in this thread, tensors that are to be filled with first values stay as they are."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in FILLS or getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def undrawn_on_meta() -> AbstractContextManager[object]:
    """`Undrawn` where new tensors are on "meta"; elsewhere nothing changes."""
    return Undrawn() if torch.get_default_device().type == "meta" else nullcontext()
