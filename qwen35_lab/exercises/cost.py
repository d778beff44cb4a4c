"""The exercises of notebook 06: what a layer costs, where two memories weigh the same, and what doubling does."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..analysis.cost import MIXES, mixed, mixer_cost
from ..analysis.scaling import LayerTimes
from ..config import FULL, LINEAR, ModelConfig, TextConfig
from ..family import load_config
from .numbers import as_number, numbers_of, shown

Formula = Callable[[TextConfig, int], float]
WITHIN = 0.01  # of the right number
FACTOR_WITHIN = 0.05  # that a predicted doubling may be off


def cases(seed: int = 0) -> list[tuple[TextConfig, int]]:
    """Texts of several lengths for models of other sizes than any official one."""
    draw, made = random.Random(seed), []
    for _ in range(5):
        kv, keys = draw.choice((1, 2, 3)), draw.choice((2, 3, 4))
        text = replace(
            mixed("0.8B", (draw.choice((2, 4, 5)), 1), 30).text, hidden_size=draw.choice((320, 640, 1152)),
            num_attention_heads=kv * draw.choice((2, 3, 4)), num_key_value_heads=kv, head_dim=draw.choice((96, 160)),
            linear_num_key_heads=keys, linear_num_value_heads=keys * draw.choice((2, 3)),
            linear_key_head_dim=draw.choice((48, 80)), linear_value_head_dim=draw.choice((112, 144)),
        )  # fmt: skip
        made.append((text, draw.choice((300, 1500, 6000))))
    return made


# -------------------------------------------------------------------- 06.1  layer_flops(text, kind, tokens) -> number


def layer_flops(text: TextConfig, kind: str, tokens: int) -> int:
    """The oracle: FLOPs of one mixer on a text, as `analysis.cost` counts them.

    Attention over the pairs that the causal rule allows; DeltaNet token after token, as the recurrence is defined.
    """
    config = ModelConfig("qwen3_5_text", text)
    if kind == FULL:
        return mixer_cost(config, FULL, tokens).flops
    return tokens * mixer_cost(config, LINEAR, 1).flops


def _attention(
    t: TextConfig, tokens: int, *, gate: int = 2, heads: int | None = None, pairs: float = 0.5,
    projections: int = 1, flops: int = 2, width: int | None = None,
) -> float:  # fmt: skip
    """The count with one thing changed."""
    D = width or t.head_dim
    Q, R = t.num_attention_heads * D, (heads or t.num_key_value_heads) * D
    rows = t.hidden_size * (gate * Q + 2 * R + Q) * projections
    return flops * (tokens * rows + 2 * pairs * tokens * (tokens + (pairs == 0.5)) * Q)


def _deltanet(
    t: TextConfig, tokens: int, *, z: int = 1, heads: int | None = None, steps: float = 3.5,
    projections: int = 1, flops: int = 2, squared: bool = False,
) -> float:  # fmt: skip
    G, J, K, V = (
        t.linear_num_key_heads, t.linear_num_value_heads, t.linear_key_head_dim, t.linear_value_head_dim
    )  # fmt: skip
    channels = 2 * G * K + J * V
    rows = t.hidden_size * (channels + z * J * V + 2 * J + J * V) * projections
    state = (heads or J) * K * V * steps * (tokens if squared else 1)
    return flops * tokens * (rows + channels * t.linear_conv_kernel_dim + state)


def _with(count: Callable[..., float], **change: Any) -> Formula:
    return lambda t, tokens: count(t, tokens, **change)


ATTENTION_MISTAKES: tuple[tuple[str, Formula], ...] = (
    ("A factor of 2 is missing: a multiplication and an addition are two FLOPs.", _with(_attention, flops=1)),
    (
        "The causal half is forgotten: a token looks at itself and at earlier ones, T (T + 1) / 2 pairs and not T².",
        _with(_attention, pairs=1.0),
    ),
    (
        "Half of the work over pairs is missing: either the causal half is taken twice, or only one of two products is "
        "counted. Scores q kᵀ and their weights times v each take about T² / 2 pairs.",
        _with(_attention, pairs=0.25),
    ),
    (
        "The projections are forgotten; in a short text they are most of the work.",
        _with(_attention, projections=0),
    ),
    (
        "One projection is missing, as wide as the queries: `q_proj` makes a query *and* a gate for every head, and "
        "the output goes back to `hidden_size`.",
        _with(_attention, gate=1),
    ),
    (
        "You project keys and values for all query heads; there are only `num_key_value_heads` of them.",
        lambda t, tokens: _attention(t, tokens, heads=t.num_attention_heads),
    ),
    (
        "You take `hidden_size` / `num_attention_heads` for the width of a head; here it is `head_dim`.",
        lambda t, tokens: _attention(t, tokens, width=t.hidden_size // t.num_attention_heads),
    ),
)
DELTANET_MISTAKES: tuple[tuple[str, Formula], ...] = (
    ("A factor of 2 is missing: a multiplication and an addition are two FLOPs.", _with(_deltanet, flops=1)),
    ("The projections are forgotten; they are most of a DeltaNet layer's work.", _with(_deltanet, projections=0)),
    (
        "The state is forgotten: every token lets K × V numbers of every head fade, reads them twice and writes once.",
        _with(_deltanet, steps=0),
    ),
    (
        "The state is worked on once for every *value* head; query and key heads are shared among them.",
        lambda t, tokens: _deltanet(t, tokens, heads=t.linear_num_key_heads),
    ),
    (
        "One projection is missing, as wide as the values: there is the output gate z, and the output goes back to "
        "`hidden_size`.",
        _with(_deltanet, z=0),
    ),
    (
        "Your state grows with the text twice: a step costs the same for every token, however many came before.",
        _with(_deltanet, squared=True),
    ),
)


def check_layer_flops(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a count for both kinds of mixers, each mistake known by its numbers."""
    for kind, name, mistakes in (
        (FULL, "attention", ATTENTION_MISTAKES),
        (LINEAR, "DeltaNet", DELTANET_MISTAKES),
    ):
        found, problem = numbers_of(answer, [(t, kind, n) for t, n in cases()], "(text, kind, tokens)")
        if problem:
            return False, problem
        right = [float(layer_flops(t, kind, n)) for t, n in cases()]
        if not _all_near(found, right):
            said = _known(found, [(diagnosis, [f(t, n) for t, n in cases()]) for diagnosis, f in mistakes])
            return False, f"For {name}: {said or _unknown(found, right, cases()[0][1])}"
    return True, f"Right within 1% for both kinds of layers, {len(cases())} models and lengths each."


# ----------------------------------------------------------------------------- 06.2  break_even(text) -> tokens


def break_even(t: TextConfig, *, kv_layers: int | None = None, states: int | None = None, heads: int | None = None,
               both: int = 2, state_heads: int | None = None, kv_bytes: int = 2, state_bytes: int = 4,
               inputs: int = 0) -> float:  # fmt: skip
    """The oracle, and with one thing changed the mistakes: bytes of the states over bytes of a token's keys and values.

    Keys and values in bfloat16, states in float32.
    """
    linear, full = t.layer_types.count(LINEAR), t.layer_types.count(FULL)
    per_token = both * (kv_layers or full) * (heads or t.num_key_value_heads) * t.head_dim * kv_bytes
    area = t.linear_key_head_dim * t.linear_value_head_dim
    channels = 2 * t.linear_num_key_heads * t.linear_key_head_dim + t.linear_num_value_heads * t.linear_value_head_dim
    kept = (states or linear) * ((state_heads or t.linear_num_value_heads) * area * state_bytes + 2 * inputs * channels)
    return kept / per_token


EVEN_MISTAKES: tuple[tuple[str, Callable[[TextConfig], float]], ...] = (
    (
        "You count keys and values for all layers; only the full-attention ones keep them, the others have a state.",
        lambda t: break_even(t, kv_layers=len(t.layer_types)),
    ),
    (
        "You count a state for every layer; only the linear-attention ones have it.",
        lambda t: break_even(t, states=len(t.layer_types)),
    ),
    (
        "That compares one layer with one layer; there are several DeltaNet layers for each of attention.",
        lambda t: break_even(t, kv_layers=1, states=1),
    ),
    ("A token leaves a key *and* a value; count both.", lambda t: break_even(t, both=1)),
    (
        "You keep keys and values for every query head; they are shared, there are `num_key_value_heads` of them.",
        lambda t: break_even(t, heads=t.num_attention_heads),
    ),
    (
        "There is a state for every *value* head, and not for every key head.",
        lambda t: break_even(t, state_heads=t.linear_num_key_heads),
    ),
    (
        "The two have different bytes: keys and values 2 (bfloat16), states 4 (float32).",
        lambda t: break_even(t, state_bytes=2),
    ),
    ("It is turned over: bytes of the states over bytes of one token.", lambda t: 1 / break_even(t)),
    (
        "The convolutions' last inputs are in it; asked is where keys and values weigh as much as the states alone.",
        lambda t: break_even(t, inputs=t.linear_conv_kernel_dim - 1),
    ),
)


def check_break_even(answer: Any, given: Any) -> tuple[bool, str]:
    found, problem = numbers_of(answer, [(t,) for t, _ in cases()], "(text)")
    if problem:
        return False, problem
    right = [break_even(t) for t, _ in cases()]
    if not _all_near(found, right):
        known = _known(found, [(diagnosis, [f(t) for t, _ in cases()]) for diagnosis, f in EVEN_MISTAKES])
        return False, known or _unknown(found, right, None)
    official = load_config("397B-A17B").text
    return True, f"Right for {len(right)} new models; for the 397B it says {float(answer(official)):,.0f} tokens."


# ---------------------------------------------- 06.3  {mix: factor}, given what was counted and measured of the layers


def check_doubling(answer: Any, given: Any) -> tuple[bool, str]:
    """Hold predicted factors against the count of FLOPs, and show beside them what the clock says.

    The clock is no judge: its repeats may agree with each other and be wrong together, on a machine that is busy.
    """
    if not isinstance(given, LayerTimes) or len(given.tokens) != 2 or given.tokens[1] != 2 * given.tokens[0]:
        return False, "Pass `given`, what `time_layers` has measured at a length and at twice that."
    if not isinstance(answer, Mapping) or not answer:
        return False, f"Pass a dict of a factor for each mix; this is a {type(answer).__name__}."
    if problem := _no_factors(answer):
        return False, problem
    factors = {mix: as_number(factor) or 0.0 for mix, factor in answer.items()}
    said, wrong = [], []
    for mix, factor in factors.items():
        work = given.work_doubling(mix, given.tokens[0])
        middle, low, high = given.doubling(mix, given.tokens[0])
        said.append(f"{mix} {work:.2f} times the FLOPs, {middle:.2f} times the seconds ({low:.2f} to {high:.2f})")
        if not math.isclose(factor, work, rel_tol=FACTOR_WITHIN):
            wrong.append(mix)
    told = "; ".join(said)
    if not wrong:
        return True, f"Your factors are those of the work. Counted and measured here: {told}."
    hint = ""
    if "all attention" in wrong and abs(factors["all attention"] - 4) < 0.1:
        hint = " 4 is where attention goes in very long texts; here its projections, which only double, weigh as much."
    elif "all DeltaNet" in wrong and factors["all DeltaNet"] > 2.5:
        hint = " A DeltaNet layer does the same work for every token, so it doubles."
    return False, f"not yet, for {', '.join(wrong)}.{hint} Counted and measured here: {told}."


def _no_factors(answer: Mapping[Any, Any]) -> str:
    """What keeps a dict from being a number for each of some mixes."""
    if unknown := [mix for mix in answer if mix not in MIXES]:
        return f"There is no mix {shown(unknown[0])}; the mixes are {', '.join(MIXES)}."
    if missing := [mix for mix, factor in answer.items() if factor is None]:
        return f"Not written yet: predict a number for {', '.join(missing)}."
    wrong = [(mix, factor) for mix, factor in answer.items() if as_number(factor) is None]
    return f"The factor of {wrong[0][0]} is a {type(wrong[0][1]).__name__}; pass a number." if wrong else ""


# ------------------------------------------------------------------------------------------------------------ both


def _all_near(found: list[float], right: list[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=WITHIN) for a, b in zip(found, right, strict=True))


def _known(found: list[float], mistakes: list[tuple[str, list[float]]]) -> str:
    """The diagnosis whose numbers these are; the nearest, where two are within 1 %."""

    def off(wrong: list[float]) -> float:
        return max(abs(a / b - 1) if b else math.inf for a, b in zip(found, wrong, strict=True))

    diagnosis, numbers = min(mistakes, key=lambda mistake: off(mistake[1]))
    return diagnosis if off(numbers) <= WITHIN else ""


def _unknown(found: list[float], right: list[float], tokens: int | None) -> str:
    where = f" for a text of {tokens:,} tokens" if tokens else " for the first model"
    return (
        f"not yet, and not a mistake this checker knows:{where} it is {found[0] / right[0]:.3g} times the right "
        "number. Compare term by term."
    )


CHECKS = {"06.1": check_layer_flops, "06.2": check_break_even, "06.3": check_doubling}
