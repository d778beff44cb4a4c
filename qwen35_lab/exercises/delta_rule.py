"""The exercises of notebook 03: one step of the delta rule, keys that do not disturb each other (and eraser.py)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..model.delta_rule import recurrent
from ..model.norm import l2_norm
from .eraser import check_break
from .verdict import Mistake, attempt, grade_function

# ------------------------------------------------------------- 03.1  gated_delta_step(S, q, k, v, beta, g) -> (S, o)


def gated_delta_step(S: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """The oracle: the package's recurrence over one token, one head, in float64.

    S [K, V], q, k [K], v [V], beta and g without axes -> the next S [K, V] and o [V].
    """
    q, k, v, g, beta, state = (x.double()[None, None] for x in (q, k, v, g, beta, S))
    o, state = recurrent(q[None], k[None], v[None], g[None], beta[None], state)
    return state[0, 0].to(S.dtype), o[0, 0, 0].to(S.dtype)


def step_inputs(seed: int = 0) -> list[tuple[Tensor, ...]]:
    """A square state first, where a transposed one still runs; then others, and the ends of β and g."""
    draw = torch.Generator().manual_seed(seed)
    sizes = [(5, 5, 0.7, -0.4), (4, 6, 0.3, -1.1), (6, 3, 0.9, -0.05), (4, 4, 1.0, 0.0), (3, 5, 0.0, -0.5)]
    return [_step_input(draw, *size) for size in sizes]


def simple_steps(seed: int = 1) -> dict[str, tuple[Tensor, ...]]:
    """Steps where part of the equation drops out."""
    draw = torch.Generator().manual_seed(seed)
    empty = _step_input(draw, 4, 6, 0.6, -0.7)
    return {
        "where nothing fades (g = 0)": _step_input(draw, 5, 5, 0.6, 0.0),
        "where all is written (β = 1)": _step_input(draw, 5, 5, 1.0, -0.7),
        "where nothing is written (β = 0)": _step_input(draw, 5, 5, 0.0, -0.7),
        "where the memory was empty (S = 0)": (0 * empty[0], *empty[1:]),
    }


def _step_input(draw: torch.Generator, K: int, V: int, beta: float, g: float) -> tuple[Tensor, ...]:
    S, q, k, v = (torch.randn(shape, generator=draw) for shape in ((K, V), (K,), (K,), (V,)))
    return S, l2_norm(q) * K**-0.5, l2_norm(k), v, torch.tensor(beta), torch.tensor(g)


Step = Callable[..., tuple[Tensor, Tensor]]


def _writing(change: Callable[..., Tensor]) -> Step:
    """A step that writes something else under k: change(β, v, what was stored)."""

    def step(S: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        S = g.exp() * S
        S = S + torch.outer(k, change(beta, v, S.T @ k))
        return S, S.T @ q

    return step


def _fading(factor: Callable[[Tensor], Any]) -> Step:
    """A step in which the old state is multiplied by another factor of g."""
    return lambda S, q, k, v, beta, g: gated_delta_step(factor(g) * S, q, k, v, beta, 0 * g)


def _reading(read: Callable[..., Tensor]) -> Step:
    """A step whose state is right and whose output is not: read(S before, S after, q, k, g)."""

    def step(S: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        after, _ = gated_delta_step(S, q, k, v, beta, g)
        return after, read(S, after, q, k, g)

    return step


def _error_first(S: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    S = g.exp() * S + torch.outer(k, beta * (v - S.T @ k))
    return S, S.T @ q


def _decay_last(S: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    S = g.exp() * (S + torch.outer(k, beta * (v - S.T @ k)))
    return S, S.T @ q


def _erase_with_query(S: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    S = g.exp() * S
    S = S + torch.outer(k, beta * (v - S.T @ q))
    return S, S.T @ q


def _transposed(error: bool = False, outer: bool = False, output: bool = False) -> Step:
    """S taken as [V, K] in some of its three places."""

    def step(S: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        S = g.exp() * S
        change = torch.outer(k, beta * (v - (S if error else S.T) @ k))
        S = S + (change.T if outer else change)
        return S, (S if output else S.T) @ q

    return step


STEP_MISTAKES = (
    Mistake(
        "The error is computed before the decay. The order is decay, error, write: what is erased is what the faded "
        "memory returns, v − (e^g S)ᵀ k.",
        _error_first,
    ),
    Mistake("The decay comes last, so that the new value fades too; let S fade first, then write.", _decay_last),
    Mistake(
        "The outer product is the wrong way round: rows of S belong to keys, so write `torch.outer(k, …)`.",
        _transposed(outer=True),
    ),
    Mistake(
        "You treat S as [V, K], as the paper does; here it is [K, V]: read with Sᵀk and write k ⊗ ….",
        _transposed(error=True, outer=True, output=True),
    ),
    Mistake(
        "Both reads use S where they need Sᵀ: what is stored under k is `S.T @ k`, and the output is `S.T @ q`.",
        _transposed(error=True, output=True),
    ),
    Mistake(
        "What is stored under k is `S.T @ k`, not `S @ k`: S is [K, V], and the key meets its rows.",
        _transposed(error=True),
    ),
    Mistake("The state is right, the output is not: it is `S.T @ q`, not `S @ q`.", _transposed(output=True)),
    Mistake(
        "β is missing: only the share β of the correction is written, k ⊗ β (v − Sᵀk).",
        _writing(lambda beta, v, stored: v - stored),
    ),
    Mistake(
        "β scales the write, but not the erase: it belongs in front of the whole correction, β (v − Sᵀk).",
        _writing(lambda beta, v, stored: beta * v - stored),
    ),
    Mistake(
        "β scales the erase, but not the write: it belongs in front of the whole correction, β (v − Sᵀk).",
        _writing(lambda beta, v, stored: v - beta * stored),
    ),
    Mistake(
        "β is applied twice; once is enough, k ⊗ β (v − Sᵀk).",
        _writing(lambda beta, v, stored: beta * beta * (v - stored)),
    ),
    Mistake(
        "The erase is missing: you add β v on top of what is there, which is linear attention with decay. The delta "
        "rule writes β (v − Sᵀk).",
        _writing(lambda beta, v, stored: beta * v),
    ),
    Mistake(
        "Erase and β are both missing: you add v on top of what is there; write β (v − Sᵀk).",
        _writing(lambda beta, v, stored: v),
    ),
    Mistake(
        "Decay and β are both missing: multiply S by e^g first, and write only the share β of the correction.",
        lambda S, q, k, v, beta, g: gated_delta_step(S, q, k, v, 1 + 0 * beta, 0 * g),
    ),
    Mistake(
        "β goes through a sigmoid once more; it comes between 0 and 1 already.",
        _writing(lambda beta, v, stored: beta.sigmoid() * (v - stored)),
    ),
    Mistake(
        "You erase what the query finds; what is replaced is what stands under the key, `S.T @ k`.",
        _erase_with_query,
    ),
    Mistake(
        "What was stored is added once more, not taken out: the correction is v minus Sᵀk.",
        _writing(lambda beta, v, stored: beta * (v + stored)),
    ),
    Mistake(
        "The correction is subtracted; add it, S + k ⊗ β (v − Sᵀk).",
        _writing(lambda beta, v, stored: beta * (stored - v)),
    ),
    Mistake("g is a logarithm: the state is multiplied by e^g, not by g.", _fading(lambda g: g)),
    Mistake("e^−g makes the memory grow: g is negative already, the factor is e^g.", _fading(lambda g: (-g).exp())),
    Mistake("1 + g is close to e^g only for a small g: multiply S by `g.exp()`.", _fading(lambda g: 1 + g)),
    Mistake("1 − g makes the memory grow, as g is negative: multiply S by `g.exp()`.", _fading(lambda g: 1 - g)),
    Mistake("2^g is another base: g is a natural logarithm, multiply S by `g.exp()`.", _fading(lambda g: 2**g)),
    Mistake("The state fades twice; multiply it by e^g once.", _fading(lambda g: (2 * g).exp())),
    Mistake("The decay is missing: multiply S by e^g before anything else.", _fading(lambda g: 1)),
    Mistake(
        "The state is right, but you read it before the write: a token sees its own value, o = Sᵀq with the new S.",
        _reading(lambda before, after, q, k, g: g.exp() * before.T @ q),
    ),
    Mistake(
        "The state is right, but you read the one that came in, before decay and write; read the new S.",
        _reading(lambda before, after, q, k, g: before.T @ q),
    ),
    Mistake(
        "The state is right, but you read with the key; q asks the question, o = Sᵀq.",
        _reading(lambda before, after, q, k, g: after.T @ k),
    ),
    Mistake(
        "You scale the query once more by K^-½; it comes scaled already, as k comes normalised.",
        _reading(lambda before, after, q, k, g: after.T @ q * len(q) ** -0.5),
    ),
    Mistake(
        "You normalise the query once more, which undoes its scale K^-½; q and k come ready for use.",
        _reading(lambda before, after, q, k, g: after.T @ l2_norm(q)),
    ),
)


def check_step(answer: Any, given: Any) -> tuple[bool, str]:
    arguments = "(S, q, k, v, beta, g)"
    return grade_function(
        answer, gated_delta_step, step_inputs(), STEP_MISTAKES, arguments=arguments, returns="(S, o)", any_dtype=True,
        simple=simple_steps(),
    )  # fmt: skip


# ------------------------------------------------------------------------------ 03.2  orthogonal_keys(n, size)

ASKED = ((1, 4), (2, 2), (3, 7), (5, 8), (16, 16), (8, 32))  # n, size


def check_orthogonal(answer: Any, given: Any) -> tuple[bool, str]:
    """Write under the keys and look what they return; if that is wrong, their products say why."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    for n, size in ASKED:
        keys, problem = attempt(answer, (n, size), "(n, size)")
        problem = problem or _not_keys(keys, n, size)
        if not problem and not _recalls(keys.double(), seed=n):
            problem = f"With n={n}, size={size} not every value is recalled: {_why(keys.double())}"
        if problem:
            return False, problem
    if problem := _too_many(answer):
        return False, problem
    return True, (
        f"Every value is recalled, for {len(ASKED)} sets of keys written in any order and written over: "
        "a write under one key moves what another returns by k·k′ times the correction, and k·k′ = 0."
    )


def _not_keys(keys: Any, n: int, size: int) -> str:
    if not isinstance(keys, Tensor):
        return f"It returns a {type(keys).__name__}; return a tensor [n, size]."
    if list(keys.shape) != [n, size]:
        return f"For n={n}, size={size} it returns shape {list(keys.shape)}; return one key per row, [{n}, {size}]."
    if not keys.isfinite().all():
        return f"For n={n}, size={size} a key holds NaN or infinity; is something divided by a length of 0?"
    return ""


def _why(keys: Tensor) -> str:
    products = keys @ keys.T
    apart = products - products.diagonal().diag()
    if apart.abs().max() > 1e-5:
        i, j = sorted(divmod(int(apart.abs().argmax()), len(keys)))
        return (
            f"the keys {i} and {j} are not orthogonal, k·k′ = {float(products[i, j]):.2g}; "
            f"writing under key {j} moves what key {i} returns by that share of the correction."
        )
    i = int((products.diagonal() - 1).abs().argmax())
    subject = f"the keys are orthogonal, but key {i}" if len(keys) > 1 else "the key"
    return (
        f"{subject} has length {float(keys[i].norm()):.3g}, and reading back multiplies "
        f"what was written by the length squared, {float(products[i, i]):.3g}; divide each key by its length."
    )


def _recalls(keys: Tensor, seed: int) -> bool:
    """Write under every key in any order, some again; each must return what was written last (β = 1, g = 0)."""
    n, draw = len(keys), torch.Generator().manual_seed(seed)
    order = torch.cat((torch.randperm(n, generator=draw), torch.randint(n, (n + 3,), generator=draw)))
    values = torch.randn(len(order), 6, generator=draw, dtype=torch.float64)
    latest = {int(key): value for key, value in zip(order, values, strict=True)}
    k, none = keys[order][None, :, None], torch.zeros(1, len(order), 1, dtype=torch.float64)
    _, S = recurrent(k, k, values[None, :, None], none, none + 1)
    returned = keys @ S[0, 0]
    return all(torch.allclose(returned[key], value, atol=1e-4) for key, value in latest.items())


def _too_many(answer: Any) -> str:
    """More keys than directions: the function must refuse."""
    n, size = 5, 4
    try:
        answer(n, size)
    except ValueError:
        return ""
    except Exception as error:
        return f"For n={n}, size={size} it raises {type(error).__name__}; raise a ValueError that says why."
    return (
        f"There are no {n} orthogonal keys of size {size}: a memory [K, V] has room for K of them. Where n > size, "
        "raise a ValueError instead of returning something."
    )


CHECKS = {"03.1": check_step, "03.2": check_orthogonal, "03.3": check_break}
