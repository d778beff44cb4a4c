"""Catching values while a model runs: plain forward hooks on taps (model/taps.py), removed again whatever happens."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from .errors import InputError
from .interrupt import whole
from .model import Tap, taps
from .model.taps import listen


def listed(patterns: str | Iterable[str]) -> tuple[str, ...]:
    """One pattern or several, as several. Raises `InputError` for what are no names of taps."""
    found = (patterns,) if isinstance(patterns, str) or not isinstance(patterns, Iterable) else tuple(patterns)
    if not all(isinstance(pattern, str) for pattern in found):
        raise InputError(f'What to record is {patterns!r}; pass names of taps, such as ["layers.*.mixer.beta"].')
    return found


def chosen(model: nn.Module, patterns: str | Iterable[str] | Mapping[str, Tap]) -> dict[str, Tap]:
    """The taps whose name matches one of the globs, in the order of the patterns; of taps already chosen, these.

    A pattern that ends in `*` matches no lazy tap: forming one costs time and memory, so it wants to be named. The MTP
    head does not run in a forward pass, so that its taps match only patterns that begin with "mtp".

    Raises:
        InputError: a pattern that matches no tap.
    """
    if isinstance(patterns, Mapping):
        return dict(patterns)
    found = dict(taps(model))
    matching: dict[str, Tap] = {}
    for pattern in listed(patterns):
        matches = {n: t for n, t in found.items() if fnmatchcase(n, pattern) and not (t.lazy and pattern.endswith("*"))}
        if not pattern.startswith("mtp"):
            matches = {n: t for n, t in matches.items() if not n.startswith("mtp.")}
        if not matches:
            near = difflib.get_close_matches(pattern, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "list them with dict(lab.taps(model))."
            raise InputError(f"No tap of this model matches {pattern!r}; {hint}")
        matching |= matches
    return matching


@whole
def record(model: nn.Module, patterns: str | Iterable[str] | Mapping[str, Tap]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the values of all taps whose name matches a glob, in the order in which they are made.

    Yields a dictionary that fills while the model runs: name -> one tensor per firing (a tap inside a recurrence fires
    once per token). Lazy taps match only when their pattern names them, not by a bare `*` at the end.

    Raises:
        InputError: a pattern that matches no tap.
    """
    values: dict[str, list[Tensor]] = {}
    with ExitStack() as stack:
        for name, tap in chosen(model, patterns).items():

            def keep(module: nn.Module, inputs: tuple, value: Tensor, name: str = name) -> None:
                values.setdefault(name, []).append(alone(value.detach()))

            listen(stack, tap, keep)
        yield values


@whole
def formed(model: nn.Module, patterns: Iterable[str]) -> Iterator[None]:
    """Inside the block the values of lazy taps are formed, as if somebody listened: two runs take the same path."""
    with ExitStack() as stack:
        for tap in chosen(model, list(patterns)).values():
            listen(stack, tap, lambda module, inputs, value: None)
        yield


def alone(value: Tensor) -> Tensor:
    """The value, copied if it is a view that would keep more than itself in memory."""
    return value.clone() if value.untyped_storage().nbytes() > value.numel() * value.element_size() else value


def joined(pieces: list[Tensor], name: str, axes: tuple[str, ...]) -> Tensor:
    """Firings of one tap as one tensor, laid end to end along the axis of new tokens.

    The keys of an attention layer grow from pass to pass; what an earlier token could not see yet is 0, and −inf as a
    score. The pieces are gone afterwards, so that no more than one tap exists twice.
    """
    if len(pieces) == 1:
        return ordinary(pieces.pop())
    if "query" not in axes:
        whole = torch.cat(pieces, dim=axes.index("token"))
        pieces.clear()
        return ordinary(whole)
    along = axes.index("query")
    shape = list(pieces[-1].shape)
    shape[along] = sum(piece.shape[along] for piece in pieces)
    whole, start = pieces[-1].new_full(shape, -torch.inf if name.endswith(".scores") else 0), 0
    for piece in pieces:
        whole.narrow(along, start, piece.shape[along])[..., : piece.shape[-1]] = piece
        start += piece.shape[along]
    pieces.clear()
    return ordinary(whole)


def ordinary(value: Tensor) -> Tensor:
    """The same numbers outside torch's inference mode, so that they may go into a computation with gradients."""
    return value.clone() if value.is_inference() else value
