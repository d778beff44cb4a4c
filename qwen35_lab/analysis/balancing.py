"""How routers are kept even: the balance loss, what one softmax too many does to it, and what its coefficient buys.

    balance = E · Σ_e f_e P_e          of one layer; 1 if even, E / k if the same k experts answer everything

f_e is the share of all choices that fell on expert e, P_e the mean of its probability over all E experts. Only P has a
gradient: where f is large, it pushes the probability down. Reference: Fedus et al. 2021 (arXiv 2101.03961), eq. 4 to 6,
here with k choices a token. Router logits in transformers once went through a second softmax on their way into it
(huggingface/transformers#45120); `softmaxes=2` is that loss.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..config import TextConfig
from ..errors import InputError
from ..model.moe import SparseMoE
from ..model.taps import listen
from .recorded import counted
from .routing import load

DEAD = 0.1  # of an even share of the choices
RATE = 3e-3  # of Adam, for a layer that learns from its first weights
AT_ONCE = 512  # tokens of a step


def balance_loss(logits: Tensor, top_k: int, *, softmaxes: int = 1) -> Tensor:
    """E · Σ f P, a scalar.

    Args:
        logits: of one layer's router [..., expert].
        softmaxes: how often they go through it on the way to P; 1 is right.
    Raises:
        InputError: there is no token, or top_k is no number of experts.
    """
    rows, E = logits.flatten(0, -2), logits.shape[-1]
    if not 1 <= top_k <= E or not len(rows):
        raise InputError(f"top_k is {top_k} and there are {len(rows)} tokens; choose 1 to {E} experts for some tokens.")
    f = torch.bincount(rows.topk(top_k).indices.flatten(), minlength=E) / (top_k * len(rows))
    P = rows
    for _ in range(softmaxes):
        P = P.softmax(-1)
    return E * (f.to(P) * P.mean(0)).sum()


def lean(router: Tensor, inputs: Tensor, experts: Sequence[int], by: float = 4.0) -> Tensor:
    """A router that has collapsed: these experts get `by` more logits, averaged over the inputs.

    Args:
        router: [expert, hidden].
        inputs: [token, hidden], what it reads.
    """
    mean = inputs.mean(0)
    leaning = router.detach().clone()
    leaning[list(experts)] += by * mean / mean.square().sum()
    return leaning


@dataclass(frozen=True)
class Evening:
    """A router on its way back, step by step; each [step]."""

    loss: Tensor
    busiest: Tensor  # the largest load, in even shares: 1 is even


def even_out(
    router: Tensor, inputs: Tensor, top_k: int, *, softmaxes: int = 1, steps: int = 100, pace: float = 10.0
) -> Evening:
    """Gradient descent on the balance loss alone, all inputs in every step.

    Args:
        router: where it begins [expert, hidden]; it is not changed.
        pace: the step, relative to the inputs' mean square length, so that it means the same at every width.
    """
    weight = router.detach().clone().requires_grad_(True)
    rate = pace / float(inputs.square().sum(-1).mean())
    losses, busiest = [], []
    with torch.enable_grad():
        for _ in range(counted(steps, "steps", 1)):
            logits = inputs @ weight.T
            loss = balance_loss(logits, top_k, softmaxes=softmaxes)
            (slope,) = torch.autograd.grad(loss, weight)
            losses.append(loss.item())
            busiest.append(_busiest(logits.detach().topk(top_k).indices, len(router)))
            with torch.no_grad():
                weight -= rate * slope
    return Evening(torch.tensor(losses), torch.tensor(busiest))


@dataclass(frozen=True)
class Imitation:
    """A layer of experts that has learnt to answer like another one."""

    coefficient: float  # of the balance loss, beside the error
    error: float  # mean square, a share of the answers' own
    busiest: float  # the largest load, in even shares
    dead: int  # experts with less than a tenth of an even share
    load: Tensor  # [expert]


def imitate(
    config: TextConfig, inputs: Tensor, answers: Tensor, coefficient: float, *, experts: int = 16, steps: int = 150,
    seed: int = 0,
) -> Imitation:  # fmt: skip
    """Teach a new layer of experts what a layer answers, with the balance loss beside the error.

    Args:
        config: of the model that the inputs come from; the new layer has its widths and its top-k.
        inputs, answers: [token, hidden]. The layer is judged on the tokens it learns from.
        experts: of the new layer.
    """
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        layer = SparseMoE(replace(config, num_experts=experts))
    _begin(layer, draw)
    inputs, answers = inputs.float(), answers.float() / answers.float().std()
    adam = torch.optim.Adam(layer.parameters(), RATE)
    kept: dict[str, Tensor] = {}
    with ExitStack() as stack, torch.enable_grad():
        listen(stack, layer.router_logits, lambda module, args, value: kept.__setitem__("logits", value))
        for _ in range(counted(steps, "steps", 1)):
            some = torch.randint(len(inputs), (AT_ONCE,), generator=draw)
            error = (layer(inputs[some][None])[0] - answers[some]).square().mean()
            adam.zero_grad()
            (error + coefficient * balance_loss(kept["logits"], layer.top_k)).backward()
            adam.step()
        with torch.no_grad():
            error = (layer(inputs[None])[0] - answers).square().mean().item()
    ids = kept["logits"].topk(layer.top_k).indices
    share = load(ids, experts)
    return Imitation(coefficient, error, _busiest(ids, experts), int((share * experts < DEAD).sum()), share)


def _begin(layer: SparseMoE, draw: torch.Generator) -> None:
    """Fill a layer's weights: N(0, 1 / inputs), and little in the router, so that it prefers nobody at first."""
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            deviation = 0.02 if name == "router.weight" else weight.shape[-1] ** -0.5
            nn.init.normal_(weight, std=deviation, generator=draw)


def _busiest(ids: Tensor, experts: int) -> float:
    return float(load(ids, experts).max()) * experts
