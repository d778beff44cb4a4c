"""What was kept of a forward pass: values by tap name, with named axes.

    trace = qwen.trace("cat red . dog blue", record=["layers.*.mixer.beta"])
    trace["layers.0.mixer.beta"]                    # [token, head]
    trace["layers.0.mixer.beta"].at(token=4)        # [head]
    trace.save("a.trace"); lab.Trace.load("a.trace")

A trace is data: it knows nothing of the model that made it but its provenance. How values are caught while a model
runs is in capture.py, the file in trace_file.py.
"""

import difflib
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import trace_file
from .errors import InputError, TraceError
from .memory import in_words
from .provenance import Provenance


class Value(Tensor):
    """A tensor that knows the names of its axes, `value.axes`. What is computed from it is a plain tensor."""

    axes: tuple[str, ...]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def at(self, **places: int | slice | Sequence[int] | Tensor) -> Tensor:
        """A part by the names of axes: `value.at(head=2, token=slice(0, 5))`. A whole number takes its axis away.

        Args:
            places: whole numbers, slices, lists of whole numbers or masks, of any library; −1 is the last.
        Raises:
            InputError: an axis that the value does not have, or a place outside it.
        """
        part, gone = self.as_subclass(Tensor), []
        for name, place in places.items():
            if name not in self.axes:
                raise InputError(f"There is no axis {name!r}; the axes are {', '.join(self.axes)}.")
            axis = self.axes.index(name)
            where = _place(place, self.shape[axis], name)
            if isinstance(where, int):
                gone.append(axis)
                where = slice(where, where + 1)  # the axis goes at the end
            part = part[(slice(None),) * axis + (where if isinstance(where, slice) else where.to(self.device),)]
        return part.squeeze(gone) if gone else part

    def __deepcopy__(self, memo: dict) -> "Value":
        return named(self.as_subclass(Tensor).clone(), self.axes)

    def __repr__(self) -> str:  # type: ignore[override]
        named = ", ".join(f"{axis} {size}" for axis, size in zip(self.axes, self.shape, strict=True))
        return f"[{named}] {self.as_subclass(Tensor)!r}"


def named(tensor: Tensor, axes: tuple[str, ...]) -> Value:
    """The same numbers with names for their axes."""
    value = tensor.as_subclass(Value)
    value.axes = axes
    return value


def _place(place: Any, size: int, name: str) -> int | slice | Tensor:
    """One place from 0 on, a slice that runs forwards, or the numbers of several places.

    Raises:
        InputError: no place, or one that is not there.
    """
    listed = place.tolist() if hasattr(place, "tolist") else place  # of a tensor or an array: plain numbers
    try:
        if isinstance(listed, slice):
            found = range(*listed.indices(size))
            return listed if found.step > 0 else torch.tensor(found, dtype=torch.long)
        many = isinstance(listed, Iterable) and not isinstance(listed, str)
        numbers = list(listed) if many else [listed]
        if many and len(numbers) == size and all(isinstance(n, bool) for n in numbers):
            numbers = [n for n, chosen in enumerate(numbers) if chosen]
        numbers = [whole_number(n) for n in numbers]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is {place!r}; pass a whole number, a list of them, a slice, or a mask of {size}."
        ) from error
    if outside := [n for n in numbers if not -size <= n < size]:
        raise InputError(f"{name} {outside[0]} is outside the {size} that there are; choose 0 to {size - 1}.")
    numbers = [n % size for n in numbers]
    return torch.tensor(numbers, dtype=torch.long) if many else numbers[0]


def whole_number(number: Any) -> int:
    """Of any library, a tensor of one included. Raises `TypeError` for all else, truth values too."""
    if isinstance(number, bool) or getattr(number, "ndim", 0):
        raise TypeError(f"{number!r} is no whole number")
    return operator.index(number)


def likeness(asked: str, name: str) -> float:
    """How well a tap's name is met by one that may be misspelt, or lack a part: 0 (not at all) to 1 (the same).

    Each part is compared with parts alone, since names that differ in one word are other names, and look alike. A
    number is no matter of spelling, and the last part is what a name is about.
    """
    *places, about = asked.split(".")
    *parts, last = name.split(".")
    left = iter(parts)
    shares = [next((share for part in left if (share := _alike(word, part))), 0.0) for word in places]
    shares.append(_alike(about, last))
    return sum(shares) / (len(parts) + 1) if all(shares) else 0.0


def _alike(word: str, part: str) -> float:
    share = difflib.SequenceMatcher(None, word, part).ratio()
    return 0.0 if share < 0.6 or (share < 1 and (word + part).isdecimal()) else share  # as difflib's own cutoff


def text_axes(axes: Sequence[str]) -> list[int]:
    """Which axes have a place for every token of the text (`key` is one only beside `query`, else a feature)."""
    return [n for n, axis in enumerate(axes) if axis in ("token", "query") or (axis == "key" and "query" in axes)]


def slots(name: str, tokens: int) -> int:
    """How many places a tap's value has along a text of so many tokens: the MTP head reads pairs of them."""
    return max(0, tokens - name.startswith("mtp."))


@dataclass(frozen=True)
class Step:
    """One generated token: what the model said before it was chosen."""

    position: int  # of the token in the text
    id: int
    token: str
    probability: float  # of this token, before any sampling adjustment
    rank: int  # of this token, 0 is the most likely
    entropy: float  # of the prediction, in nats


@dataclass(frozen=True, eq=False)  # whether two are the same is a question for `diff`
class Trace:
    """Values of one forward pass, or of a prompt and the steps after it, by tap name.

    `tensors` have no batch axis; `axes` names those that they have. `trace[name]` has both.
    """

    tokens: list[str]  # the text of each token that was read
    ids: Tensor  # [token]
    tensors: dict[str, Tensor]  # in the order in which the pass made them
    axes: dict[str, tuple[str, ...]]
    provenance: Provenance
    steps: tuple[Step, ...] = field(default=())  # of a generation: one row per new token

    def __getitem__(self, name: str) -> Value:
        if name in self.tensors:
            return named(self.tensors[name], self.axes[name])
        raise InputError(f"{name!r} was not recorded; {self._instead(name)}.")

    def _instead(self, name: str) -> str:
        """What to do about a name that is not there."""
        if matching := [n for n in self.tensors if fnmatchcase(n, str(name))]:
            return f"one value is read at a time, such as {matching[0]!r}"
        near = max(self.tensors, key=lambda other: likeness(str(name), other), default="")
        again = "trace again and add it to record=[…]"
        return f"did you mean {near!r}? Else {again}" if likeness(str(name), near) else again

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def nbytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in self.tensors.values())

    def __repr__(self) -> str:
        steps = f", {len(self.steps)} generated" if self.steps else ""
        size = in_words(self.nbytes())
        return f"Trace({len(self.tokens)} tokens{steps}, {len(self.tensors)} values, {size}, {self.provenance})"

    def save(self, path: str | PathLike[str]) -> Path:
        """Write one file: safetensors, with everything else as JSON in its header. Nothing is left half-written.

        Raises:
            TraceError: the path names no file, or the file cannot be written.
        """
        about = {
            "tokens": self.tokens,
            "axes": self.axes,
            "provenance": vars(self.provenance),
            "steps": [vars(step) for step in self.steps],
        }
        if not Path(path).name:
            raise TraceError(f'{str(path)!r} names no file; say where to write, trace.save("a.trace").')
        return trace_file.write(Path(path), {"ids": self.ids, **self.tensors}, about)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Trace":
        """Read what `save` wrote.

        Raises:
            TraceError: no such file, or one that is damaged or no trace.
        """
        tensors, about = trace_file.read(Path(path))
        try:
            where: Mapping = about["provenance"]
            provenance = Provenance(**{**where, "edits": tuple(where["edits"])})
            steps = tuple(Step(**step) for step in about["steps"])
            axes = {name: tuple(axes) for name, axes in about["axes"].items()}
            ids = tensors.pop("ids")
            _check_parts(about["tokens"], ids, tensors, axes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise trace_file.damaged(Path(path), error) from error
        return cls(about["tokens"], ids, {name: tensors[name] for name in axes}, axes, provenance, steps)


def _check_parts(tokens: Sequence[str], ids: Tensor, tensors: Mapping[str, Tensor], axes: Mapping[str, tuple]) -> None:
    """Raises ValueError if what a file holds is not one trace."""
    if set(axes) != set(tensors) or ids.ndim != 1 or len(tokens) != len(ids):
        raise ValueError("its parts do not belong together")
    for name, tensor in tensors.items():
        if tensor.ndim != len(axes[name]):
            raise ValueError(f"{name} has {tensor.ndim} axes, and names for {len(axes[name])}")
        for axis in text_axes(axes[name]):
            if tensor.shape[axis] != slots(name, len(ids)):
                raise ValueError(f"{name} is of {tensor.shape[axis]} tokens, and the text has {len(ids)}")
