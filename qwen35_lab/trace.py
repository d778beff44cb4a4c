"""What was kept of a forward pass: values by tap name, with named axes.

    trace = qwen.trace("cat red . dog blue", record=["layers.*.mixer.beta"])
    trace["layers.0.mixer.beta"]                    # [token, head]
    trace["layers.0.mixer.beta"].at(token=4)        # [head]
    trace.save("a.trace"); lab.Trace.load("a.trace")

A trace is data: it knows nothing of the model that made it but its provenance. How values are caught while a model
runs is in capture.py, the file in trace_file.py.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from . import trace_file
from .errors import InputError
from .memory import in_words
from .provenance import Provenance


class Value(Tensor):
    """A tensor that knows the names of its axes, `value.axes`. What is computed from it is a plain tensor."""

    axes: tuple[str, ...]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def at(self, **places: int | slice | Sequence[int] | Tensor) -> Tensor:
        """A part by the names of axes: `value.at(head=2, token=slice(0, 5))`. A whole number takes its axis away.

        Raises:
            InputError: an axis that the value does not have, or a place outside it.
        """
        part: Tensor = self
        for name, place in places.items():
            if name not in self.axes:
                raise InputError(f"There is no axis {name!r}; the axes are {', '.join(self.axes)}.")
            axis = self.axes.index(name)
            where = place if isinstance(place, slice | int) else torch.as_tensor(place, device=self.device)
            where = slice(place, place + 1 or None) if isinstance(place, int) else where  # the axis goes at the end
            if isinstance(place, int) and not -self.shape[axis] <= place < self.shape[axis]:
                raise InputError(f"{name} {place} is outside the {self.shape[axis]} that there are.")
            part = part[(slice(None),) * axis + (where,)]
        gone = [self.axes.index(name) for name, place in places.items() if isinstance(place, int)]
        return part.squeeze(gone) if gone else part.as_subclass(Tensor)

    def __repr__(self) -> str:  # type: ignore[override]
        named = ", ".join(f"{axis} {size}" for axis, size in zip(self.axes, self.shape, strict=True))
        return f"[{named}] {self.as_subclass(Tensor)!r}"


def named(tensor: Tensor, axes: tuple[str, ...]) -> Value:
    """The same numbers with names for their axes."""
    value = tensor.as_subclass(Value)
    value.axes = axes
    return value


@dataclass(frozen=True)
class Step:
    """One generated token: what the model said before it was chosen."""

    position: int  # of the token in the text
    id: int
    token: str
    probability: float  # of this token, before any sampling adjustment
    rank: int  # of this token, 0 is the most likely
    entropy: float  # of the prediction, in nats


@dataclass(frozen=True)
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
        near = difflib.get_close_matches(name, self.tensors, n=1)
        raise InputError(
            f"{name!r} was not recorded; add it to record=[…]" + (f" or read {near[0]!r}." if near else ".")
        )

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
            TraceError: the file cannot be written.
        """
        about = {
            "tokens": self.tokens,
            "axes": self.axes,
            "provenance": vars(self.provenance),
            "steps": [vars(step) for step in self.steps],
        }
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
            if set(axes) != set(tensors) or len(about["tokens"]) != len(ids):
                raise ValueError("its parts do not belong together")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise trace_file.damaged(Path(path), error) from error
        return cls(about["tokens"], ids, {name: tensors[name] for name in axes}, axes, provenance, steps)
