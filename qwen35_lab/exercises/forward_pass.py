"""The exercises of notebook 02: the norm of this family, a mistake to find, and which layers keep keys and values."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..config import FULL, LINEAR, TextConfig
from ..model import Cache
from ..model.cache import AttentionMemory
from ..model.norm import RMSNorm, rms_normalise
from .numbers import shown
from .planted import check_planted
from .verdict import Mistake, attempt, grade_function

# --------------------------------------------------------------------------------- 02.1  rms_norm_1p(x, w, eps)


def rms_norm_1p(x: Tensor, w: Tensor, eps: float) -> Tensor:
    """The oracle: the module that the model uses."""
    norm = RMSNorm(len(w), eps)
    norm.weight = nn.Parameter(w, requires_grad=False)
    return norm(x)


def norm_inputs(seed: int = 0) -> list[tuple[Tensor, Tensor, float]]:
    """Inputs that tell the usual mistakes apart: ordinary, tiny with a large eps, off-centre, a zero, low precision."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    zero = normal(3, 8)
    zero[1] = 0
    return [
        (normal(2, 5, 16), 0.5 * normal(16), 1e-6),
        (0.03 * normal(4, 6, 12), 0.5 * normal(12), 1e-3),
        (normal(2, 3, 24) + 2, 0.5 * normal(24), 1e-6),
        (zero, 0.5 * normal(8), 1e-6),
        (normal(2, 8, 64).bfloat16(), 0.5 * normal(64).bfloat16(), 1e-6),
    ]


def _over(x: Tensor, root: Tensor, w: Tensor) -> Tensor:
    return x / root * (1 + w)


def _mean(x: Tensor) -> Tensor:
    return x.square().mean(-1, keepdim=True)


def _by_deviation(correction: int, root: Callable[[Tensor, float], Tensor]) -> Callable[..., Tensor]:
    return lambda x, w, eps: _over(x, root(x.var(-1, keepdim=True, correction=correction), eps), w)


def _layer_norm(x: Tensor, w: Tensor, eps: float) -> Tensor:
    return rms_normalise(x - x.mean(-1, keepdim=True), eps) * (1 + w)


NORM_MISTAKES = (
    Mistake(
        "You multiply by w. This family stores its norm weights around zero, so the factor is (1 + w); with w alone "
        "a fresh model would pass nothing at all.",
        lambda x, w, eps: rms_normalise(x, eps) * w,
    ),
    Mistake(
        "The weight is missing: after dividing by the root mean square, multiply by (1 + w).",
        lambda x, w, eps: rms_normalise(x, eps),
    ),
    Mistake(
        "w is added, not multiplied: `* 1 + w` needs brackets, `* (1 + w)`.",
        lambda x, w, eps: rms_normalise(x, eps) + w,
    ),
    Mistake(
        "eps stands outside the root. It belongs inside, sqrt(mean(x²) + eps): for small x that is a different number.",
        lambda x, w, eps: _over(x, _mean(x).sqrt() + eps, w),
    ),
    Mistake(
        "eps is missing: a vector of zeros gives 0/0 = NaN, and small x come out too large.",
        lambda x, w, eps: _over(x, _mean(x).sqrt(), w),
    ),
    Mistake(
        "You sum the squares; take their mean, or the result shrinks with the width. (The sum is the L2 norm, which "
        "DeltaNet uses for q and k.)",
        lambda x, w, eps: _over(x, (x.square().sum(-1, keepdim=True) + eps).sqrt(), w),
    ),
    Mistake(
        "That is the length of x, the root of the sum of its squares; here it is the root of their mean, or the result "
        "shrinks with the width. (Length one is what DeltaNet gives q and k.)",
        lambda x, w, eps: _over(x, x.norm(dim=-1, keepdim=True).clamp(min=1e-12), w),
    ),
    *(
        Mistake(
            "That is the standard deviation, which is measured from the mean of x; RMSNorm takes the squares of x "
            "itself, sqrt(mean(x²) + eps).",
            _by_deviation(correction, root),
        )
        for correction in (0, 1)
        for root in (
            lambda var, eps: var.sqrt(),
            lambda var, eps: var.sqrt() + eps,
            lambda var, eps: (var + eps).sqrt(),
        )
    ),
    Mistake(
        "The root is missing: divide by sqrt(mean(x²) + eps), not by mean(x²) + eps.",
        lambda x, w, eps: _over(x, _mean(x) + eps, w),
    ),
    Mistake(
        "You multiply by the root mean square; divide by it (or multiply by torch.rsqrt).",
        lambda x, w, eps: x * (_mean(x) + eps).sqrt() * (1 + w),
    ),
    Mistake(
        "The mean of x is subtracted: that is LayerNorm. RMSNorm leaves the mean where it is.",
        _layer_norm,
    ),
    Mistake(
        "The mean runs over all axes; every token is normalised by itself: mean(-1, keepdim=True).",
        lambda x, w, eps: _over(x, (x.square().mean() + eps).sqrt(), w),
    ),
    Mistake(
        "The mean runs over the first axis; it runs over the features, the last axis: mean(-1, keepdim=True).",
        lambda x, w, eps: _over(x, (x.square().mean(0, keepdim=True) + eps).sqrt(), w),
    ),
    Mistake(
        "The mean runs over the tokens; it runs over the features, the last axis: mean(-1, keepdim=True).",
        lambda x, w, eps: _over(x, (x.square().mean(-2, keepdim=True) + eps).sqrt(), w),
    ),
)


def check_norm(answer: Any, given: Any) -> tuple[bool, str]:
    return grade_function(answer, rms_norm_1p, norm_inputs(), NORM_MISTAKES, arguments="(x, w, eps)")


# --------------------------------------------------------------------------------- 02.3  kv_layers(layer_types)


def kv_layers(layer_types: Sequence[str]) -> list[int]:
    """The oracle: ask the cache which of its memories hold keys and values."""
    sizes = dict.fromkeys(
        ("vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "linear_num_key_heads",
         "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim"), 1,
    )  # fmt: skip
    config = TextConfig(num_hidden_layers=len(layer_types), layer_types=tuple(layer_types), **sizes)
    return [n for n, layer in enumerate(Cache(config).layers) if isinstance(layer, AttentionMemory)]


def patterns(seed: int = 0) -> list[list[str]]:
    """The family's own pattern, and others: no rule but the list itself gives them all."""
    draw = random.Random(seed)
    family = [([LINEAR] * 3 + [FULL]) * n for n in (1, 6, 16)]
    others = [[draw.choice((LINEAR, FULL)) for _ in range(draw.randint(3, 12))] for _ in range(8)]
    return [*family, [LINEAR] * 5, [FULL, LINEAR, LINEAR], *others]


KV_MISTAKES: tuple[tuple[str, Callable[[Sequence[str]], Any]], ...] = (
    (
        "These are the DeltaNet layers: they keep a state of fixed size, no keys and values. "
        "The cache grows in the others.",
        lambda kinds: [n for n, kind in enumerate(kinds) if kind == LINEAR],
    ),
    (
        "All one too high: layers are counted from 0.",
        lambda kinds: [n + 1 for n, kind in enumerate(kinds) if kind == FULL],
    ),
    (
        "Every fourth layer is right for the published models, but it is `layer_types` that decides; read the list.",
        lambda kinds: [n for n in range(len(kinds)) if n % 4 == 3],
    ),
    ("Not every layer keeps keys and values: look at its kind.", lambda kinds: list(range(len(kinds)))),
    ("That is how many there are; the question is which.", lambda kinds: sum(kind == FULL for kind in kinds)),
    (
        "That is a truth value per layer; return the numbers of the layers.",
        lambda kinds: [kind == FULL for kind in kinds],
    ),
    ("Those are the kinds; return the numbers of the layers.", lambda kinds: [kind for kind in kinds if kind == FULL]),
)


def check_kv_layers(answer: Any, given: Any) -> tuple[bool, str]:
    if not callable(answer):
        return False, f"Pass a function that takes `layer_types`; this is a {type(answer).__name__}."
    asked = patterns()
    results = []
    for kinds in asked:
        result, problem = attempt(answer, (list(kinds),), "(layer_types)")
        if problem:
            return False, problem
        if not isinstance(result, Sequence | set | int):
            return False, f"It returns a {type(result).__name__}; return a list, such as [3, 7]."
        results.append(list(result) if isinstance(result, tuple | set | range) else result)
    written = [_written(result) for result in results]
    if written == [_written(kv_layers(kinds)) for kinds in asked]:
        return True, f"`{answer.__name__}` is right for {len(asked)} patterns, among them the family's own."
    for diagnosis, wrong in KV_MISTAKES:
        if written == [_written(wrong(kinds)) for kinds in asked]:
            return False, diagnosis
    n = next(n for n, kinds in enumerate(asked) if written[n] != _written(kv_layers(kinds)))
    right = kv_layers(asked[n])
    return False, f"For {asked[n]} it returns {shown(results[n])}, but the layers with a KV cache are {right}."


def _written(found: Any) -> str:
    """To compare by: in Python, a list of booleans equals one of ones and zeros."""
    return shown(found, most=1000)


CHECKS = {"02.1": check_norm, "02.2": check_planted, "02.3": check_kv_layers}
