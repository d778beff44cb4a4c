"""Two exercises of notebook 07: routing a token, and the loss that keeps routers even. The third is in active.py."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..analysis.balancing import balance_loss
from .verdict import Mistake, attempt, grade_function

# ------------------------------------------------------------------------- 07.1  route(logits, k) -> ids, weights


def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The oracle: softmax over all experts in float32, the k best, their weights renormalised.

    logits [token, expert] -> ids, weights [token, k], best first.
    """
    weights, ids = logits.float().softmax(-1).topk(k)
    return ids, weights / weights.sum(-1, keepdim=True)


def route_inputs(seed: int = 0) -> list[tuple[Tensor, int]]:
    """Routers of other sizes, sure and unsure ones; the last in bfloat16."""
    draw = torch.Generator().manual_seed(seed)
    made = [(spread * torch.randn(tokens, E, generator=draw), k)
            for tokens, E, k, spread in ((5, 8, 2, 1.0), (7, 6, 3, 3.0), (1, 32, 8, 0.5), (4, 5, 5, 1.0))]  # fmt: skip
    return [*made, (torch.randn(6, 16, generator=draw).bfloat16(), 4)]


def _top(logits: Tensor, k: int) -> Tensor:
    return logits.float().softmax(-1).topk(k).values


WEIGHT_MISTAKES: tuple[tuple[str, Callable[[Tensor, int], Tensor]], ...] = (
    ("The weights are not renormalised: divide by their sum, so that those of each token add up to one.", _top),
    (
        "The softmax comes after top-k once more: the chosen probabilities go through a second softmax, which makes "
        "them nearly equal. One softmax over all experts, then top-k, then divide by the sum.",
        lambda logits, k: _top(logits, k).softmax(-1),
    ),
    ("All the chosen get the same weight, 1 / k; theirs are their probabilities, renormalised.",
     lambda logits, k: torch.full((len(logits), k), 1 / k)),
    ("The weights are divided by the largest, not by their sum.",
     lambda logits, k: _top(logits, k) / _top(logits, k).amax(-1, keepdim=True)),
    ("The logits themselves are renormalised; the softmax over all experts comes first.",
     lambda logits, k: (x := logits.float().topk(k).values) / x.sum(-1, keepdim=True)),
    ("The sum runs over tokens: renormalise each token's weights, `sum(-1, keepdim=True)`.",
     lambda logits, k: _top(logits, k) / _top(logits, k).sum(0, keepdim=True)),
    ("The weights are those of a softmax over tokens; over experts is `softmax(-1)`.",
     lambda logits, k: (x := logits.float().softmax(0).gather(-1, route(logits, k)[0])) / x.sum(-1, keepdim=True)),
)  # fmt: skip


def check_route(answer: Any, given: Any) -> tuple[bool, str]:
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    cases, results = route_inputs(), []
    for logits, k in cases:
        result, problem = attempt(answer, (logits.clone(), k), "(logits, k)")
        problem = problem or _choice_problem(result, logits, k)
        if problem:
            return False, problem
        results.append(result[1].double())
    near = [torch.allclose(w, route(*case)[1].double(), atol=1e-5) for w, case in zip(results, cases, strict=True)]
    if all(near):
        return True, f"`{getattr(answer, '__name__', 'it')}` routes as the package does on {len(cases)} inputs."
    for diagnosis, mistake in WEIGHT_MISTAKES:
        if all(_equal(w, mistake(*case)) for w, case in zip(results, cases, strict=True)):
            return False, diagnosis
    off = max(float((w - route(*case)[1]).abs().max()) for w, case in zip(results, cases, strict=True))
    if off < 0.02:
        return False, (
            f"Right to two digits, but off by up to {off:.1g}: it computes in low precision. Begin with "
            "`logits.float()`, and return float32 weights."
        )
    sums = max(float((w.sum(-1) - 1).abs().max()) for w in results)
    clue = "" if sums < 1e-3 else " They do not add up to one."
    return False, f"The experts are right, the weights not, by a mistake this checker does not know.{clue}"


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b.double(), atol=5e-3, equal_nan=True)


def _choice_problem(result: Any, logits: Tensor, k: int) -> str:
    """What is wrong with the form of an answer, and with the experts in it."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        return f"It returns a {type(result).__name__}; return two tensors, ids and weights."
    ids, weights = result
    if not isinstance(ids, Tensor) or not isinstance(weights, Tensor):
        return "One of ids and weights is no tensor; `topk` returns tensors."
    if ids.is_floating_point() and not weights.is_floating_point():
        return "The results come in the wrong order: return ids first, then weights. `topk` gives values, then indices."
    tokens, E = logits.shape
    if k != E and weights.shape == (tokens, E):
        return f"It returns weights of all {E} experts; only the {k} chosen answer, so return [token, k]."
    for name, part in (("ids", ids), ("weights", weights)):
        if part.shape != (tokens, k):
            return f"For logits of shape {list(logits.shape)} and k = {k}, {name} has shape {list(part.shape)}, not " \
                   f"{[tokens, k]}."  # fmt: skip
    if ids.is_floating_point() or int(ids.min()) < 0 or int(ids.max()) >= E:
        return f"ids must be whole numbers from 0 to {E - 1}, the experts' places in the logits."
    return _order_problem(logits.gather(-1, ids.long()), logits, k)


def _order_problem(found: Tensor, logits: Tensor, k: int) -> str:
    """Ties may fall either way, so the logits of the chosen are compared, not their numbers."""
    best = logits.topk(k).values
    if torch.equal(found, best):
        return ""
    if torch.equal(found.sort(-1, descending=True).values, best):
        return "The right experts in the wrong order: the best comes first, as `topk` gives them."
    if torch.equal(found.sort(-1).values, logits.topk(k, largest=False).values.sort(-1).values):
        return "These are the k worst experts; take the largest probabilities."
    return "These are not the k best experts of each token; choose along the last axis."


# ------------------------------------------------------------------------- 07.2  balance(logits, k) -> scalar


def balance(logits: Tensor, k: int) -> Tensor:
    """The oracle: the mean over layers of E · Σ f P. logits [layer, token, expert] -> a scalar."""
    return torch.stack([balance_loss(layer, k) for layer in logits]).mean()


def _balance(
    logits: Tensor, k: int, *, P: Callable[[Tensor, int], Tensor] = lambda x, k: x.softmax(-1), scale: bool = True,
    pooled: bool = False, total: bool = False, choices: bool = True, soft: bool = False,
) -> Tensor:  # fmt: skip
    """The equation with one thing changed."""
    E = logits.shape[-1]
    ids = logits.topk(k).indices.flatten(1, 2)  # [layer, choice]
    f = torch.stack([torch.bincount(row, minlength=E) for row in ids]) / (ids.shape[1] / (1 if choices else k))
    mean = P(logits, k).mean(1)
    f = mean if soft else f
    if pooled:
        f, mean = f.mean(0, keepdim=True), mean.mean(0, keepdim=True)
    each = (E if scale else 1) * (f * mean).sum(-1)
    return each.sum() if total else each.mean()


def _of_chosen(logits: Tensor, k: int, renormalise: bool = True) -> Tensor:
    """Probabilities of the chosen experts, 0 for the others."""
    p = logits.softmax(-1)
    top = p.topk(k)
    kept = torch.zeros_like(p).scatter(-1, top.indices, top.values)
    return kept / kept.sum(-1, keepdim=True) if renormalise else kept


def _balance_with(**change: Any) -> Callable[[Tensor, int], Tensor]:
    return lambda logits, k: _balance(logits, k, **change)


BALANCE_MISTAKES = (
    Mistake(
        "P is taken from the chosen experts alone. It is the mean of the probability over *all* experts: one that is "
        "never chosen must be seen too, or nothing brings it back.",
        _balance_with(P=_of_chosen),
    ),
    Mistake(
        "P is taken from the chosen experts alone, without the others' probabilities. It is the mean of the whole "
        "softmax.",
        _balance_with(P=lambda x, k: _of_chosen(x, k, False)),
    ),
    Mistake(
        "The logits go through two softmaxes. The second makes all probabilities nearly equal, and the loss nearly 1 "
        "whatever the router does (transformers#45120).",
        _balance_with(P=lambda x, k: x.softmax(-1).softmax(-1)),
    ),
    Mistake(
        "The factor E is forgotten: an even router must give 1, however many experts there are.",
        _balance_with(scale=False),
    ),
    Mistake(
        "The layers are pooled before the product: a layer that has collapsed hides behind the others, where other "
        "experts are busy. Take E · Σ f P of each layer, then the mean.",
        _balance_with(pooled=True),
    ),
    Mistake("The layers are added up; take their mean.", _balance_with(total=True)),
    Mistake(
        "f is counted per token, so that it sums to k: an even router gives k, as in transformers. Here f is the share "
        "of all choices, and sums to one.",
        _balance_with(choices=False),
    ),
    Mistake(
        "Both factors are P. The other is f, the share of choices, which is counted.",
        _balance_with(soft=True),
    ),
    Mistake("P is the mean of the logits; take the softmax first.", _balance_with(P=lambda x, k: x)),
)


def balance_inputs(seed: int = 0) -> list[tuple[Tensor, int]]:
    """Layers of which some lean heavily, each to other experts."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for layers, tokens, E, k in ((3, 20, 8, 2), (2, 33, 6, 3), (1, 16, 16, 4)):
        lean = 3 * torch.randn(layers, 1, E, generator=draw)
        made.append((lean + torch.randn(layers, tokens, E, generator=draw), k))
    return made


def check_balance(answer: Any, given: Any) -> tuple[bool, str]:
    with torch.enable_grad():
        passed, message = grade_function(
            answer, balance, balance_inputs(), BALANCE_MISTAKES, arguments="(logits, k)", any_dtype=True
        )
        if not passed:
            return passed, message
        for logits, k in balance_inputs(1):
            mine, right = (logits.clone().requires_grad_(True) for _ in range(2))
            value = answer(mine, k)
            if not value.requires_grad:
                return False, "The value is right, but has no gradient, so it teaches nothing: leave P on the graph."
            (slope,), (wanted,) = (torch.autograd.grad(v, x) for v, x in ((value, mine), (balance(right, k), right)))
            if not torch.allclose(slope, wanted, rtol=1e-3, atol=1e-6):
                return False, "The value is right, its gradient is not: only P has one, f is counted."
    return True, f"{message} Its gradient is right too."


CHECKS = {"07.1": check_route, "07.2": check_balance}
