"""Writes to one memory, replayed at every setting of its dials: fading α, write strength β and erase λ.

    S ← α S                            fade
    S ← S + k ⊗ β (v − λ Sᵀk)          write; λ = 1 is the delta rule, λ = 0 only ever adds

At λ = 1 this is `model/delta_rule.recurrent` for one head, with α = e^g. Erasing is what makes writing under a key
twice an overwrite; with λ = 0 the key returns the sum of all that was written (Schlag, Irie & Schmidhuber 2021,
arXiv 2102.11174, §4.2).
"""

import torch
from torch import Tensor

from ..errors import InputError

Dial = Tensor | float


def replay(keys: Tensor, values: Tensor, beta: Dial = 1.0, decay: Dial = 1.0, erase: Dial = 1.0) -> Tensor:
    """The memory before the first write and after each: S [..., write + 1, K, V], float64.

    Args:
        keys: [write, K], of length one.
        values: [write, V].
        beta: write strength β, broadcast with the other two to [..., write]: a dial with settings [L] is passed as
            [L, 1], strengths of the writes themselves as [write].
        decay: α, what is left of the memory at each write, 0 to 1.
        erase: λ, the share of what a key returned that is taken out.
    Raises:
        InputError: keys, values and dials do not fit.
    """
    if keys.ndim != 2 or values.ndim != 2 or len(keys) != len(values):
        raise InputError(
            f"Keys {list(keys.shape)} and values {list(values.shape)} do not fit; pass [write, K] and [write, V]."
        )
    k, v = keys.double(), values.double()
    dials = [torch.as_tensor(dial, dtype=torch.float64) for dial in (beta, decay, erase)]
    try:
        strength, alpha, lam = torch.broadcast_tensors(*dials, v.new_zeros(len(k)))[:3]  # [..., write] each
    except RuntimeError as error:
        raise InputError(f"The dials do not broadcast to [..., {len(k)}] ({error}); pass a dial as [L, 1].") from error
    S = [v.new_zeros(*alpha.shape[:-1], k.shape[1], v.shape[1])]
    for t in range(len(k)):
        faded = alpha[..., t, None, None] * S[-1]
        stored = k[t] @ faded
        S.append(faded + k[t, :, None] * (strength[..., t, None] * (v[t] - lam[..., t, None] * stored))[..., None, :])
    return torch.stack(S, dim=-3)


def keys_with_cosine(count: int, cosine: float, features: int = 8, seed: int = 0) -> Tensor:
    """Keys of length one, any two of which have the same cosine: [count, features], float64.

    k_i = √ρ u + √(1 − ρ) e_i for orthonormal u, e_1, e_2, …, turned at random.

    Raises:
        InputError: the cosine is not in 0 to 1, or there are too few features for so many keys.
    """
    if not 0 <= cosine <= 1 or not 1 <= count < features:
        raise InputError(f"{count} keys with cosine {cosine} do not fit {features} features; pass 0 ≤ cosine ≤ 1 and "
                         "more features than keys.")  # fmt: skip
    random = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(features, features, generator=random, dtype=torch.float64)).Q
    return cosine**0.5 * basis[0] + (1 - cosine) ** 0.5 * basis[1 : count + 1]
