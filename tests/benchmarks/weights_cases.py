"""Decoding with the matrices in 8 and 4 bits (`lab.load(…, quantised=…)`) at the shapes of Qwen3.5-0.8B, in bfloat16.

What is in few bits is said in every line. `quantised=` alone rounds the matrices of the layers, as official FP8 files
do; the head, a third of all weights in this model, is then read in 16 bits for every token. With `quantised_head=True`
it is in int8. transformers and our own model hold all of it in bfloat16. The bound is what cannot be left out: the
products of one token with the same few-bit matrices alone.

Below the passes stand single products, one token with one matrix, of which several copies take turns: so it comes from
memory, as it does in the model, and not from a cache.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from benchmarks.race import Case, Given, Work
from benchmarks.text_cases import Pair, decoding, model_pair
from torch import Tensor, nn
from torch.nn import functional as F

from qwen35_lab.model import TextModel
from qwen35_lab.model.one_row import reading
from qwen35_lab.weight_only import to_weight_only
from qwen35_lab.weight_products import Int4Groups, Int8Rows

KINDS = {"int8": 1.8, "int4": 2.2}  # what is wanted against transformers in bfloat16
SHAPES = ((6144, 1024), (1024, 2048), (3584, 1024), (1024, 3584), (512, 1024))  # rows and columns, in the 0.8B
BEYOND = 2**28  # bytes of all copies in bfloat16; a quarter of it, in int4, is still more than a cache holds
NOT_QUICK = "24 layers, our own model in bfloat16 as the rival, single products"


def cases(given: Given) -> Iterator[Case]:
    if given.device != "cpu":
        return  # int4 is for CPUs, and torchao's int8 is not fast elsewhere
    pair = model_pair(torch.bfloat16, 4 if given.quick else 24, given.device)
    for kind, goal in KINDS.items():
        yield from passes(pair, kind, goal, given)
    for rows, columns in () if given.quick else SHAPES:
        yield from single(rows, columns)


def passes(pair: Pair, kind: str, goal: float, given: Given) -> Iterator[Case]:
    """With either head, against transformers and against our own model in bfloat16."""
    both, steps = rounded(pair.ours, kind), 4 if given.quick else 8
    for head, small in (("bfloat16", with_head_of(pair.ours, both)), ("int8", both)):
        ours, theirs, _ = decoding(Pair(small, pair.theirs, pair.dtype), steps)
        what = f"decoding, layers in {kind}, head in {head}, {pair.words}"
        yield Case(what, ours, theirs, goal, bound=repeat(products(small), steps))
        if not given.quick:
            full, _, _ = decoding(pair, steps)
            yield Case(what, ours, full, rival="ours in bfloat16")


def repeat(work: Work, times: int) -> Work:
    return lambda: [work() for _ in range(times)]


def rounded(model: TextModel, kind: str) -> TextModel:
    """A copy with its layers and its head in few bits, which shares the rest."""
    twin = sharing(model)
    to_weight_only(twin, kind, head=True)
    return twin


def with_head_of(model: TextModel, small: TextModel) -> TextModel:
    """A copy of the small one that shares its layers, and the head of the other."""
    twin = sharing(small)
    twin.embed_tokens.weight = model.embed_tokens.weight
    return twin


def sharing(model: TextModel) -> TextModel:
    return copy.deepcopy(model, {id(p): p for p in model.parameters()})


def products(model: TextModel) -> Work:
    """One token with every matrix, one after the other, as they are held; the head is the table of words."""
    held = [m.weight for m in model.modules() if isinstance(m, nn.Linear)] + [model.embed_tokens.weight]
    pairs = [(torch.randn(1, weight.shape[1], dtype=torch.bfloat16), weight) for weight in held]
    return as_decoding(lambda: [F.linear(token, weight) for token, weight in pairs])


def as_decoding(work: Work) -> Work:
    """By the kernels that a pass over one token takes."""

    def run() -> object:
        with reading(torch.empty(1, 1, 1, dtype=torch.bfloat16)):
            return work()

    return run


def single(rows: int, columns: int) -> Iterator[Case]:
    """One token with one matrix, against bfloat16."""
    plain = [torch.randn(rows, columns, dtype=torch.bfloat16) for _ in range(BEYOND // (2 * rows * columns))]
    token = torch.randn(1, columns, dtype=torch.bfloat16)

    def all_of(weights: list[Tensor]) -> Work:
        return as_decoding(lambda: [F.linear(token, weight) for weight in weights])

    makers: dict[str, Callable[[Tensor], Tensor | None]] = {"int8": Int8Rows.of, "int4": Int4Groups.of}
    for kind, make in makers.items():
        held = [made for weight in plain if (made := make(weight)) is not None]
        yield Case(f"one token · {rows:,} × {columns:,}, {kind}", all_of(held), all_of(plain), rival="bfloat16")
