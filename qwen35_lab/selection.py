"""Which part of a value an edit means: places by the names of axes, tokens counted over all passes of a cache."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import InputError
from .model import Tap
from .passes import Passes, check_slice, pick, whole_numbers
from .trace import Trace

NEW = ("token", "query")  # axes along which the tokens of a pass are laid
Places = tuple[Tensor, ...]  # of each axis, those that are meant


class Selection:
    """The chosen places of one tap, met piece by piece as the value is made.

    `windows` begins every piece; `next` finds what is chosen in a window. Then `tokens` and `places` say, for the axis
    of new tokens, which of the chosen tokens are there, and at which place of the choice.
    """

    def __init__(self, name: str, tap: Tap, where: dict[str, Any], passes: Passes, words: str):
        self.name, self.tap, self.passes, self.words, self.where = name, tap, passes, words, where
        new = [n for n, axis in enumerate(tap.axes) if axis in NEW and axis not in tap.sizes]
        self.time = new[0] if new else None  # the axis of new tokens; what the vision tower makes has none
        for axis, choice in where.items():
            if axis not in tap.axes:
                named = ", ".join(a for a in tap.axes if a != "batch")
                raise InputError(f"{name} has no axis {axis!r}; choose among {named}.")
            if axis in tap.sizes and axis != "choice":  # a router that is turned makes as many choices as it is told
                pick(choice, tap.sizes[axis], axis)
            elif isinstance(choice, slice):
                check_slice(choice, axis)
            else:
                whole_numbers(choice, axis)
        self.fixed = {a: pick(where[a], tap.sizes[a], a) for a in where if a in tap.sizes and a != "choice"}
        self.seen = (0, 0)  # number of the pass, tokens of it that have fired
        self.row = 0  # of the batch: the window's first
        self.start = 0  # the window's first token
        self.shape = torch.Size()  # of the window
        self.at: Places = ()  # the places that are chosen in it
        self.tokens = torch.empty(0, dtype=torch.long)  # of the text, those of this window that are chosen
        self.places = self.tokens  # of these in the choice

    def windows(self, value: Tensor) -> Iterator[Places | None]:
        """The parts of a piece that hold tokens one after the other: None for all of it, or, where there is padding,
        one row's real tokens at a time, so that padding is neither counted nor changed."""
        if self.time is None:
            yield None
            return
        passes, size = self.passes, value.shape[self.time]
        number, fired = self.seen
        fired = fired if number == passes.number else 0
        start = passes.past + (fired if self.tap.recurrent else passes.new - size)  # logits may be of the last alone
        start = passes.slots if self.name.startswith("mtp.") else start  # slot i belongs to token i
        self.seen = (passes.number, fired + size)
        if passes.real is None:
            self.row, self.start = 0, start
            yield None
            return
        for row, real in enumerate(passes.real):
            here, keys = real[start : start + size].nonzero()[:, 0], real.nonzero()[:, 0]
            if len(here):
                self.row, self.start = row, int(real[:start].sum())
                window = [torch.arange(n) for n in value.shape]
                window[0], window[self.time] = torch.tensor([row]), here
                if self._keys is not None:
                    window[self._keys] = keys
                yield tuple(window)

    @property
    def maps(self) -> bool:
        """Whether the value says who looks at whom."""
        return not {"query", "seen_patch"}.isdisjoint(self.tap.axes)

    @property
    def _keys(self) -> int | None:
        """The axis of attention's keys, which grows."""
        return self.tap.axes.index("key") if "key" in self.tap.axes and "key" not in self.tap.sizes else None

    def next(self, window: Tensor) -> Places | None:
        """The places to change in a window; None if there are none."""
        self.shape, found = window.shape, []
        for axis, (name, size) in enumerate(zip(self.tap.axes, window.shape, strict=True)):
            choice = self.where.get(name, slice(None))
            if axis == self.time:
                at, self.places = self._among(choice, self.start, size)
                self.tokens = at + self.start
            elif axis == self._keys:
                at = self._among(choice, 0, size)[0]
            elif name == "batch" and self.time is not None:
                at = self._rows(choice, size)
            elif name in self.fixed:
                at = self.fixed[name]
            else:
                at = pick(choice, size, name) if name in self.where else torch.arange(size)
            if not len(at):
                return None
            found.append(at)
        self.at = tuple(found)
        return self.at

    def _rows(self, choice: Any, size: int) -> Tensor:
        """Of a window that has the whole batch, or one row of it."""
        if self.passes.real is None:
            return pick(choice, size, "batch")
        return torch.arange(int(self.row in pick(choice, len(self.passes.real), "batch").tolist()))

    def in_sight(self, window: Tensor) -> Tensor:
        """Of an attention map [batch, head, query, key]: which keys are not later than their query. Of one of the
        vision tower's: which patches are of the same frame."""
        if self.time is None:
            frames = self.passes.frames.to(window.device)
            return frames[:, None] == frames
        query, key = window.shape[-2:]
        return torch.ones(query, key, dtype=torch.bool, device=window.device).tril(key - query)

    def _among(self, choice: Any, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Of `size` tokens from `start` on, which are chosen, and their places in the choice."""
        if isinstance(choice, slice):
            low, step = max(0, self._token(choice.start or 0)), choice.step or 1
            present = torch.arange(start, start + size)
            inside = (present >= low) & ((present - low) % step == 0)
            if choice.stop is not None:
                inside &= present < self._token(choice.stop)
            tokens = present[inside]
            return tokens - start, (tokens - low) // step
        wanted = [self._token(n) for n in whole_numbers(choice, "token")]
        here = [(token - start, place) for place, token in enumerate(wanted) if start <= token < start + size]
        at, places = zip(*here, strict=True) if here else ((), ())
        return torch.tensor(at, dtype=torch.long), torch.tensor(places, dtype=torch.long)

    def _token(self, n: int) -> int:
        """A token counted from the first one; a negative number counts from the end of the prompt."""
        if n >= 0:
            return n
        prompt = self.passes.prompts[self.row]
        if prompt is None:
            raise InputError(
                f"{self.words}: {n} counts from the end of the prompt, which a cache that goes on does not know; "
                "set cache.prompt to the prompt's number of tokens before the first pass, or count from 0."
            )
        return n + prompt

    # ------------------------------------------------------------------ what is put there

    def spread(self, value: float | Tensor, part: Tensor) -> Tensor:
        """A number or a tensor (axes of the tap without batch, or fewer) as it meets this part."""
        if not isinstance(value, Tensor):
            return torch.tensor(value, device=part.device, dtype=_dtype(part, value)).expand(part.shape)
        axis = None if self.time is None else self.time - 1
        if axis is not None and value.ndim == len(self.tap.axes) - 1 and value.shape[axis] != 1:
            if len(self.places) and int(self.places.max()) >= value.shape[axis]:
                raise InputError(
                    f"{self.words}: the tensor has {value.shape[axis]} tokens, and more are chosen; "
                    "pass one value for each, or one for all."
                )
            value = value.index_select(axis, self.places.to(value.device))
        try:
            return value.to(part.device).expand(part.shape)
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
        if token is not None and self.time is None:
            raise InputError(f"{self.words}: {self.name} belongs to no token; leave out token.")
        value: Tensor = source.as_subclass(Tensor)
        for axis, name in enumerate(source.axes):
            size, at = value.shape[axis], self.at[axis + 1]
            if axis + 1 == self.time:
                at = self._source_tokens(token, size)
            elif axis + 1 == self._keys:
                value = self._with_keys(value, at)
            elif size != self.shape[axis + 1]:
                raise InputError(
                    f"{self.words}: there {self.name} has {name} {size}, and here {self.shape[axis + 1]}; "
                    "patch from a trace of a model, a routing and pictures that are alike in that."
                )
            value = value.index_select(axis, at.to(value.device))
        return value.to(part.device).expand(part.shape)

    def _source_tokens(self, token: int | Sequence[int] | None, size: int) -> Tensor:
        """Where to read, for each token of this part."""
        wanted = self.tokens.tolist()
        if token is not None:
            listed = whole_numbers(token, "token")
            if len(listed) > 1 and max(self.places.tolist()) >= len(listed):
                raise InputError(
                    f"{self.words}: {len(listed)} tokens to read from are too few; name one for each chosen one."
                )
            wanted = [listed[place if len(listed) > 1 else 0] for place in self.places.tolist()]
        if missing := [n for n in wanted if not -size <= n < size]:
            raise InputError(
                f"{self.words}: that trace has {size} tokens, and none at {missing[0]}; name the tokens to read from, "
                "patch_from(trace, token=…)."
            )
        return torch.tensor(wanted) % size

    def _with_keys(self, value: Tensor, keys: Tensor) -> Tensor:
        """A trace's attention map with room for keys that it does not have, and that no chosen query sees."""
        size, last = value.shape[-1], int(keys.max())
        seen = keys[keys <= self.tokens.max()]
        if len(seen) and int(seen.max()) >= size:
            raise InputError(
                f"{self.words}: that trace has {size} keys, and none at {int(seen.max())}; choose keys that it has, "
                f"edit(…, key=slice(0, {size}))."
            )
        return F.pad(value, (0, max(0, last + 1 - size)))

    def fitting(self, new: Tensor, part: Tensor) -> Tensor:
        """What takes the part's place, in its shape and dtype."""
        if not isinstance(new, Tensor) or new.shape != part.shape:
            got = f"shape {list(new.shape)}" if isinstance(new, Tensor) else f"a {type(new).__name__}"
            raise InputError(f"{self.words}: the new value has {got}, not {list(part.shape)}; return one that fits.")
        if not part.is_floating_point():
            if not torch.equal(new, new.round()):
                raise InputError(f"{self.words}: {self.name} holds whole numbers; put whole numbers there.")
            self._check_experts(new)
        return new.to(part.dtype)

    def _check_experts(self, ids: Tensor) -> None:
        limit, router = self.passes.experts(self.name), self.passes.router(self.name)
        if not 0 <= int(ids.min()) <= int(ids.max()) < limit:
            raise InputError(f"{self.words}: there are experts 0 to {limit - 1}; choose among them.")
        if masked := router.routing.masked.intersection(ids.unique().int().tolist()):
            raise InputError(f"{self.words}: expert {min(masked)} is masked; choose one that is not.")


def _dtype(part: Tensor, value: float) -> torch.dtype:
    """In which a number meets a part: exact for it, so that the result is rounded once."""
    if part.is_floating_point():
        return torch.promote_types(part.dtype, torch.float32)
    return part.dtype if float(value).is_integer() else torch.float64


def cross(at: Places, value: Tensor) -> Places:
    """An index for all combinations of places."""
    return tuple(a.to(value.device).view([-1 if n == axis else 1 for n in range(len(at))]) for axis, a in enumerate(at))
