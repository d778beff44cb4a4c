"""The last exercise of notebook 07: how many parameters of a mixture of experts work on one token."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..config import ModelConfig, TextConfig
from ..family import load_config
from ..family.sizes import parameters
from .numbers import numbers_of

# ------------------------------------------------------------------------- 07.3  active(text, mixers) -> parameters

TOLERANCE = 0.005


def active_cases() -> list[ModelConfig]:
    """Mixtures that nobody has released, in which every part weighs more than the tolerance."""
    base = load_config("Qwen3.5-35B-A3B")
    changes = (
        {"num_experts": 384, "num_experts_per_tok": 6, "moe_intermediate_size": 256, "vocab_size": 64_000},
        {"num_experts": 128, "num_experts_per_tok": 4, "shared_expert_intermediate_size": 1536, "hidden_size": 1024},
        {"num_experts": 512, "num_experts_per_tok": 12, "moe_intermediate_size": 192, "tie_word_embeddings": True},
    )
    return [replace(base, text=replace(base.text, **change)) for change in changes]


def mixer_parameters(config: ModelConfig) -> int:
    """Of all DeltaNet and attention layers, with the norms of the residual stream."""
    count = parameters(config)
    return count.deltanet + count.attention + count.norms


def _active(
    text: TextConfig, mixers: int, *, tables: int | None = None, experts: int | None = None, shared: int | None = None,
    router: bool = True, matrices: int = 3, layers: int | None = None,
) -> int:  # fmt: skip
    """The sum with one thing changed."""
    H, k, width = text.hidden_size, text.num_experts_per_tok, text.moe_intermediate_size
    tables = 2 - text.tie_word_embeddings if tables is None else tables
    inside = text.shared_expert_intermediate_size if shared is None else shared
    layer = (k if experts is None else experts) * matrices * H * width + matrices * H * inside + H * bool(inside)
    layer += text.num_experts * H if router else 0
    return tables * text.vocab_size * H + mixers + (text.num_hidden_layers if layers is None else layers) * layer


ACTIVE_MISTAKES: tuple[tuple[str, Callable[[TextConfig, int], int]], ...] = (
    ("You count all experts: only `num_experts_per_tok` of them work on a token.",
     lambda t, m: _active(t, m, experts=t.num_experts)),
    ("The shared expert is missing: it works on every token.", lambda t, m: _active(t, m, shared=0)),
    ("The shared expert has a width of its own, `shared_expert_intermediate_size`.",
     lambda t, m: _active(t, m, shared=t.moe_intermediate_size)),
    ("The token table is counted twice where the head is the same table (`tie_word_embeddings`).",
     lambda t, m: _active(t, m, tables=2)),
    ("The head is missing: where it is not tied, it is a second table of V × H.", lambda t, m: _active(t, m, tables=1)),
    ("The token tables are missing.", lambda t, m: _active(t, m, tables=0)),
    ("The router is missing: it scores all experts for every token, E × H in each layer.",
     lambda t, m: _active(t, m, router=False)),
    ("An expert has three matrices (gate, up, down), not two.", lambda t, m: _active(t, m, matrices=2)),
    ("You count one layer's experts; there are `num_hidden_layers`.", lambda t, m: _active(t, m, layers=1)),
    ("The mixers are missing: add the number that is given.", lambda t, m: _active(t, 0)),
)  # fmt: skip


def check_active(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a count on configs it has not seen, within half a percent."""
    cases = [(config.text, mixer_parameters(config), parameters(config).active) for config in active_cases()]
    found, problem = numbers_of(answer, [(text, mixers) for text, mixers, _ in cases], "(text, mixers)")
    if problem:
        return False, problem
    off = [abs(n / right - 1) for n, (*_, right) in zip(found, cases, strict=True)]
    if max(off) <= TOLERANCE:
        return True, f"Right for {len(cases)} new mixtures, within {max(off):.2%}."
    for diagnosis, mistake in ACTIVE_MISTAKES:
        if all(abs(n / mistake(text, mixers) - 1) < 1e-3 for n, (text, mixers, _) in zip(found, cases, strict=True)):
            return False, diagnosis
    n = off.index(max(off))
    return False, (
        f"Not yet, and not a mistake this checker knows: for {cases[n][0].num_experts} experts it says "
        f"{found[n]:,.0f}, not {cases[n][2]:,}, off by {max(off):.1%}."
    )


CHECKS = {"07.3": check_active}
