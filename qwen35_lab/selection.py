"""Which part of a value an edit means: places by the names of axes, tokens counted over all passes of a cache."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .model import MTPHead, Tap, TextModel
from .model.moe import SparseMoE
from .model.taps import listen
from .trace import Trace

NEW = ("token", "query")  # axes along which the tokens of a pass are laid


class Passes:
    """Where a model's present pass stands in the text: a hook that notes it as every pass begins."""

    def __init__(self, stack: ExitStack, model: TextModel):
        self.model = model
        self.number = 0  # of the pass
        self.past = 0  # tokens that the cache held before it
        self.new = 0  # tokens that it reads
        self.prompt = 0  # tokens of the first pass, or of all up to its end if the cache was not empty then
        self.slots = 0  # of the MTP head, before those that it reads now
        self.reached: dict[str, bool] = {}  # an edit in words -> whether it has met the place that it wants to change
        listen(stack, model, self._begin, before=True)
        if model.mtp is not None:
            listen(stack, model.mtp, self._begin_head, before=True)

    def _begin(self, model: TextModel, args: tuple, kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        cache = kwargs["cache"] if "cache" in kwargs else (args[3] if len(args) > 3 else None)
        self.number += 1
        self.past = cache.length if cache is not None else 0
        self.new = ids.shape[1] if ids.ndim == 2 else 0
        if not self.past or not self.prompt:
            self.prompt = self.past + self.new

    def _begin_head(self, head: MTPHead, args: tuple, kwargs: dict[str, Any]) -> None:
        self.slots = cache.length if (cache := kwargs.get("cache")) is not None else 0

    def experts(self, name: str) -> int:
        """How many experts there are, by the name of one of the layer's taps."""
        ffn = self.model.get_submodule(name.rsplit(".", 1)[0])
        assert isinstance(ffn, SparseMoE)
        return ffn.gate_up_proj.shape[0]


class Selection:
    """The chosen places of one tap, met piece by piece as the value is made.

    `next` is called at every firing. Between two firings `present` says, for the axis of new tokens, which of the
    chosen tokens are in this piece, and at which place of the choice.
    """

    def __init__(self, name: str, tap: Tap, where: dict[str, Any], passes: Passes, words: str):
        self.name, self.tap, self.passes, self.words = name, tap, passes, words
        for axis in where:
            if axis not in tap.axes:
                named = ", ".join(a for a in tap.axes if a != "batch")
                raise InputError(f"{name} has no axis {axis!r}; choose among {named}.")
        self.where = where
        self.fixed = {a: pick(where[a], tap.sizes[a], a) for a in where if a in tap.sizes}
        self.seen = (0, 0)  # number of the pass, tokens of it that have fired
        self.tokens = torch.empty(0, dtype=torch.long)  # of the text, those of this piece that are chosen
        self.places = self.tokens  # of these in the choice
        self.keys = self.tokens  # of attention, those of this piece that are chosen
        passes.reached.setdefault(words, False)

    def next(self, value: Tensor) -> tuple[Tensor, ...] | None:
        """The places to change in this piece, as an index for it; None if there are none."""
        grid = []
        for axis, (name, size) in enumerate(zip(self.tap.axes, value.shape, strict=True)):
            if name in NEW and name not in self.tap.sizes:
                at = self._new_tokens(name, size)
            elif name in self.fixed:
                at = self.fixed[name]
            elif name in self.where:  # an axis that grows: the keys of attention
                at = self.keys = self._among(self.where[name], 0, size)[0]
            else:
                at = torch.arange(size)
                self.keys = at if name == "key" else self.keys
            if not len(at):
                return None
            grid.append(at.to(value.device).view([-1 if n == axis else 1 for n in range(value.ndim)]))
        self.passes.reached[self.words] = True
        return tuple(grid)

    def seen_keys(self, value: Tensor) -> Tensor:
        """Of an attention map [batch, head, query, key]: which keys are not later than their query."""
        query, key = value.shape[-2:]
        return torch.ones(query, key, dtype=torch.bool, device=value.device).tril(key - query)

    def _new_tokens(self, axis: str, size: int) -> Tensor:
        """Places in this piece, along the axis of new tokens."""
        number, fired = self.seen
        fired = fired if number == self.passes.number else 0
        end = self.passes.past + self.passes.new
        start = self.passes.past + fired if self.tap.recurrent else end - size  # logits may be of the last tokens alone
        start = self.passes.slots if self.name.startswith("mtp.") else start  # slot i belongs to token i
        self.seen = (self.passes.number, fired + size)
        at, self.places = self._among(self.where.get(axis, slice(None)), start, size)
        self.tokens = at + start
        return at

    def _among(self, choice: Any, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Of `size` tokens from `start` on, which are chosen, and their places in the choice."""
        end = self.passes.prompt
        if isinstance(choice, slice):
            low = choice.start or 0
            low = low + end if low < 0 else low
            high = choice.stop if choice.stop is None or choice.stop >= 0 else choice.stop + end
            step = choice.step or 1
            present = torch.arange(start, start + size)
            inside = (present >= low) & ((present - low) % step == 0)
            inside &= present < (start + size if high is None else high)
            tokens = present[inside]
            return tokens - start, (tokens - low) // step
        wanted = [n + end if n < 0 else n for n in whole_numbers(choice, "token")]
        here = [(token - start, place) for place, token in enumerate(wanted) if start <= token < start + size]
        at, places = zip(*here, strict=True) if here else ((), ())
        return torch.tensor(at, dtype=torch.long), torch.tensor(places, dtype=torch.long)

    def spread(self, value: float | Tensor, part: Tensor) -> Tensor:
        """A number or a tensor (axes of the tap without batch, or fewer) as it meets this piece."""
        if not isinstance(value, Tensor):
            return torch.tensor(value, device=part.device, dtype=_dtype(part, value)).expand(part.shape)
        axis = next((n for n, name in enumerate(self.tap.axes[1:]) if name in NEW and name not in self.tap.sizes), None)
        if axis is not None and value.ndim == len(self.tap.axes) - 1 and value.shape[axis] != 1:
            if len(self.places) and int(self.places.max()) >= value.shape[axis]:
                raise InputError(
                    f"{self.words}: the tensor has {value.shape[axis]} tokens, and more are chosen; "
                    "pass one value for each, or one for all."
                )
            value = value.index_select(axis, self.places.to(value.device))
        value = value.to(part.device)
        try:
            return value.expand(part.shape)
        except RuntimeError as error:
            raise InputError(
                f"{self.words}: a tensor {list(value.shape)} does not fit the chosen part {list(part.shape)} "
                "[batch, …]; pass one that does."
            ) from error

    def read(self, trace: Trace, token: int | Sequence[int] | None, part: Tensor) -> Tensor:
        """This part as another trace holds it."""
        source = trace[self.name]
        if source.axes != self.tap.axes[1:]:
            raise InputError(f"{self.words}: there {self.name} has the axes {', '.join(source.axes)}; trace it again.")
        value: Tensor = source.as_subclass(Tensor)
        for axis, name in enumerate(source.axes):
            size = value.shape[axis]
            if name in NEW and name not in self.tap.sizes:
                at = self.tokens if token is None else self._source_tokens(token, size)
            elif name in self.fixed:
                at = self.fixed[name]
            elif name == "key" and name not in self.tap.sizes:
                at = self.keys
            else:
                at = torch.arange(size)
            if len(at) and int(at.max()) >= size:
                raise InputError(
                    f"{self.words}: that trace has {size} tokens, and none at {int(at.max())}; name the tokens to read "
                    "from, patch_from(trace, token=…)."
                )
            value = value.index_select(axis, at.to(value.device))
        return self.spread(value.to(part.device)[None], part)

    def _source_tokens(self, token: int | Sequence[int], size: int) -> Tensor:
        wanted = [n + size if n < 0 else n for n in whole_numbers(token, "token")]
        if len(wanted) == 1:
            return torch.tensor(wanted * len(self.places))
        if len(self.places) and int(self.places.max()) >= len(wanted):
            raise InputError(
                f"{self.words}: {len(wanted)} tokens to read from are too few; name one for each chosen one."
            )
        return torch.tensor(wanted)[self.places]

    def fitting(self, new: Tensor, part: Tensor) -> Tensor:
        """What takes the part's place, in its shape and dtype."""
        if not isinstance(new, Tensor) or new.shape != part.shape:
            got = f"shape {list(new.shape)}" if isinstance(new, Tensor) else f"a {type(new).__name__}"
            raise InputError(f"{self.words}: the new value has {got}, not {list(part.shape)}; return one that fits.")
        if not part.is_floating_point():
            if not torch.equal(new, new.round()):
                raise InputError(f"{self.words}: {self.name} holds whole numbers; put whole numbers there.")
            limit = self.passes.experts(self.name) if self.name.endswith("expert_ids") else None
            if limit is not None and new.numel() and not 0 <= int(new.min()) <= int(new.max()) < limit:
                raise InputError(f"{self.words}: there are experts 0 to {limit - 1}; choose among them.")
        return new.to(part.dtype)


def _dtype(part: Tensor, value: float) -> torch.dtype:
    """In which a number meets a part: exact for it, so that the result is rounded once."""
    if part.is_floating_point():
        return torch.promote_types(part.dtype, torch.float32)
    return part.dtype if float(value).is_integer() else torch.float64


def whole_numbers(choice: Any, axis: str) -> list[int]:
    """A choice of places as a list."""
    listed = choice.tolist() if isinstance(choice, Tensor) else choice
    listed = [listed] if isinstance(listed, int) else listed
    if not isinstance(listed, Iterable) or isinstance(listed, str | dict):
        raise InputError(f"{axis} is {choice!r}; pass a number, a list of numbers, a range or a slice.")
    listed = list(listed)
    if any(isinstance(n, bool) or not isinstance(n, int) for n in listed) or not listed:
        raise InputError(f"{axis} is {choice!r}; pass a number, a list of numbers, a range or a slice.")
    if len(set(listed)) < len(listed):
        raise InputError(f"{axis} is {choice!r}, which names a place twice; name each once.")
    return listed


def pick(choice: Any, size: int, axis: str) -> Tensor:
    """Places on an axis of fixed size, as indices.

    Raises:
        InputError: a place that is not there.
    """
    if isinstance(choice, slice):
        return torch.arange(size)[choice]
    listed = whole_numbers(choice, axis)
    if wrong := [n for n in listed if not -size <= n < size]:
        raise InputError(f"{axis} {wrong[0]} is outside the {size} that there are; choose 0 to {size - 1}.")
    return torch.tensor([n % size for n in listed])
