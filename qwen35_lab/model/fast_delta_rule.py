"""The gated delta rule for inference on a CPU: what delta_rule.py says, in fewer passes over memory.

Symbols, arguments and results are those of delta_rule.py, whose `recurrent` is the oracle; a test binds both forms to
it. They have no gradient, and nothing inside them can be watched.

`chunked`: all that a chunk needs is made when its turn comes, so that it is still in the processor's cache when it is
used; q and k are multiplied as one matrix of twice the rows; and fading is left to the small results:

    [Q; K] e^c S = e^c ([Q; K] S),   U = (I + L)⁻¹ diag(β) (V − e^c K S),   O = e^c Q S + (Q Kᵀ ⊙ D) U

`recurrent` takes as few operators as it can: with one token, starting them is what takes time.
"""

import torch
from torch import Tensor

from .delta_rule import decay_so_far
from .norm import wide


def recurrent(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One token after the other."""
    S, o = _start(k, v, state), torch.empty_like(v)
    for t in range(v.shape[1]):
        query, key = (_shared(x[:, t], v.shape[2]).reshape(-1, 1, x.shape[3]) for x in (q, k))  # [B·H, 1, K]
        S = S * wide(g[:, t]).exp().reshape(-1, 1, 1)
        u = (wide(v[:, t]).reshape(-1, 1, v.shape[3]) - torch.bmm(key, S)) * wide(beta[:, t]).reshape(-1, 1, 1)
        S.baddbmm_(key.mT, u)
        o[:, t] = torch.bmm(query, S).view(v[:, t].shape)
    return o, S.view(v.shape[0], -1, *S.shape[1:])


def chunked(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None = None, *, chunk_size: int = 32
) -> tuple[Tensor, Tensor]:
    """C tokens at a time. Small chunks do less in vain: half of what is computed between two tokens is masked."""
    S, o = _start(k, v, state), torch.empty_like(v)
    for begin in range(0, v.shape[1], chunk_size):
        now = slice(begin, begin + chunk_size)
        qk = _heads(q, k, now, v.shape[2])
        values, c, strength = (wide(x[:, now].transpose(1, 2)).flatten(0, 1) for x in (v, g, beta))  # [B·H, C, …]
        c, strength = decay_so_far(c), strength[..., None]
        C, K = c.shape[-1], qk[:, c.shape[-1] :]
        later = torch.ones(C, C, dtype=torch.bool, device=c.device).triu_(1)
        decay = (c[:, :, None] - c[:, None]).masked_fill_(later, -torch.inf).exp_()
        scores, L = (qk @ K.mT).view(-1, 2, C, C).mul_(decay[:, None]).unbind(1)
        identity = torch.eye(C, dtype=L.dtype, device=L.device).expand_as(L)
        erase_inverse = torch.linalg.solve_triangular(L * strength, identity, upper=False, unitriangular=True)
        found, stored = (qk @ S).view(-1, 2, C, v.shape[3]).mul_(c.exp()[:, None, :, None]).unbind(1)
        U = erase_inverse @ (values - stored).mul_(strength)
        o[:, now] = torch.baddbmm(found, scores, U).view(v.shape[0], -1, C, v.shape[3]).transpose(1, 2)
        k_to_end = K * (c[:, -1:] - c).exp()[..., None]
        S = (S * c[:, -1, None, None].exp()).baddbmm_(k_to_end.mT, U)
    return o, S.view(v.shape[0], -1, *S.shape[1:])


def _start(k: Tensor, v: Tensor, state: Tensor | None) -> Tensor:
    """The memory at the beginning, [B·H, K, V]; it is never written into, as a snapshot may hold it."""
    shape, dtype = (v.shape[0] * v.shape[2], k.shape[3], v.shape[3]), torch.promote_types(v.dtype, torch.float32)
    return v.new_zeros(shape, dtype=dtype) if state is None else state.to(dtype).reshape(shape)


def _heads(q: Tensor, k: Tensor, tokens: slice, heads: int) -> Tensor:
    """q and k of some tokens, one below the other, repeated for the value heads that share them: [B·H, 2 C, K]"""
    qk = torch.cat((q[:, tokens].transpose(1, 2), k[:, tokens].transpose(1, 2)), dim=2)
    return _shared(qk, heads).flatten(0, 1)


def _shared(x: Tensor, heads: int) -> Tensor:
    """Of key heads [B, G, …], for the value heads that share them: [B, H, …]"""
    return wide(x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1))
