"""One large weight among small ones: what it costs the others, by format and by who shares a scale.

A matrix of Gaussian weights, a few of them made larger; inputs with mean 0. The error of the output is measured against
the output of the same matrix without the rounding, but with the outliers taken out of both: what is left of the small
weights, which are nearly all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..errors import InputError
from ..quantise import SHARED_BY, rounded

STRENGTHS = (1, 3, 10, 30, 100, 1_000, 10_000, 100_000)
SIDE, OUTLIERS, INPUTS = 384, 5, 64
LOWEST, HIGHEST = -6, 2  # octaves of the weights that are counted
CELLS = 24  # of the map of errors, per side


@dataclass(frozen=True)
class Tile:
    """Weights [row, column], standard deviation 1, and which of them are the outliers."""

    weights: Tensor
    outliers: Tensor  # bool [row, column]

    def spoiled(self, strength: float) -> Tensor:
        """The weights with the outliers so many times as large."""
        return torch.where(self.outliers, self.weights * strength, self.weights)


def tile(side: int = SIDE, outliers: int = OUTLIERS, seed: int = 0) -> Tile:
    """Gaussian weights; the outliers are spread at random, and begin with magnitude 1.

    Raises:
        InputError: no room for them.
    """
    if side < 1 or not 0 <= outliers <= side * side:
        raise InputError(f"{outliers} outliers do not fit a tile of {side} × {side}; pass fewer, or a larger side.")
    draw = torch.Generator().manual_seed(seed)
    w = torch.randn(side, side, generator=draw)
    where = torch.zeros(side * side, dtype=torch.bool)
    where[torch.randperm(side * side, generator=draw)[:outliers]] = True
    where = where.view(side, side)
    return Tile(torch.where(where, w.sign(), w), where)


@dataclass(frozen=True)
class Spoilt:
    """Errors [format, shared by, strength], relative: of the small weights, and of the output they give."""

    formats: tuple[str, ...]
    shared_by: tuple[str, ...]
    strengths: tuple[float, ...]
    weights: Tensor
    output: Tensor
    octaves: Tensor  # [format, shared by, strength, octave]: what is left of the weights, by size
    off: Tensor  # [format, shared by, strength, cell, cell]: where they are off, root of the mean square
    tile: Tile


def spoilt_by_outliers(
    formats: Sequence[str] = ("bf16", "e4m3", "e5m2", "int8", "int4"),
    strengths: Sequence[float] = STRENGTHS,
    shared_by: Sequence[str] = tuple(SHARED_BY),
    tile_: Tile | None = None,
) -> Spoilt:
    """Round the tile at every strength of its outliers, in every format, with every sharing of scales."""
    found = tile_ or tile()
    x = torch.randn(INPUTS, found.weights.shape[1], generator=torch.Generator().manual_seed(1))
    small = found.weights.masked_fill(found.outliers, 0)
    y = x @ small.T
    cells = min(CELLS, len(small))
    rows = []
    for fmt, by, strength in product(formats, shared_by, strengths):
        w = found.spoiled(strength)
        left = rounded(w, fmt, by)
        off = (left - w).masked_fill(found.outliers, 0)
        map_ = adaptive_avg_pool2d(off.square()[None], cells)[0].sqrt()
        rows.append((off.norm() / small.norm(), (x @ off.T).norm() / y.norm(), octaves(left), map_))
    shape = (len(formats), len(shared_by), len(strengths))
    weights, output, sizes, off = (torch.stack(column).unflatten(0, shape) for column in zip(*rows, strict=True))
    return Spoilt(tuple(formats), tuple(shared_by), tuple(strengths), weights, output, sizes, off, found)


def octaves(w: Tensor, lowest: int = LOWEST, highest: int = HIGHEST) -> Tensor:
    """Shares of |w| by size: below 2^lowest, in [2^n, 2^(n + 1)) for each n from there, and from 2^highest on."""
    _, exponent = torch.frexp(w.abs().flatten())
    place = (exponent - 1 - lowest + 1).clamp(0, highest - lowest + 1)
    place[w.flatten() == 0] = 0
    return place.long().bincount(minlength=highest - lowest + 2).double() / w.numel()
