"""Taps: how a value inside the model gets its name.

A `Tap` is a module without parameters, put at the place where a value is made: `beta = self.beta(beta)`. Its module
path is the value's name (`layers.0.mixer.beta`), plain PyTorch forward hooks read it or replace it, the state dict
never sees it, and it costs one empty call when nobody listens.

Some values exist only on the readable path (softmax weights under a fused kernel, the recurrent state at every token).
The code that could form them asks `tap.wanted` first. Taps inside a recurrence (`state`, `erase`, `write`) fire once
per token with a token axis of length one, so that a hook which replaces the value acts on everything later.
"""

from collections.abc import Iterator

from torch import Tensor, nn


class Tap(nn.Module):
    """A named place in the forward pass.

    Args:
        axes: names of the value's axes, in order, separated by spaces: "batch token head".
        meaning: one line for the table of taps.
        lazy: the value is only formed, by the readable path, when somebody listens.
    """

    def __init__(self, axes: str, meaning: str, lazy: bool = False):
        super().__init__()
        self.axes = tuple(axes.split())
        self.meaning = meaning
        self.lazy = lazy

    def forward(self, value: Tensor) -> Tensor:
        return value

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._forward_hooks or self._forward_pre_hooks)

    def extra_repr(self) -> str:
        return " ".join(self.axes)


def taps(model: nn.Module) -> Iterator[tuple[str, Tap]]:
    """Every tap of a model with its name, in the order of the modules."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, Tap))
