"""Wrong answers to the exercises about what a model does: notebooks 02, 03, 04, 08 and 09."""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ...qwen import Qwen, load
from ..chunked import CHUNK_MISTAKES, ChunkForm
from ..delta_rule import STEP_MISTAKES
from ..deltanet import HALF_LIFE_MISTAKES
from ..drafting import INPUT_MISTAKES, SPEED_MISTAKES
from ..forward_pass import KV_MISTAKES, NORM_MISTAKES
from ..planted import plant
from ..snapshots import MISTAKES as SNAPSHOT_MISTAKES
from ..verdict import Mistake
from ..vision import POSITION_MISTAKES
from .pairs import listed

# ------------------------------------------------------------------------------------------- 02, a forward pass


def _norm(x: Tensor, w: Tensor, eps: float) -> Tensor:
    """The equation in the precision that comes in."""
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * (1 + w)


NORMS = (
    Mistake("it rounds before the end", _norm),
    Mistake("end with `.to(x.dtype)`", lambda x, w, eps: _norm(x.float(), w.float(), eps)),
)


@cache
def _recall() -> Qwen:
    return load("recall")


@cache
def _broken() -> Qwen:
    """The convolution of layer 2 runs backwards."""
    return plant(_recall(), seed=19)


PLACES = (
    Mistake("The mistake is inside `layers.2.mixer`", "layers.2.mixer", _broken),
    Mistake("The right half of the right layer", "layers.2.mixer.in_proj_qkv", _broken),
    Mistake("the mistake comes later", "layers.0.mixer.conv", _broken),
    Mistake("what it is given is wrong already", "layers.3.mixer.q_proj", _broken),
    Mistake("`layers.2.mixer.q` is a value", "layers.2.mixer.q", _broken),
    Mistake("is a weight, and both models share their weights", "layers.2.mixer.conv.weight", _broken),
    Mistake("did you mean `layers.2.mixer.conv`?", "layers.2.mixer.convolution", _broken),
)

# ----------------------------------------------------------------------------------------------- 03, the delta rule


def _keys(make: Callable[[int, int], Tensor], most: Callable[[int], int] = lambda size: size) -> Callable[..., Tensor]:
    """Keys that are refused where there are more than `most` of them."""

    def orthogonal_keys(n: int, size: int) -> Tensor:
        if n > most(size):
            raise ValueError(f"{n} keys of size {size} are too many")
        return make(n, size)

    return orthogonal_keys


def _basis(n: int, size: int) -> Tensor:
    return torch.eye(n, size)


STEPS = (Mistake("is a NoneType; return tensors", lambda *arguments: (None, None)),)
KEYS = (
    Mistake("divide each key by its length", _keys(lambda n, size: 2 * _basis(n, size))),
    Mistake("are not orthogonal", _keys(lambda n, size: F.normalize(_basis(n, size) + 0.3, dim=1))),
    Mistake("are not orthogonal", _keys(lambda n, size: _basis(1, size).expand(n, size))),
    Mistake("has length 0", _keys(lambda n, size: 0 * _basis(n, size))),
    Mistake("return one key per row", _keys(lambda n, size: _basis(size, n))),
    Mistake("a memory [K, V] has room for K of them", _keys(_basis, most=lambda size: size + 1)),
)
TEXTS = (
    Mistake("Right both times", ([("cat", "red"), ("dog", "blue")], "dog"), _recall),
    Mistake("find one with at most 6", ([("cat", "red")] * 6 + [("cat", "gold")], "cat"), _recall),
    Mistake("is never written", ([("cat", "red")], "dog"), _recall),
    Mistake("stands where a key belongs", ([("red", "cat")], "cat"), _recall),
    Mistake("Answer with writes and a question", "cat red . ? cat", _recall),
)

# ------------------------------------------------------------------------------------- 04, inside a DeltaNet layer


def _times_a_mask(c: Tensor) -> Tensor:
    return (c[:, None] - c).exp() * torch.ones(len(c), len(c)).tril()


CHUNKS = (Mistake("with g = −20 numbers overflow", ChunkForm(erase_mask=_times_a_mask, score_mask=_times_a_mask)),)


def _init(
    bias: Callable[[Tensor], Tensor] = lambda rate: rate.expm1().log(),
    lives: Callable[[Tensor, float, float], Tensor] = lambda x, low, high: low * (high / low) ** x,
    rate: Callable[[Tensor], Tensor] = lambda lives: math.log(2) / lives,
    A_log: float = 0.0,
    turned: bool = False,
) -> Callable[[int, float, float], tuple[Tensor, Tensor]]:
    """A right initialisation, with one step of it changed; the heads lie evenly from 0 to 1."""

    def init_decay(heads: int, low: float, high: float) -> tuple[Tensor, Tensor]:
        x = (torch.arange(heads, dtype=torch.float64) + 0.5) / heads
        speeds, biases = torch.full_like(x, A_log), bias(rate(lives(x, low, high)))
        return (biases, speeds) if turned else (speeds, biases)

    return init_decay


INITS = (
    Mistake("as in a fresh model of transformers", lambda heads, low, high: (torch.rand(heads), torch.ones(heads))),
    Mistake("ln 2 is forgotten", _init(rate=lambda lives: 1 / lives)),
    Mistake("wrong order; return (A_log, dt_bias)", _init(turned=True)),
    Mistake("dt_bias is set to the rate itself", _init(bias=lambda rate: rate)),
    Mistake("dt_bias is the softplus of the rate", _init(bias=F.softplus)),
    Mistake("dt_bias is the logarithm of the rate", _init(bias=torch.log)),
    Mistake("dt_bias fits the half-life itself", _init(rate=lambda lives: lives)),
    Mistake("A_log is a logarithm", _init(A_log=1.0)),
    Mistake("forget with the same half-life", _init(lives=lambda x, low, high: 0 * x + (low * high) ** 0.5)),
    Mistake("spread evenly in tokens", _init(lives=lambda x, low, high: low + (high - low) * x)),
    Mistake("the rates are spread evenly", _init(lives=lambda x, low, high: 1 / (1 / high + (1 / low - 1 / high) * x))),
    Mistake("choose dt_bias so that they lie between", _init(lives=lambda x, low, high: 3 * low * (high / low) ** x)),
)

# ------------------------------------------------------------------------------------------- 08, vision and video


def _page(height: int, width: int, tokens: float) -> tuple[int, int]:
    """Both edges shrunk alike, and rounded down to whole cells of 32 pixels."""
    share = (tokens * 32**2 / (height * width)) ** 0.5
    return int(height * share) // 32 * 32, int(width * share) // 32 * 32


def _parts() -> list[int | tuple[int, int]]:
    return [4, (4, 6), 2, (5, 3), 7]


PAGES = (
    Mistake("stay below 1,024", _page),
    Mistake("stay below 1,024", lambda height, width, most: (height, width)),
    Mistake("Shrink both edges alike", lambda height, width, most: (992, 992)),
    Mistake("use more of the 1,024 tokens", lambda height, width, most: _page(height, width, most / 2)),
    Mistake("a cell is 32 of them", lambda height, width, most: (25, 38)),
    Mistake("Return two numbers", lambda height, width, most: height),
)
PLACES_AFTER = tuple(
    Mistake(words, (place,) * 3, _parts)
    for words, place in {
        "You count tokens": 45, "You add the heights": 15, "You add the shorter sides": 13,
        "The first picture is missing": 11, "where the second picture begins": 12, "One too little": 16,
        "One too much": 18, "Go through the parts": 99,
    }.items()
)  # fmt: skip

# ------------------------------------------------------------------------------- 09, caches and drafts, and all of them

GAINS = (
    Mistake("It divides by 1 − p", lambda p, k, c: (1 - p ** (k + 1)) / (1 - p) / (1 + k * c)),
    Mistake("Right but for p = 1", lambda p, k, c: sum(p**n for n in range(k + 1)) / (1 + k * c) if p < 1 else 1.0),
)


WRONG: dict[str, tuple[Mistake, ...]] = {
    "02.1": (*NORM_MISTAKES, *NORMS),
    "02.2": PLACES,
    "02.3": listed(KV_MISTAKES),
    "03.1": (*STEP_MISTAKES, *STEPS),
    "03.2": KEYS,
    "03.3": TEXTS,
    "04.1": (*CHUNK_MISTAKES, *CHUNKS),
    "04.2": HALF_LIFE_MISTAKES,
    "04.3": INITS,
    "08.1": listed(POSITION_MISTAKES),
    "08.2": PAGES,
    "08.3": PLACES_AFTER,
    "09.1": listed(SNAPSHOT_MISTAKES),
    "09.2": INPUT_MISTAKES,
    "09.3": (*listed(SPEED_MISTAKES), *GAINS),
}
