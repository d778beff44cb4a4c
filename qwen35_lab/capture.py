"""Catching values while a model runs: plain forward hooks on taps (model/taps.py), removed again whatever happens."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import InputError
from .memory import free, in_words
from .model import Tap, taps
from .model.taps import listen


def chosen(model: nn.Module, patterns: str | Iterable[str]) -> dict[str, Tap]:
    """The taps whose name matches one of the globs, in the order of the patterns.

    A pattern that ends in `*` matches no lazy tap: forming one costs time and memory, so it wants to be named. The MTP
    head does not run in a forward pass, so that its taps match only patterns that begin with "mtp".

    Raises:
        InputError: a pattern that matches no tap.
    """
    found = dict(taps(model))
    matching: dict[str, Tap] = {}
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        matches = {n: t for n, t in found.items() if fnmatchcase(n, pattern) and not (t.lazy and pattern.endswith("*"))}
        if not pattern.startswith("mtp"):
            matches = {n: t for n, t in matches.items() if not n.startswith("mtp.")}
        if not matches:
            near = difflib.get_close_matches(pattern, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "list them with lab.taps(model)."
            raise InputError(f"No tap of this model matches {pattern!r}; {hint}")
        matching |= matches
    return matching


@contextmanager
def record(model: nn.Module, patterns: str | Iterable[str]) -> Iterator[dict[str, list[Tensor]]]:
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
                values.setdefault(name, []).append(value.detach())

            listen(stack, tap, keep)
        yield values


@contextmanager
def formed(model: nn.Module, patterns: Iterable[str]) -> Iterator[None]:
    """Inside the block the values of lazy taps are formed, as if somebody listened: two runs take the same path."""
    with ExitStack() as stack:
        for tap in chosen(model, list(patterns)).values():
            listen(stack, tap, lambda module, inputs, value: None)
        yield


def joined(pieces: list[Tensor], axes: tuple[str, ...]) -> Tensor:
    """Firings of one tap as one tensor, laid end to end along the axis of new tokens.

    The keys of an attention layer grow from pass to pass; what an earlier token could not see yet is 0.
    """
    if len(pieces) == 1:
        return pieces[0]
    along = axes.index("token" if "token" in axes else "query")
    if "query" in axes:
        longest = max(piece.shape[-1] for piece in pieces)
        pieces = [F.pad(piece, (0, longest - piece.shape[-1])) for piece in pieces]
    return torch.cat(pieces, dim=along)


def estimate(model: nn.Module, patterns: str | Iterable[str], tokens: int, batch: int = 1) -> dict[str, int]:
    """Bytes that recording would keep, by tap name, before anything is run.

    Values that are one and the same memory (a layer's output is the next one's input) are counted as often as they
    have names, so that this is an upper bound; everything else is exact.
    """
    dtype = next(model.parameters()).dtype
    sizes = {}
    for name, tap in chosen(model, patterns).items():
        values = torch.Size(tap.shape(batch, tokens)).numel()
        sizes[name] = values * tap.dtype_in(dtype).itemsize
    return sizes


def refuse_what_does_not_fit(model: nn.Module, patterns: Iterable[str], tokens: int) -> None:
    """Raises InputError if what would be recorded is more than there is room for.

    A value that comes token by token exists twice while its pieces are joined.
    """
    device = next(model.parameters()).device
    sizes = estimate(model, patterns, tokens)
    pieces = [sizes[name] for name, tap in chosen(model, patterns).items() if tap.recurrent]
    needed, there = sum(sizes.values()) + max(pieces, default=0), free(device)
    if needed > there:
        largest = max(sizes, key=lambda name: sizes[name])
        raise InputError(
            f"Recording {len(sizes)} values of {tokens:,} tokens takes {in_words(needed)}, and {in_words(there)} are "
            f"free; record fewer taps ({largest} alone takes {in_words(sizes[largest])}), or a shorter text."
        )
