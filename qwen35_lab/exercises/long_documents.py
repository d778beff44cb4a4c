"""The other exercises of notebook 14: the effective rank over a document, and how many pages fit a budget."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..analysis import predicted_bytes, state_geometry
from ..config import FULL, ModelConfig
from ..family import OFFICIAL, load_config
from .numbers import as_number, as_whole, shown
from .verdict import Mistake, attempt, grade_function

# ------------------------------------------------------------------------- 14.2  effective rank


def effective_rank(S: Tensor) -> Tensor:
    """S [token, K, V] -> [token]; 0 for an empty memory."""
    return state_geometry(S[:, None]).effective_rank[:, 0].to(S.dtype)


def rank_inputs() -> list[tuple[Tensor]]:
    """Memories that grow write by write, from empty to full, of other sizes and strengths."""
    random = torch.Generator().manual_seed(0)
    inputs = []
    for K, V, T in ((6, 6, 8), (8, 5, 6), (4, 9, 10)):
        k = torch.nn.functional.normalize(torch.randn(T, K, generator=random), dim=-1)
        v = torch.randn(T, V, generator=random) * torch.linspace(0.2, 2, T)[:, None]
        writes = torch.einsum("tk,tv->tkv", k, v)
        inputs.append((torch.cat((torch.zeros(1, K, V), writes.cumsum(0))),))
    return inputs


def _entropy_of(share: Tensor) -> Tensor:
    return torch.special.entr(share).sum(-1)


def _share_of(sigma: Tensor) -> Tensor:
    return (sigma / sigma.sum(-1, keepdim=True)).nan_to_num(0)


def _or_empty(rank: Tensor, S: Tensor) -> Tensor:
    """0 where nothing is stored."""
    return torch.where(S.flatten(1).abs().amax(1) > 0, rank, 0.0)


def _on_values(rule: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda S: _or_empty(rule(torch.linalg.svdvals(S)).nan_to_num(0), S)


RANK_MISTAKES = tuple(
    Mistake(diagnosis, _on_values(rule))
    for diagnosis, rule in (
        (
            "You count the singular values that are not zero. That is the rank, which is full as soon as every "
            "direction is touched; the effective rank asks how evenly they are used.",
            lambda s: (s > 1e-5 * s[..., :1].clamp(min=1e-30)).sum(-1).to(s.dtype),
        ),
        (
            "The entropy is right, but the rank is its exponential: e to the entropy, so that n equal values give n.",
            lambda s: _entropy_of(_share_of(s)),
        ),
        (
            "The entropy is in bits (log2) and the exponential in e. Use one base for both: ln with exp, or log2 "
            "with 2^.",
            lambda s: (_entropy_of(_share_of(s)) / math.log(2)).exp(),
        ),
        (
            "The entropy is in nats and then 2 is raised to it. Use one base for both: ln with exp, or log2 with 2^.",
            lambda s: 2 ** _entropy_of(_share_of(s)),
        ),
        (
            "You divide by the root of the sum of squares (the norm); the shares p must sum to one: σ / Σ σ.",
            lambda s: _entropy_of((s / s.norm(dim=-1, keepdim=True)).nan_to_num(0)).exp(),
        ),
        (
            "You take shares of the squares, σ² / Σ σ²; here p is σ / Σ σ, of the singular values themselves.",
            lambda s: _entropy_of(_share_of(s.square())).exp(),
        ),
        (
            "You divide by the largest singular value; the shares p must sum to one: σ / Σ σ.",
            lambda s: _entropy_of((s / s[..., :1]).nan_to_num(0)).exp(),
        ),
        (
            "That is 1 / Σ p², the participation ratio: another measure of the same thing. The exercise asks for "
            "exp(−Σ p ln p).",
            lambda s: 1 / _share_of(s).square().sum(-1),
        ),
        (
            "That is ‖S‖² / σ₁², the stable rank: another measure. The exercise asks for exp(−Σ p ln p).",
            lambda s: s.square().sum(-1) / s[..., 0].square(),
        ),
    )
)


def check_rank(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge an effective rank on memories that grow write by write."""
    empty = rank_inputs()[0][0][:1]
    if callable(answer):
        result, _ = attempt(answer, (empty,), "(S)")
        if isinstance(result, Tensor) and result.numel() == 1 and not bool(result.isfinite().all()):
            return False, "An empty memory gives 0/0, NaN; say 0 there (`torch.where`, or `nan_to_num` of the shares)."
        if isinstance(result, Tensor) and result.numel() == 1 and as_number(result) == 1:
            return False, "An empty memory holds nothing: its rank is 0, where exp(0) would make it 1."
    return grade_function(answer, effective_rank, rank_inputs(), RANK_MISTAKES, arguments="(S)", any_dtype=True)


# ------------------------------------------------------------------------- 14.3  pages

MODELS = (OFFICIAL[0], OFFICIAL[3], OFFICIAL[4], OFFICIAL[-1])
PAGES = tuple(
    (name, per_page, gib, 4_000) for name in MODELS for per_page, gib in ((610, 1.0), (1_290, 1.0), (1_290, 40.0))
)


def pages_that_fit(config: ModelConfig, tokens_per_page: int, budget: float, reserve: int) -> int:
    """Whole pages whose cache, with that of `reserve` more tokens, fits into `budget` bytes and into the context."""
    most = config.text.max_position_embeddings
    return _pages(config, tokens_per_page, budget, reserve, most)


def _pages(
    config: ModelConfig, per_page: int, budget: float, reserve: int, most: float, *, fixed: bool = True,
    layers: str = "full",
) -> int:  # fmt: skip
    """`pages_that_fit` with a part left out."""
    one, two = (sum(predicted_bytes(config, n)) for n in (1, 2))
    per_token, constant = two - one, (2 * one - two) * fixed
    kinds = config.text.layer_types
    if layers == "all":
        per_token = per_token * len(kinds) // kinds.count(FULL)
    tokens = min((budget - constant) // per_token, most)
    return max(0, int((tokens - reserve) // per_page))


PAGE_MISTAKES: tuple[tuple[str, Callable[[ModelConfig, int, float, int], int]], ...] = (
    (
        "You forget the context: however much memory there is, the model was trained for "
        "`config.text.max_position_embeddings` tokens.",
        lambda c, p, b, r: _pages(c, p, b, r, math.inf),
    ),
    ("You forget the tokens in reserve, for question and answer.", lambda c, p, b, r: _pages(c, p, b, 0, _context(c))),
    (
        "You forget what does not grow: the DeltaNet states and their convolutions take their part of the budget "
        "first.",
        lambda c, p, b, r: _pages(c, p, b, r, _context(c), fixed=False),
    ),
    (
        "You count keys and values for every layer; only the full attention layers keep them, one in four.",
        lambda c, p, b, r: _pages(c, p, b, r, _context(c), layers="all"),
    ),
    (
        "You round up or to the nearest: the last page does not fit whole. Round down, `//`.",
        lambda c, p, b, r: pages_that_fit(c, p, b, r) + 1,
    ),
    (
        "That is the number of tokens; divide by the tokens of a page.",
        lambda c, p, b, r: _pages(c, 1, b, r, _context(c)),
    ),
)


def _context(config: ModelConfig) -> int:
    return config.text.max_position_embeddings


def check_pages(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a number of pages for four models, two languages and two budgets."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    cases = [(load_config(name), per_page, gib * 2**30, reserve) for name, per_page, gib, reserve in PAGES]
    found: list[int] = []
    for case in cases:
        result, problem = attempt(answer, case, "(config, tokens_per_page, budget, reserve)")
        if problem:
            return False, problem
        pages = as_whole(result)
        if pages is None:
            return False, f"It returns {shown(result)}; return a whole number of pages."
        found.append(pages)
    right = [pages_that_fit(*case) for case in cases]
    if found == right:
        few, many = right[1], right[0]
        return True, (
            f"Right in {len(cases)} cases. Of {PAGES[0][0]}, 1 GiB holds {many:,} pages of {PAGES[0][1]:,} tokens and "
            f"{few:,} of {PAGES[1][1]:,}."
        )
    for diagnosis, mistake in PAGE_MISTAKES:
        if found == [mistake(*case) for case in cases]:
            return False, diagnosis
    n = next(n for n, pair in enumerate(zip(found, right, strict=True)) if pair[0] != pair[1])
    name, per_page, gib, reserve = PAGES[n]
    where = f"{name}, {per_page:,} tokens a page, {gib:g} GiB, {reserve:,} in reserve"
    said = f"{where}: it says {shown(found[n])}, not {right[n]}"
    return False, f"Not yet, and not a mistake this checker knows. {said}."


CHECKS = {"14.2": check_rank, "14.3": check_pages}
