"""The other exercises of notebook 09: what the MTP head reads, and what drafting gains."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..model.norm import rms_normalise
from .numbers import numbers_of
from .verdict import Mistake, grade_function

# ------------------------------------------------------- 09.2  mtp_input(embedded, hidden, w_e, w_h, W, eps) -> x


def mtp_input(embedded: Tensor, hidden: Tensor, w_e: Tensor, w_h: Tensor, W: Tensor, eps: float) -> Tensor:
    """The oracle: x_i = W [RMSNorm(embedding of token i + 1); RMSNorm(hidden state of token i)], in float64.

    embedded, hidden [token, H], of the same tokens; w_e, w_h [H]; W [H, 2 H] -> [token − 1, H].
    """
    return _input(embedded, hidden, w_e, w_h, W, eps)


def _input(
    embedded: Tensor, hidden: Tensor, w_e: Tensor, w_h: Tensor, W: Tensor, eps: float, *, swapped: bool = False,
    plus: tuple[int, int] = (1, 1), normed: tuple[bool, bool] = (True, True), crossed: bool = False,
    pairs: tuple[slice, slice] = (slice(1, None), slice(None, -1)), l2: bool = False, joint: bool = False,
) -> Tensor:  # fmt: skip
    """The equation with one thing changed."""
    weights = (w_h, w_e) if crossed else (w_e, w_h)

    def norm(x: Tensor, w: Tensor, one: int) -> Tensor:
        return (x / x.norm(dim=-1, keepdim=True) if l2 else rms_normalise(x, eps)) * (one + w)

    parts = [
        norm(x.double()[pair], w.double(), one) if wanted else x.double()[pair]
        for x, pair, w, one, wanted in zip((embedded, hidden), pairs, weights, plus, normed, strict=True)
    ]
    x = torch.cat(parts[::-1] if swapped else parts, dim=-1)
    if joint:
        x = torch.cat([z.double()[pair] for z, pair in zip((embedded, hidden), pairs, strict=True)], dim=-1)
        x = norm(x, torch.cat((w_e, w_h)).double(), 1)
    return (x @ W.double().T).to(embedded.dtype)


def _with(**change: Any) -> Callable[..., Tensor]:
    return lambda *args: _input(*args, **change)


def mtp_inputs(seed: int = 0) -> list[tuple[Any, ...]]:
    """Streams of other sizes than one, and an ε that can be seen."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for tokens, H, eps in ((5, 8, 1e-6), (9, 6, 1e-2), (2, 4, 1e-6)):
        embedded, hidden = 0.3 * torch.randn(tokens, H, generator=draw), 4 * torch.randn(tokens, H, generator=draw)
        w_e, w_h = (0.5 * torch.randn(H, generator=draw) for _ in range(2))
        made.append((embedded, hidden, w_e, w_h, torch.randn(H, 2 * H, generator=draw), eps))
    return made


SAME, LATE = (slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None))
INPUT_MISTAKES = (
    Mistake(
        "The two halves are swapped: the embedding comes first, then the hidden state, as W was trained.",
        _with(swapped=True),
    ),
    Mistake(
        "Both norms miss the 1: the weights are stored around zero, so the factor is (1 + w).",
        _with(plus=(0, 0)),
    ),
    Mistake("The norm of the embedding misses the 1: the factor is (1 + w_e).", _with(plus=(0, 1))),
    Mistake("The norm of the hidden state misses the 1: the factor is (1 + w_h).", _with(plus=(1, 0))),
    Mistake("The weights are exchanged: w_e belongs to the embedding, w_h to the hidden state.", _with(crossed=True)),
    Mistake("Neither half is normalised.", _with(normed=(False, False))),
    Mistake("The embedding is not normalised.", _with(normed=(False, True))),
    Mistake(
        "The hidden state is not normalised: it has been through the model's final norm, and goes through one of the "
        "head's own as well.",
        _with(normed=(True, False)),
    ),
    Mistake(
        "The two are normalised as one long vector; each has a norm of its own, since the hidden state is much longer.",
        _with(joint=True),
    ),
    Mistake(
        "You divide by the length of the vector; RMSNorm divides by the root of the *mean* of the squares.",
        _with(l2=True),
    ),
    Mistake(
        "A slot pairs a token's hidden state with its own embedding; the head reads the *next* token's, "
        "`embedded[1:]` beside `hidden[:-1]`.",
        _with(pairs=SAME),
    ),
    Mistake(
        "The pairs are shifted the wrong way: the hidden state of token i goes with the embedding of token i + 1.",
        _with(pairs=LATE),
    ),
)


def check_mtp_input(answer: Any, given: Any) -> tuple[bool, str]:
    arguments = "(embedded, hidden, w_e, w_h, W, eps)"
    return grade_function(answer, mtp_input, mtp_inputs(), INPUT_MISTAKES, arguments=arguments, any_dtype=True)


# ----------------------------------------------------------------------------------- 09.3  speed_up(p, k, c)

CASES = [(p, k, c) for p in (0.0, 0.35, 0.8, 1.0) for k in (0, 1, 3, 8) for c in (0.0, 0.1, 0.5)]
SIMULATED = (0.7, 4, 20_000)  # p, k, steps


def speed_up(p: float, k: int, c: float) -> float:
    """The oracle: (1 + p + … + p^k) / (1 + k c)."""
    return sum(p**n for n in range(k + 1)) / (1 + k * c)


def simulate(p: float, k: int, steps: int, seed: int = 0) -> tuple[float, float]:
    """Tokens for every step when each draft is accepted with probability p, and the standard error of that mean."""
    kept = torch.rand(steps, k, generator=torch.Generator().manual_seed(seed)) < p
    tokens = 1 + kept.cumprod(1).sum(1).double()
    return float(tokens.mean()), float(tokens.std() / math.sqrt(steps))


SPEED_MISTAKES: tuple[tuple[str, Callable[[float, int, float], float]], ...] = (
    ("That is the number of tokens alone; a pass with k drafts costs 1 + k c.", lambda p, k, c: speed_up(p, k, 0)),
    (
        "You count the accepted drafts alone; every pass also writes one token of the model's own.",
        lambda p, k, c: (speed_up(p, k, 0) - 1) / (1 + k * c),
    ),
    (
        "You count 1 + k p, as if every draft had its own chance; the second counts only if the first was accepted: "
        "1 + p + p² + … + p^k.",
        lambda p, k, c: (1 + k * p) / (1 + k * c),
    ),
    (
        "1 / (1 − p) holds for endlessly many drafts; stop at p^k.",
        lambda p, k, c: (1 / (1 - p) if p < 1 else math.inf) / (1 + k * c),
    ),
    (
        "The sum stops one early: with k drafts the last term is p^k, and 1 − p^(k + 1) is in the numerator.",
        lambda p, k, c: sum(p**n for n in range(k)) / (1 + k * c),
    ),
    (
        "1 + p^k counts all or nothing; some of the drafts may be accepted: 1 + p + p² + … + p^k.",
        lambda p, k, c: (1 + k * p**k) / (1 + k * c),
    ),
    (
        "The cost is k c alone; the model's own pass costs 1, so a step costs 1 + k c.",
        lambda p, k, c: speed_up(p, k, 0) / (k * c) if k * c else math.inf,
    ),
    ("A step has k drafts, so it costs 1 + k c, not 1 + c.", lambda p, k, c: speed_up(p, k, 0) / (1 + c)),
    ("It is turned over: tokens over cost, so that more is faster.", lambda p, k, c: 1 / speed_up(p, k, c)),
)


def check_speed_up(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a formula on a grid of acceptance, drafts and cost, and hold it against a simulation."""
    found, problem = numbers_of(answer, CASES, "(p, k, c)")
    if "ZeroDivisionError" in problem and CASES[len(found)][0] == 1:
        return False, "It divides by 1 − p, which is 0 for a perfect head; what is the sum 1 + p + … + p^k then?"
    if problem:
        return False, problem
    wrong = [n for n, case in enumerate(CASES) if not _near(found[n], speed_up(*case))]
    if not wrong:
        p, k, steps = SIMULATED
        (mean, error), said = simulate(p, k, steps), float(answer(p, k, 0.0))
        return True, (
            f"Right in {len(CASES)} cases. With p = {p} and {k} drafts it says {said:.3f} tokens a pass; {steps:,} "
            f"simulated passes wrote {mean:.3f} ± {2 * error:.3f}."
        )
    if all(CASES[n][0] == 1 for n in wrong):
        return False, "Right but for p = 1, a perfect head: the sum 1 + p + … + p^k is then k + 1."
    for diagnosis, mistake in SPEED_MISTAKES:
        if all(_near(found[n], mistake(*case)) for n, case in enumerate(CASES) if case[0] < 1):
            return False, diagnosis
    p, k, c = CASES[wrong[0]]
    said = f"{found[wrong[0]]:.4g}, not {speed_up(p, k, c):.4g}"
    return False, f"Not yet, and not a mistake this checker knows: for p = {p}, k = {k}, c = {c} it says {said}."


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) or (math.isinf(a) and math.isinf(b))


CHECKS = {"09.2": check_mtp_input, "09.3": check_speed_up}
