"""Who reads what from whom in a DeltaNet layer: exact, from what a trace holds.

The delta rule is linear in the values, so a layer's reads are one matrix times all values, O = M V (see
`model/delta_rule.py` for M). An entry can be negative, memory that is taken out, and rows need not sum to one.
An entry is what token i reads of token j's value, in three parts (D_ij = e^(c_i − c_j), c = cumsum(g)):

    M_ij = (q_i·k_j) β_j                                        direct: as if nothing had happened since
         + (D_ij − 1) (q_i·k_j) β_j                             decayed: what fading took, or turned
         − [(Q Kᵀ ⊙ D) L (I + L)⁻¹ diag(β)]_ij                  erased: what later writes took out or put elsewhere

with L = tril(diag(β) (K Kᵀ ⊙ D), −1), for j ≤ i. Leaving out the third part gives the popular map of linear attention
with decay; `InfluenceParts.wrongness` says how far that is from the truth.

M describes the memory's own rule: a trace whose `erase`, `write` or `state` was edited read something else, and is
refused. Edits of q, k, v, beta and decay are no obstacle, the values are recorded as they were used.
Shapes here have no batch axis: q, k [T, G, K], g, beta [T, H]; H value heads share G key heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from ..config import LINEAR
from ..errors import InputError
from ..model import delta_rule
from ..trace import Trace
from .recorded import counted, mixer_values
from .residual import layer_kinds

TAPS = ("q", "k", "decay", "beta")  # of the mixer, in the order in which the functions take them
INSIDE = ("erase", "write", "state")  # of the memory: what M says of it holds as long as nobody edits these
MOST = 2**28  # entries of an assembly: 2 GB in float64


@dataclass(frozen=True)
class InfluenceParts:
    """M as a sum of three; each [head, reader, source], float64."""

    direct: Tensor  # (q_i·k_j) β_j
    decayed: Tensor  # (e^(c_i − c_j) − 1) ⊙ direct
    erased: Tensor  # M − direct − decayed

    @property
    def total(self) -> Tensor:
        """M itself."""
        return self.direct + self.decayed + self.erased

    @property
    def without_erase(self) -> Tensor:
        """The popular approximation: linear attention with decay, (q_i·k_j) β_j e^(c_i − c_j)."""
        return self.direct + self.decayed

    def wrongness(self) -> Tensor:
        """max |without_erase − M| / max |M| of every head [head]; 0 where nothing is erased."""
        error, scale = (x.abs().amax((-2, -1)) for x in (self.erased, self.total))
        return torch.where(error > 0, error / scale, 0.0)


def influence_map(trace: Trace, layer: int) -> Tensor:
    """M [head, reading token, token read from] of a layer whose q, k, decay and beta were recorded.

    In the dtype of the traced model's recurrence, float32 at least.

    Raises:
        InputError: something was not recorded, the layer is an attention layer, or its memory was edited.
    """
    q, k, g, beta = (x[None] for x in _inputs(trace, layer))
    return delta_rule.influence_matrix(q, k, g, beta)[0]


def influence_parts(trace: Trace, layer: int) -> InfluenceParts:
    """M of a traced layer and its split into direct, decayed and erased, in float64 from the recorded values.

    Raises:
        InputError: q, k, decay or beta was not recorded, the layer is an attention layer, or its memory was edited.
    """
    return split_influence(*_inputs(trace, layer))


def _inputs(trace: Trace, layer: int) -> list[Tensor]:
    """q, k, g and beta of a layer whose reads are M V."""
    found = mixer_values(trace, layer, LINEAR, TAPS)
    for words in trace.provenance.edits:  # an edit's words begin with its pattern, and with [places] if there are any
        head = words.split(" ")[0]
        for name in (f"layers.{layer}.mixer.{inside}" for inside in INSIDE):
            if fnmatchcase(name, head) or fnmatchcase(name, head.rpartition("[")[0]):
                raise InputError(
                    f"{name} was edited in this trace ({words}), so that what was read is no longer M V; trace without "
                    "that edit, or edit beta, decay, q, k or v instead."
                )
    return found


def split_influence(q: Tensor, k: Tensor, g: Tensor, beta: Tensor) -> InfluenceParts:
    """The same from tensors: q, k [T, G, K], g, beta [T, H]; computed in float64."""
    q, k, g, beta = (x.double() for x in (q, k, g, beta))
    M = delta_rule.influence_matrix(q[None], k[None], g[None], beta[None])[0]
    scores = torch.einsum("igk,jgk->gij", q, k).repeat_interleave(beta.shape[1] // k.shape[1], dim=0)
    direct = (scores * beta.T[:, None, :]).tril()
    c = g.cumsum(0).T  # [head, token]
    decayed = torch.expm1((c[:, :, None] - c[:, None, :]).tril()) * direct  # tril before exp, which would overflow
    return InfluenceParts(direct, decayed, M - direct - decayed)


def assemble(trace: Trace, layer: int, chunk_size: int) -> Tensor:
    """What each chunk of the chunked algorithm adds to M of a traced layer: [chunk, head, reader, source], float64.

    Raises:
        InputError: q, k, decay or beta was not recorded, an attention layer, a memory that was edited, or a chunk size
            that makes too many maps.
    """
    q, k, g, beta = _inputs(trace, layer)
    return assemble_influence(q, k, g, beta, chunk_size)


def assemble_influence(q: Tensor, k: Tensor, g: Tensor, beta: Tensor, chunk_size: int) -> Tensor:
    """Run `delta_rule.chunked` chunk by chunk on V = I, carrying the state, so that what it reads is O = M I = M.

    A chunk reads for its own tokens only, so chunk n holds M's rows of these readers and zeros elsewhere; the sum over
    chunks is M. Entries whose source is in the same chunk come from the products within it, all earlier ones through
    the state that was handed over: `within_chunk_mask` tells them apart.

    Args:
        q, k: [T, G, K].
        g, beta: [T, H].
    """
    T, H = beta.shape
    starts = _starts(T, chunk_size)
    if len(starts) * H * T * T > MOST:
        raise InputError(f"{len(starts)} maps of {T} tokens are too many to keep; choose a larger chunk_size.")
    q, k, g, beta = (x.double()[None] for x in (q, k, g, beta))
    values = torch.eye(T, dtype=q.dtype, device=q.device)[None, :, None].expand(1, T, H, T)
    added, state = values.new_zeros(len(starts), H, T, T), None
    for n, start in enumerate(starts):
        q_n, k_n, v_n, g_n, beta_n = (x[:, start : start + chunk_size] for x in (q, k, values, g, beta))
        o, state = delta_rule.chunked(q_n, k_n, v_n, g_n, beta_n, state, chunk_size=chunk_size)
        added[n, :, start : start + chunk_size] = o[0].transpose(0, 1)
    return added


def within_chunk_mask(tokens: int, chunk_size: int) -> Tensor:
    """Which entries of M a chunk computes inside itself, bool [reader, source]; the rest comes through the state."""
    _starts(tokens, chunk_size)
    chunk = torch.arange(tokens) // chunk_size
    return (chunk[:, None] == chunk).tril()


def _starts(tokens: int, chunk_size: int) -> range:
    return range(0, tokens, counted(chunk_size, "chunk_size", 1))


def strongest_reader(trace: Trace, layers: Sequence[int] | None = None) -> tuple[int, int]:
    """Layer and head in which the last token takes most from an earlier one.

    Args:
        layers: DeltaNet layers to look at; None for all.
    Raises:
        InputError: nothing of the mixers was recorded, there is no such layer, or there is one token.
    """
    if layers is None:
        if not any(".mixer." in name for name in trace):
            raise InputError('The trace holds nothing of the mixers; trace again and record "layers.*.mixer.*".')
        layers = [n for n, kind in enumerate(layer_kinds(trace)) if kind == LINEAR]
    if not layers or len(trace.tokens) < 2:
        raise InputError("There is nobody to read from; trace at least two tokens of a model with a DeltaNet layer.")
    taken = {layer: influence_map(trace, layer)[:, -1, :-1].abs().amax(-1) for layer in layers}  # [head] each
    layer = max(layers, key=lambda layer: float(taken[layer].max()))
    return layer, int(taken[layer].argmax())
