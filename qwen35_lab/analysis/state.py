"""The memory of a DeltaNet head over time: how large, how rich, what it returns, and what changed it.

S [token, head, K, V] is the memory after each token: record "layers.0.mixer.state" and pass `trace[...]`. All functions
compute in float64. A head keeps at most min(K, V) independent things; how evenly it uses them is its effective rank

    erank(S) = exp( −Σ p_i ln p_i ),   p = σ / Σ σ      σ the singular values of S

(Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO): 1 for a
memory of one association, n for n orthogonal ones of equal size.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import LINEAR
from ..errors import InputError
from ..trace import Trace
from .recorded import mixer_values


@dataclass(frozen=True)
class StateGeometry:
    """Float64."""

    norm: Tensor  # [token, head]: ‖S_t‖, Frobenius
    change: Tensor  # [token, head]: ‖S_t − S_{t−1}‖
    singular_values: Tensor  # [token, head, min(K, V)], largest first
    effective_rank: Tensor  # [token, head]: 1 to min(K, V), and 0 for an empty memory


def state_geometry(S: Tensor, before: Tensor | None = None) -> StateGeometry:
    """Size, movement and richness of a memory after every token.

    Args:
        S: [token, head, K, V].
        before: the memory before the first token [head, K, V]; None for an empty one.
    Raises:
        InputError: shapes that do not fit, or a memory that is not finite.
    """
    S = _states(S)
    if not bool(S.isfinite().all()):
        token = int((~S.isfinite()).flatten(1).any(1).nonzero()[0])
        raise InputError(
            f"The memory after token {token} holds NaN or infinity, and has no geometry; cut it off there."
        )
    sigma = torch.linalg.svdvals(S)
    share = sigma / sigma.sum(-1, keepdim=True)  # 0/0 for an empty memory
    rank = torch.special.entr(share).sum(-1).exp()
    return StateGeometry(
        norm=_size(S),
        change=_size(S - _previous(S, before)),
        singular_values=sigma,
        effective_rank=torch.where(sigma.sum(-1) > 0, rank, 0.0),
    )


def half_life(g: Tensor | float) -> Tensor:
    """ln 2 / −g: the tokens after which half of a memory is left at this log decay; inf at g = 0 (and above)."""
    g = torch.as_tensor(g)
    return torch.where(g >= 0, torch.inf, math.log(2) / -g)


def retrieval(S: Tensor, k: Tensor) -> Tensor:
    """Sᵀ k: what a key returns at every time, [token, head, V].

    Args:
        S: [token, head, K, V].
        k: [K] for all heads, or one for each key head [G, K] (as a row of the trace's `k`): heads share them in order.
    Raises:
        InputError: shapes that do not fit.
    """
    S = _states(S)
    return torch.einsum("hk,thkv->thv", _per_head(k, S.shape[1], S.shape[2], "key"), S)


@dataclass(frozen=True)
class Recalled:
    """How much of a value v a key k brings back, r = Sᵀk; each [token, head], float64."""

    cosine: Tensor  # cos(r, v): 1 for the value alone, 0 where it is absent or the memory is empty
    strength: Tensor  # r·v / ‖v‖²: 1 for the whole value, whatever else comes with it; nan for v = 0


def recalled(S: Tensor, k: Tensor, v: Tensor) -> Recalled:
    """Whether a key still returns a value, at every time.

    Args:
        S: [token, head, K, V].
        k: [K] or [G, K], as for `retrieval`.
        v: [V] for all heads, or [head, V].
    """
    r = retrieval(S, k)
    v = _per_head(v, r.shape[1], r.shape[2], "value")
    return Recalled(F.cosine_similarity(r, v[None], dim=-1), (r * v).sum(-1) / v.square().sum(-1))


@dataclass(frozen=True)
class Ledger:
    """What changed a memory at every token; Frobenius norms [token, head], float64.

        S_t − S_{t−1} = −(1 − e^g) S_{t−1} + k ⊗ βv − k ⊗ β S'ᵀk,     S' = e^g S_{t−1}

    The norms of the three do not sum to `change`: an erase mostly cancels against what was there.
    """

    decay: Tensor  # (1 − e^g) ‖S_{t−1}‖: what fading removed
    erase: Tensor  # ‖k ⊗ β S'ᵀk‖, which is ‖β S'ᵀk‖ since keys have length one
    write: Tensor  # ‖k ⊗ βv‖
    change: Tensor  # ‖S_t − S_{t−1}‖
    norm: Tensor  # ‖S_t‖
    unexplained: Tensor  # ‖left side − right side‖: rounding, or an edit of the state


def ledger(trace: Trace, layer: int) -> Ledger:
    """The ledger of a traced layer.

    Needs k and decay, and three values that are only formed when named: record "layers.0.mixer.state",
    "layers.0.mixer.write" and "layers.0.mixer.erase".

    Raises:
        InputError: something was not recorded, or the layer is an attention layer.
    """
    return account(*mixer_values(trace, layer, LINEAR, ("state", "k", "decay", "write", "erase")))


def account(S: Tensor, k: Tensor, g: Tensor, write: Tensor, erase: Tensor, before: Tensor | None = None) -> Ledger:
    """The ledger from tensors.

    Args:
        S: [token, head, K, V].
        k: [token, G, K].
        g: [token, head], log decay.
        write, erase: βv and β S'ᵀk, [token, head, V].
        before: the memory before the first token [head, K, V]; None for an empty one.
    """
    S, k, g, write, erase = (x.double() for x in (_states(S), k, g, write, erase))
    previous = _previous(S, before)
    k = k.repeat_interleave(S.shape[1] // k.shape[1], dim=1)
    faded = -torch.expm1(g)[..., None, None] * previous  # (1 − e^g) S_{t−1}
    correction = k[..., None] * (write - erase)[..., None, :]
    length = k.norm(dim=-1)
    return Ledger(
        decay=_size(faded),
        erase=length * erase.norm(dim=-1),
        write=length * write.norm(dim=-1),
        change=_size(S - previous),
        norm=_size(S),
        unexplained=_size(S - previous + faded - correction),
    )


def _states(S: Tensor) -> Tensor:
    if S.ndim != 4:
        raise InputError(f"The memory has shape {list(S.shape)}; pass [token, head, key, value], without a batch.")
    return S.double()


def _previous(S: Tensor, before: Tensor | None) -> Tensor:
    """The memory before each token."""
    if before is not None and before.shape != S.shape[1:]:
        raise InputError(
            f"The memory before has shape {list(before.shape)}; pass [head, key, value], {list(S.shape[1:])}."
        )
    first = torch.zeros_like(S[:1]) if before is None else before.to(S)[None]
    return torch.cat((first, S[:-1]))


def _size(S: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(S)


def _per_head(x: Tensor, heads: int, features: int, what: str) -> Tensor:
    """[features] or [some heads, features] -> [heads, features], float64."""
    x = x.double().reshape(1, -1) if x.ndim == 1 else x.double()
    if x.ndim != 2 or x.shape[1] != features or heads % x.shape[0]:
        raise InputError(
            f"The {what} has shape {list(x.shape)}; pass [{features}], or one for each of {heads} heads "
            "or of the key heads that they share."
        )
    return x.repeat_interleave(heads // x.shape[0], dim=0)
