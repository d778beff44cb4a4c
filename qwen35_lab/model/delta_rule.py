"""The gated delta rule in three forms with one signature.

A head keeps a matrix S [K, V] that maps keys to values. Each token first lets the whole memory fade, then corrects the
value stored under its key, then reads with its query (Yang, Kautz & Hatamizadeh 2024, arXiv 2412.06464, eq. 10):

    S ← e^g S                          decay, g ≤ 0
    S ← S + k ⊗ β (v − Sᵀk)            delta rule: write β v, erase the β Sᵀk that was there
    o = Sᵀ q                           read

Symbols: B batch, T tokens, G query/key heads, H value heads (a multiple of G), K key features, V value features,
C chunk, c = cumsum(g) the log decay so far. S here is [K, V], the transpose of the paper's.
Arguments: q, k [B, T, G, K] (L2-normalised, q also scaled by K^-½; nothing is hidden in a flag), v [B, T, H, V],
g, beta [B, T, H], state [B, H, K, V] or None for an empty memory.
Returns: o [B, T, H, V] and the last state [B, H, K, V], computed in float32 at least; o comes back in v's dtype.

* `recurrent` is the definition, a loop over tokens: the oracle.
* `chunked` does the same for C tokens at a time with matrix products; used for prefill.
* `influence` writes the output as one matrix times the values, O = M V: who reads what from whom.

On a CPU, and without gradients, fast_delta_rule.py stands in for the first two; on a GPU with fla, kernels.py does.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .norm import wide

Watch = Callable[[str, Tensor], Tensor]
FORGOTTEN = -128.0  # e^−128 is 0 in float32


def _unwatched(name: str, value: Tensor) -> Tensor:
    return value


def recurrent(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None = None, *, watch: Watch = _unwatched
) -> tuple[Tensor, Tensor]:
    """One token after the other, as the module's docstring defines it.

    Args:
        watch: called with "erase" [B, H, V], "write" [B, H, V] and "state" [B, H, K, V] at every token, in that
            order; what it returns is used instead.
    """
    dtype = v.dtype
    q, k, v, g, beta, S = _prepare(q, k, v, g, beta, state)
    outputs = []
    for t in range(v.shape[1]):
        S = S * g[:, t, :, None, None].exp()
        stored = torch.einsum("bhk,bhkv->bhv", k[:, t], S)
        erase = watch("erase", beta[:, t, :, None] * stored)
        write = watch("write", beta[:, t, :, None] * v[:, t])
        S = watch("state", S + k[:, t, :, :, None] * (write - erase)[:, :, None, :])
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, t], S))
    return torch.stack(outputs, dim=1).to(dtype), S


def chunked(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None = None, *, chunk_size: int = 64
) -> tuple[Tensor, Tensor]:
    """C tokens at a time (the WY / UT form: Yang et al. 2024, arXiv 2406.06484, §3; with decay 2412.06464, §3.3).

    Inside a chunk that starts from S, the corrections u_i = β_i (v_i − e^g_i S_{i−1}ᵀ k_i) satisfy a triangular system

        (I + L) U = diag(β) (V − diag(e^c) K S),   L_ij = β_i k_i·k_j e^(c_i − c_j) for j < i

    whose matrix is inverted for all chunks at once; only the hand-over of S from chunk to chunk is sequential.
    """
    dtype, T = v.dtype, v.shape[1]
    q, k, v, g, beta, S = _prepare(q, k, v, g, beta, state)
    C = max(1, min(chunk_size, T))
    q, k, v, g, beta = (_split_into_chunks(x, C) for x in (q, k, v, g, beta))  # [B, H, N, C, …]
    c = decay_so_far(g)
    decay_mask = _decay_mask(c)
    corrections = _corrections(k, beta, decay_mask)
    pseudo_values = corrections @ v
    pseudo_keys = corrections @ (c.exp()[..., None] * k)
    scores = (q @ k.mT) * decay_mask
    q_from_start = q * c.exp()[..., None]
    k_to_end = k * (c[..., -1:] - c).exp()[..., None]
    outputs = []
    for n in range(v.shape[2]):
        U = pseudo_values[:, :, n] - pseudo_keys[:, :, n] @ S
        outputs.append(q_from_start[:, :, n] @ S + scores[:, :, n] @ U)
        S = c[:, :, n, -1, None, None].exp() * S + k_to_end[:, :, n].mT @ U
    o = torch.cat(outputs, dim=2)[:, :, :T]
    return o.transpose(1, 2).to(dtype), S


def influence_matrix(q: Tensor, k: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """M [B, H, T, T] with o_i = Σ_j M_ij v_j when the memory starts empty: the layer is linear in v.

        M = tril(Q Kᵀ ⊙ D) · (I + L)⁻¹ · diag(β),   D_ij = e^(c_i − c_j),   L = tril(diag(β) (K Kᵀ ⊙ D), −1)

    An exact counterpart of an attention map; entries can be negative and rows need not sum to one.
    """
    q, k, g, beta = (x.transpose(1, 2) for x in _prepare_keys(q, k, g, beta))
    decay_mask = _decay_mask(decay_so_far(g))
    return (q @ k.mT) * decay_mask @ _corrections(k, beta, decay_mask)


def influence(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """O = M V in closed form. A memory S₀ that is not empty acts as if each v_j had been v_j − e^c_j S₀ᵀ k_j."""
    M = influence_matrix(q, k, g, beta)
    dtype = v.dtype
    q, k, v, g, beta, S = _prepare(q, k, v, g, beta, state)
    q, k, v, g, beta = (x.transpose(1, 2) for x in (q, k, v, g, beta))
    c = decay_so_far(g)[..., None]
    unexplained = v - (c.exp() * k) @ S
    o = M @ unexplained + (c.exp() * q) @ S
    U = _corrections(k, beta, _decay_mask(c[..., 0])) @ unexplained
    S = c[..., -1:, :].exp() * S + (k * (c[..., -1:, :] - c).exp()).mT @ U
    return o.transpose(1, 2).to(dtype), S


def _corrections(k: Tensor, beta: Tensor, decay_mask: Tensor) -> Tensor:
    """(I + L)⁻¹ diag(β) [..., T, T]: what each token's value turns into once every token has erased what it must."""
    L = beta[..., None] * (k @ k.mT) * decay_mask
    identity = torch.eye(L.shape[-1], dtype=L.dtype, device=L.device).expand_as(L)
    erase_inverse = torch.linalg.solve_triangular(L, identity, upper=False, unitriangular=True)  # L below its diagonal
    return erase_inverse * beta[..., None, :]


def decay_so_far(g: Tensor) -> Tensor:
    """c = cumsum(g) over the last axis. What an edit lets fade by more than e^FORGOTTEN is as good as gone; as it
    stands, −∞ − (−∞) would be no number, and sums as large have no digits left for the tokens that follow."""
    return g.clamp_min(FORGOTTEN).cumsum(-1)


def _decay_mask(c: Tensor) -> Tensor:
    """e^(c_i − c_j) for j ≤ i, else 0: [..., T] -> [..., T, T]. Masked before exp, which would overflow above it."""
    T = c.shape[-1]
    later = torch.ones(T, T, dtype=torch.bool, device=c.device).triu(1)
    return (c[..., :, None] - c[..., None, :]).masked_fill(later, -torch.inf).exp()


def _prepare_keys(q: Tensor, k: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
    """Float32 at least, and each query/key head repeated for the value heads that share it."""
    sharing = beta.shape[2] // k.shape[2]
    q, k = (wide(x).repeat_interleave(sharing, dim=2) if sharing > 1 else wide(x) for x in (q, k))
    return q, k, wide(g), wide(beta)


def _prepare(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None) -> tuple[Tensor, ...]:
    q, k, g, beta = _prepare_keys(q, k, g, beta)
    v = wide(v)
    B, _, H, V = v.shape
    S = v.new_zeros(B, H, k.shape[-1], V) if state is None else state.to(v.dtype)
    return q, k, v, g, beta, S


def _split_into_chunks(x: Tensor, C: int) -> Tensor:
    """[B, T, H, …] -> [B, H, N, C, …]; the last chunk is filled with zeros, which neither decay nor write."""
    x = x.transpose(1, 2)
    missing = -x.shape[2] % C
    if missing:
        x = F.pad(x, (0, 0) * (x.ndim - 3) + (0, missing))
    return x.unflatten(2, (-1, C))
