"""Taps: how a value inside the model gets its name.

A `Tap` is a module without parameters, put at the place where a value is made: `beta = self.beta(beta)`. Its module
path is the value's name (`layers.0.mixer.beta`), plain PyTorch forward hooks read it or replace it, the state dict
never sees it, and it costs next to nothing when nobody listens.

Some values exist only on the readable path (softmax weights under a fused kernel, the recurrent state at every token).
The code that could form them asks `tap.wanted` first. Taps inside a recurrence (`state`, `erase`, `write`) fire once
per token with a token axis of length one, so that a hook which replaces the value acts on everything later.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

# axes whose length a pass decides, unless the tap says otherwise
GROWING = ("batch", "token", "query", "key", "patch", "seen_patch", "cell")


class Tap(nn.Module):
    """A named place in the forward pass.

    Args:
        axes: names of the value's axes, in order, separated by spaces: "batch token head".
        meaning: one line for the table of taps.
        lazy: the value is only formed, by the readable path, when somebody listens.
        dtype: None for the model's own, torch.float32 for "that at least", or a dtype of whole numbers.
        sizes: the length of every axis that the configuration decides: head=16.
    """

    def __init__(
        self, axes: str, meaning: str, *, lazy: bool = False, dtype: torch.dtype | None = None, **sizes: int
    ):  # fmt: skip
        super().__init__()
        self.axes = tuple(axes.split())
        self.meaning = meaning
        self.lazy = lazy
        self.dtype = dtype
        self.sizes = sizes

    def __call__(self, value: Tensor) -> Tensor:
        """As of every module, but at once where this tap has no hook of any kind: a pass goes through many taps.

        Hooks for all modules (`register_module_forward_hook`) are not asked."""
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks:
            return super().__call__(value)
        return value

    def forward(self, value: Tensor) -> Tensor:
        return value

    @property
    def wanted(self) -> bool:
        """Whether anybody listens, in this thread."""
        if not self._forward_hooks and not self._forward_pre_hooks:
            return False
        hooks = (*self._forward_hooks.values(), *self._forward_pre_hooks.values())
        return any(getattr(hook, "here", True) for hook in hooks)

    @property
    def recurrent(self) -> bool:
        """Whether the value is made inside a loop over the tokens, and so comes one token at a time."""
        return self.lazy and "token" in self.axes

    def shape(self, batch: int, tokens: int, past: int = 0, patches: int = 0, cells: int = 0) -> tuple[int, ...]:
        """The value's shape in a pass over `tokens` new tokens that continues `past` earlier ones, and over pictures
        of so many patches, which become so many cells."""
        growing = {"batch": batch, "token": tokens, "query": tokens, "key": past + tokens}
        growing |= {"patch": patches, "seen_patch": patches, "cell": cells}
        return tuple(self.sizes[axis] if axis in self.sizes else growing[axis] for axis in self.axes)

    def dtype_in(self, model: torch.dtype) -> torch.dtype:
        """The value's dtype in a model of a dtype."""
        if self.dtype is None or not self.dtype.is_floating_point:
            return self.dtype or model
        return torch.promote_types(self.dtype, model)

    def extra_repr(self) -> str:
        return " ".join(f"{axis}={self.sizes[axis]}" if axis in self.sizes else axis for axis in self.axes)


class Hook:
    """What a listener does, in the thread that began to listen: what runs in other threads passes by unheard."""

    def __init__(self, act: Callable):
        self.act, self.thread = act, get_ident()

    @property
    def here(self) -> bool:
        return self.thread == get_ident()

    def __call__(self, *given: Any) -> Any:
        return self.act(*given) if self.here else None


def listen(stack: ExitStack, module: nn.Module, act: Callable, *, before: bool = False) -> None:
    """Register a forward hook for this thread that is gone when `stack` closes.

    Args:
        act: as PyTorch's forward hooks: (module, inputs, value) -> another value or None.
        before: a hook on what goes into the module, with keyword arguments, instead of on what comes out.
    """
    hook = Hook(act)
    hooks = module._forward_pre_hooks if before else module._forward_hooks

    def remove() -> None:  # found by the hook itself: an interrupt may have come before PyTorch told its number
        for key in [key for key, found in tuple(hooks.items()) if found is hook]:
            del hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)

    stack.callback(remove)
    if before:
        module.register_forward_pre_hook(hook, with_kwargs=True)
    else:
        module.register_forward_hook(hook)


def heard(module: nn.Module) -> bool:
    """Whether anybody listens to anything inside a module, in any thread."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def taps(model: Any) -> Iterator[tuple[str, Tap]]:
    """Every tap of a model, or of a `Qwen`'s model, with its name, in the order of the modules."""
    model = model if isinstance(model, nn.Module) else model.model
    return ((name, module) for name, module in model.named_modules() if isinstance(module, Tap))
