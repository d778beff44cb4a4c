"""Products with one matrix in float32 (`model/product.py`) against `F.linear`, for one token and for many.

Several copies of the matrix take turns: so it comes from memory, as it does in a model, and not from a cache.
"""

from collections.abc import Callable, Iterator

import torch
from benchmarks.race import Case, Given, Work
from torch import Tensor
from torch.nn import functional as F

from qwen35_lab.model.product import times

SHAPES = ((3584, 1024), (1024, 3584), (6144, 1024), (1024, 2048), (512, 512))  # rows and columns; most of the 0.8B
TOKENS = (1, 2, 8, 32, 512)
NOT_QUICK = "all of it, as no mark is set for a single product"
BEYOND = 2**28  # bytes of all copies: more than a cache holds


def cases(given: Given) -> Iterator[Case]:
    if given.device != "cpu" or given.quick:
        return
    for rows, columns in SHAPES:
        held = [torch.randn(rows, columns) for _ in range(BEYOND // (4 * rows * columns))]
        for tokens in TOKENS:
            few = held[: max(1, 2 * len(held) // (tokens + 2))]
            x = torch.randn(tokens, columns)

            def all_of(product: Callable[[Tensor, Tensor], Tensor], x: Tensor = x, few: list = few) -> Work:
                return lambda: [product(x, weight) for weight in few]

            what = f"{rows:,} × {columns:,}, tokens: {tokens}, float32"
            yield Case(what, all_of(times), all_of(F.linear), rival="F.linear")
