"""Run once, keep what was asked for.

    trace = qwen.trace("cat red . dog blue", record=["layers.*.mixer.beta"])
    trace["layers.0.mixer.beta"]           # [token, head]
    trace.axes["layers.0.mixer.beta"]      # ("token", "head")

Recording is plain forward hooks on taps (model/taps.py), removed again whatever happens.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from .errors import InputError
from .model import taps


@dataclass(frozen=True)
class Trace:
    """Values of one forward pass by tap name.

    `tensors` have no batch axis when a single sequence was traced; `axes` names what is left.
    """

    tokens: list[str]  # the text of each token
    ids: Tensor  # [token]
    tensors: dict[str, Tensor]
    axes: dict[str, tuple[str, ...]]
    provenance: str  # which model, weights and dtype

    def __getitem__(self, name: str) -> Tensor:
        if name in self.tensors:
            return self.tensors[name]
        near = difflib.get_close_matches(name, self.tensors, n=1)
        raise InputError(
            f"{name!r} was not recorded; add it to record=[…]" + (f" or read {near[0]!r}." if near else ".")
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __repr__(self) -> str:
        size = sum(t.numel() * t.element_size() for t in self.tensors.values())
        return f"Trace({len(self.tokens)} tokens, {len(self.tensors)} values, {size / 1e6:.1f} MB, {self.provenance})"


@contextmanager
def record(model: nn.Module, patterns: Iterable[str]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the values of all taps whose name matches a glob, in the order in which they are made.

    Yields a dictionary that fills while the model runs: name -> one tensor per firing (a tap inside a recurrence fires
    once per token). Lazy taps match only when their pattern names them, not by a bare `*` at the end.

    Raises:
        InputError: a pattern that matches no tap.
    """
    found = dict(taps(model))
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matches = [n for n, t in found.items() if fnmatchcase(n, pattern) and not (t.lazy and pattern.endswith("*"))]
        if not matches:
            near = difflib.get_close_matches(pattern, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "list them with lab.taps(model)."
            raise InputError(f"No tap of this model matches {pattern!r}; {hint}")
        chosen |= dict.fromkeys(matches)
    values: dict[str, list[Tensor]] = {}
    with ExitStack() as stack:
        for name in chosen:

            def keep(module: nn.Module, inputs: tuple, value: Tensor, name: str = name) -> None:
                values.setdefault(name, []).append(value.detach())

            stack.callback(found[name].register_forward_hook(keep).remove)
        yield values


def joined(name: str, pieces: list[Tensor], axes: tuple[str, ...]) -> Tensor:
    """Firings of one tap in one pass as one tensor, laid end to end along the token axis."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=axes.index("token"))
