"""Where the model stands in the text while it runs, and how places on an axis are named."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from operator import index
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .model import MTPHead, MultimodalModel, TextModel
from .model.moe import SparseMoE
from .model.taps import Hook, listen
from .model.vision import VisionTower


class Passes:
    """Where a model's present pass stands in the text: a hook that notes it as every pass begins.

    Tokens are counted from the first one that the cache has read, padding left out.
    """

    def __init__(self, stack: ExitStack, model: TextModel, edits: Sequence[Any]):
        self.model, self.edits = model, edits
        self.number = 0  # of the pass
        self.past = 0  # tokens that the cache held before it, with padding
        self.new = 0  # tokens that it reads, with padding
        self.slots = 0  # of the MTP head, before those that it reads now
        self.tokens = 0  # the most that any pass has had behind it
        self.real: Tensor | None = None  # bool [batch, past + new], False at padding; None if there is none
        self.prompts: list[int | None] = [None]  # tokens of each row's prompt, or of every one's; None is not known
        self.reached: dict[str, bool] = {}  # an edit in words -> whether it has met the place that it wants to change
        self.frames = torch.empty(0, dtype=torch.long)  # of the pictures that were seen last: each patch's frame
        listen(stack, model, self, before=True)
        if isinstance(model, MultimodalModel):
            listen(stack, model.vision, self._look, before=True)
        if model.mtp is not None:
            listen(stack, model.mtp, self._begin_head, before=True)

    def __call__(self, model: TextModel, args: tuple, kwargs: dict[str, Any]) -> None:
        given = dict(zip(("input_ids", "attention_mask", "position_ids", "cache"), args)) | kwargs
        ids, mask, cache = (given.get(name) for name in ("input_ids", "attention_mask", "cache"))
        if not isinstance(ids, Tensor) or ids.ndim != 2:
            return  # the model refuses it
        self.number += 1
        self.past = cache.length if cache is not None else 0
        self.new = ids.shape[-1]
        self.tokens = max(self.tokens, self.past + self.new)
        self.real = None if mask is None or bool(mask.all()) else mask.bool().cpu()
        if self.real is not None and self.real.shape != (len(ids), self.past + self.new):
            self.real = None  # the model refuses it
        self.prompts = self._prompts(len(ids), None if cache is None else cache.prompt)
        if len(set(self.prompts)) > 1 and self.real is None:
            self.real = torch.ones(len(ids), self.past + self.new, dtype=torch.bool)

    def _look(self, tower: VisionTower, args: tuple, kwargs: dict[str, Any]) -> None:
        grids = kwargs["grids"] if "grids" in kwargs else args[1]
        sizes = torch.tensor([rows * columns for frames, rows, columns in grids for _ in range(frames)])
        self.frames = torch.arange(len(sizes)).repeat_interleave(sizes)

    def _begin_head(self, head: MTPHead, args: tuple, kwargs: dict[str, Any]) -> None:
        self.slots = cache.length if (cache := kwargs.get("cache")) is not None else 0

    def _prompts(self, batch: int, told: Tensor | int | None) -> list[int | None]:
        if told is not None:
            return torch.as_tensor(told).cpu().expand(batch).tolist()
        if self.past:
            return [None] * batch
        return [self.new] * batch if self.real is None else self.real.sum(-1).tolist()

    def experts(self, name: str) -> int:
        """How many experts there are, by the name of one of the layer's taps."""
        return self.router(name).router.out_features

    def router(self, name: str) -> SparseMoE:
        """Of the layer that has a tap of this name."""
        ffn = self.model.get_submodule(name.rsplit(".", 1)[0])
        assert isinstance(ffn, SparseMoE)
        return ffn


def in_force(model: TextModel) -> tuple[Any, ...]:
    """The edits that act on a model now, in this thread, in their order."""
    hooks = [hook for hook in tuple(model._forward_pre_hooks.values()) if isinstance(hook, Hook) and hook.here]
    return tuple(edit for hook in hooks if isinstance(hook.act, Passes) for edit in hook.act.edits)


def unedited(model: TextModel) -> dict[int, Any]:
    """For `copy.deepcopy`, by id: in place of hooks and of turned routers, none."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs")
    held = {id(getattr(module, name)): OrderedDict() for module in model.modules() for name in hooks}
    return held | {id(module.turned): {} for module in model.modules() if isinstance(module, SparseMoE)}


def whole_numbers(choice: Any, axis: str) -> list[int]:
    """A choice of places as a list.

    Raises:
        InputError: it is none, or it names a place twice.
    """
    wrong = InputError(f"{axis} is {choice!r}; pass a number, a list of numbers, a range or a slice.")
    listed = choice.tolist() if hasattr(choice, "tolist") else choice  # a tensor, or numpy's
    if isinstance(listed, str | dict):
        raise wrong
    listed = list(listed) if isinstance(listed, Iterable) else [listed]
    try:
        numbers = [index(n) for n in listed if not isinstance(n, bool)]
    except TypeError as error:
        raise wrong from error
    if not numbers or len(numbers) < len(listed):
        raise wrong
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{axis} is {choice!r}, which names a place twice; name each once.")
    return numbers


def check_slice(choice: slice, axis: str) -> None:
    """Raises InputError unless the slice runs forwards, between whole numbers."""
    try:
        steps = slice(choice.start, choice.stop, choice.step).indices(1)[2]
    except (TypeError, ValueError) as error:
        raise InputError(f"{axis} is {choice!r}; pass whole numbers in a slice, and a step above 0.") from error
    if steps < 0:
        raise InputError(f"{axis} is {choice!r}, which runs backwards; pass a list, or a range(9, 2, -1).")


def pick(choice: Any, size: int, axis: str) -> Tensor:
    """Places on an axis of known size, as indices.

    Raises:
        InputError: a place that is not there.
    """
    if isinstance(choice, slice):
        check_slice(choice, axis)
        return torch.arange(size)[choice]
    listed = whole_numbers(choice, axis)
    if wrong := [n for n in listed if not -size <= n < size]:
        raise InputError(f"{axis} {wrong[0]} is outside the {size} that there are; choose 0 to {size - 1}.")
    if len({n % size for n in listed}) < len(listed):
        raise InputError(f"{axis} is {choice!r}, which names a place twice; name each once.")
    return torch.tensor([n % size for n in listed])
