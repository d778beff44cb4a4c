"""The first exercise of notebook 04: the delta rule in chunks, and the ways in which it goes wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.delta_rule import recurrent
from ..model.norm import l2_norm
from .verdict import Mistake, grade_function


def chunked_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, chunk_size: int, S: Tensor
) -> tuple[Tensor, Tensor]:
    """The oracle: one head, token by token, in float64. q, k [T, K], v [T, V], g, beta [T], S [K, V] -> o [T, V], S."""
    q, k, values, g, beta = (x.double()[None, :, None] for x in (q, k, v, g, beta))
    o, state = recurrent(q, k, values, g, beta, S.double()[None, None])
    return o[0, :, 0].to(v.dtype), state[0, 0].to(S.dtype)


def chunk_inputs(seed: int = 0) -> list[tuple]:
    """Whole chunks first; then a part of one, one token, chunks of one, no decay, and β of 0 and 1."""
    draw = torch.Generator().manual_seed(seed)

    def one(T: int, chunk_size: int, decay: float = 0.3, beta: float | None = None, K: int = 4, V: int = 3) -> tuple:
        q, k, v = (torch.randn(T, n, generator=draw) for n in (K, K, V))
        g = -decay * torch.rand(T, generator=draw)
        strength = torch.rand(T, generator=draw) if beta is None else torch.full((T,), beta)
        S = torch.randn(K, V, generator=draw)
        return l2_norm(q) * K**-0.5, l2_norm(k), v, g, strength, chunk_size, S

    coins = one(10, 4)
    on_off = (*coins[:4], coins[4].round(), *coins[5:])
    return [
        one(12, 4), one(13, 4), one(6, 16), one(1, 4), one(5, 1), one(9, 3, decay=0.0),
        one(8, 4, beta=0.0), one(11, 4, beta=1.0), on_off,
    ]  # fmt: skip


def simple_chunks(seed: int = 2) -> dict[str, tuple]:
    """Inputs where part of the algorithm drops out."""
    q, k, v, g, beta, _, S = chunk_inputs(seed)[0]
    return {
        "where one chunk holds all": (q, k, v, g, beta, len(v), S),
        "in chunks of one token": (q, k, v, g, beta, 1, S),
        "where nothing fades (g = 0)": (q, k, v, 0 * g, beta, 4, S),
        "where all is written (β = 1)": (q, k, v, g, 1 + 0 * beta, 4, S),
        "where the memory was empty (S = 0)": (q, k, v, g, beta, 4, 0 * S),
    }


def strong_decay() -> tuple:
    """e^g is small, but e^(c_i − c_j) above the diagonal overflows, and so does a division by e^c."""
    q, k, v, _, beta, _, S = chunk_inputs(seed=1)[0]
    return q, k, v, torch.full((12,), -20.0), beta, 12, S


Chunk = tuple[Tensor, ...]  # q, k, v, g, beta of some tokens


def decay_mask(c: Tensor) -> Tensor:
    return (c[:, None] - c[None, :]).exp().tril()


@dataclass(frozen=True)
class ChunkForm:
    """The chunked rule as a list of replaceable steps: a mistake is this form with one of them changed.

    c: log decay since the start of the chunk; D: decay mask; U: corrections; A: scores.
    """

    start: Callable = lambda S: S
    reset: Callable = lambda S, first: S  # what a chunk starts from
    log_decay: Callable = lambda g, before: g.cumsum(0)
    erase_mask: Callable = decay_mask
    score_mask: Callable = decay_mask
    lower: Callable = lambda k, beta, D: (beta[:, None] * (k @ k.T) * D).tril(-1)
    wanted: Callable = lambda k, v, beta, c, S: beta[:, None] * (v - c.exp()[:, None] * k @ S)
    solve: Callable = lambda L, x: torch.linalg.solve(torch.eye(len(L)) + L, x)
    scores: Callable = lambda q, k, D: q @ k.T * D
    read: Callable = lambda q, c, S, A, U, v: c.exp()[:, None] * q @ S + A @ U
    hand_over: Callable = lambda S, k, c, U: c[-1].exp() * S + ((c[-1] - c).exp()[:, None] * k).T @ U
    rest: Callable | None = None  # for the last chunk, where it is not whole

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, C: int, S: Tensor) -> Any:
        S = first = self.start(S)
        outputs, before = [], torch.zeros(())
        for chunk in zip(*(x.split(C) for x in (q, k, v, g, beta)), strict=True):
            S = self.reset(S, first)
            cut = self.rest if len(chunk[0]) < C else None
            o, S = cut(self, chunk, S, C) if cut else self.one(chunk, S, before)
            outputs.append(o)
            before = before + chunk[3].sum()
        return torch.cat(outputs), S

    def one(self, chunk: Chunk, S: Tensor, before: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """One chunk from S: its outputs and the next S. before: the log decay of all earlier chunks."""
        q, k, v, g, beta = chunk
        c = self.log_decay(g, before)
        L = self.lower(k, beta, self.erase_mask(c))
        U = self.solve(L, self.wanted(k, v, beta, c, S))
        A = self.scores(q, k, self.score_mask(c))
        return self.read(q, c, S, A, U, v), self.hand_over(S, k, c, U)


def _pad_log_decay(form: ChunkForm, chunk: Chunk, S: Tensor, C: int) -> tuple[Tensor, Tensor]:
    """Zeros appended to c = cumsum(g), where they stand for "no decay at all since the start", instead of to g."""
    o, _ = form.one(chunk, S)
    q, k, v, g, beta = (F.pad(x, (0, 0) * (x.ndim - 1) + (0, C - len(x))) for x in chunk)
    padded = ChunkForm(log_decay=lambda g, before: F.pad(g[: len(chunk[3])].cumsum(0), (0, C - len(chunk[3]))))
    return o, padded.one((q, k, v, g, beta), S)[1]


def _repeat_last(form: ChunkForm, chunk: Chunk, S: Tensor, C: int) -> tuple[Tensor, Tensor]:
    o, _ = form.one(chunk, S)
    repeated = tuple(torch.cat((x, x[-1:].expand(C - len(x), *x.shape[1:]))) for x in chunk)
    return o, form.one(repeated, S)[1]


CHUNK_MISTAKES = (
    Mistake(
        "The memory starts empty: begin with the S that is passed in, not with zeros.",
        ChunkForm(start=torch.zeros_like),
    ),
    Mistake(
        "Every chunk starts from the first S: hand the state over from chunk to chunk.",
        ChunkForm(reset=lambda S, first: first),
    ),
    Mistake(
        "Every chunk starts from an empty memory: hand the state over from chunk to chunk.",
        ChunkForm(reset=lambda S, first: 0 * S),
    ),
    Mistake(
        "The decay mask is missing: scores and L are both multiplied by e^(c_i − c_j).",
        ChunkForm(erase_mask=lambda c: c.new_ones(len(c), len(c)).tril(), score_mask=lambda c: decay_mask(0 * c)),
    ),
    Mistake(
        "The decay mask is missing in L: what token j wrote has faded by e^(c_i − c_j) when token i erases.",
        ChunkForm(erase_mask=lambda c: decay_mask(0 * c)),
    ),
    Mistake(
        "The decay mask is missing in the scores: what token j wrote has faded by e^(c_i − c_j) when token i reads.",
        ChunkForm(score_mask=lambda c: decay_mask(0 * c)),
    ),
    Mistake(
        "The decay mask is transposed: e^(c_i − c_j) with i the reader, the row, and j the writer, the column.",
        ChunkForm(
            erase_mask=lambda c: (c[None, :] - c[:, None]).exp().tril(),
            score_mask=lambda c: (c[None, :] - c[:, None]).exp().tril(),
        ),
    ),
    Mistake(
        "The scores are not causal: a token may not read what later ones write; keep j ≤ i, `.tril()`.",
        ChunkForm(score_mask=lambda c: (c[:, None] - c[None, :]).exp()),
    ),
    Mistake(
        "L is not causal: a token erases only what earlier ones wrote; keep j < i, `.tril(-1)`.",
        ChunkForm(
            erase_mask=lambda c: (c[:, None] - c[None, :]).exp(),
            lower=lambda k, beta, D: beta[:, None] * (k @ k.T) * D,
        ),
    ),
    Mistake(
        "The scores leave out the diagonal: a token reads its own write too, `.tril()`; only L is strictly lower.",
        ChunkForm(scores=lambda q, k, D: (q @ k.T * D).tril(-1)),
    ),
    Mistake(
        "L has its diagonal: a token does not erase its own write; L is strictly lower, `.tril(-1)`, and I adds the 1.",
        ChunkForm(lower=lambda k, beta, D: beta[:, None] * (k @ k.T) * D),
    ),
    Mistake(
        "The inverse is missing: inside a chunk tokens erase one another's writes, (I + L) U = β (V − e^c K S).",
        ChunkForm(solve=lambda L, x: x),
    ),
    Mistake(
        "I − L is only the first order of (I + L)⁻¹ = I − L + L² − …: solve the triangular system.",
        ChunkForm(solve=lambda L, x: x - L @ x),
    ),
    Mistake(
        "The sign of L is wrong: the system is (I + L) U = …, not (I − L) U = ….",
        ChunkForm(solve=lambda L, x: torch.linalg.solve(torch.eye(len(L)) - L, x)),
    ),
    Mistake(
        "You multiply by I + L; U is what it gives when the system is solved, (I + L)⁻¹ ….",
        ChunkForm(solve=lambda L, x: x + L @ x),
    ),
    Mistake(
        "Nothing is erased: U is not β V alone, but what (I + L) U = β (V − e^c K S) gives.",
        ChunkForm(solve=lambda L, x: x, wanted=lambda k, v, beta, c, S: beta[:, None] * v),
    ),
    Mistake(
        "β is missing twice: in L, L_ij = β_i k_i·k_j e^(c_i − c_j), and on the right-hand side, β (V − e^c K S).",
        ChunkForm(
            lower=lambda k, beta, D: (k @ k.T * D).tril(-1),
            wanted=lambda k, v, beta, c, S: v - c.exp()[:, None] * k @ S,
        ),
    ),
    Mistake(
        "β is missing in L: L_ij = β_i k_i·k_j e^(c_i − c_j).",
        ChunkForm(lower=lambda k, beta, D: (k @ k.T * D).tril(-1)),
    ),
    Mistake(
        "β stands on the columns of L; the one who erases is the row, `beta[:, None] * …`.",
        ChunkForm(lower=lambda k, beta, D: (beta * (k @ k.T) * D).tril(-1)),
    ),
    Mistake(
        "β is missing on the right-hand side: β (V − e^c K S).",
        ChunkForm(wanted=lambda k, v, beta, c, S: v - c.exp()[:, None] * k @ S),
    ),
    Mistake(
        "U forgets what the memory held when the chunk began: subtract e^c K S from V.",
        ChunkForm(wanted=lambda k, v, beta, c, S: beta[:, None] * v),
    ),
    Mistake(
        "U subtracts K S without its decay: the old memory has faded by e^c when a token erases from it.",
        ChunkForm(wanted=lambda k, v, beta, c, S: beta[:, None] * (v - k @ S)),
    ),
    Mistake(
        "The output leaves out what the memory held when the chunk began: add e^c Q S.",
        ChunkForm(read=lambda q, c, S, A, U, v: A @ U),
    ),
    Mistake(
        "The output reads the old memory without its decay: it has faded by e^c, add e^c Q S.",
        ChunkForm(read=lambda q, c, S, A, U, v: q @ S + A @ U),
    ),
    Mistake(
        "The scores are applied to V; what was written are the corrections U.",
        ChunkForm(read=lambda q, c, S, A, U, v: c.exp()[:, None] * q @ S + A @ v),
    ),
    Mistake(
        "S never changes: after each chunk it becomes e^(c_C) S + (e^(c_C − c) K)ᵀ U, which is also what is returned.",
        ChunkForm(hand_over=lambda S, k, c, U: S),
    ),
    Mistake(
        "The state is handed over without decay: the old S fades by e^c_C, and what token j wrote by e^(c_C − c_j).",
        ChunkForm(hand_over=lambda S, k, c, U: S + k.T @ U),
    ),
    Mistake(
        "The old S is handed over without decay: it has faded by e^c_C, C the last token of the chunk.",
        ChunkForm(hand_over=lambda S, k, c, U: S + ((c[-1] - c).exp()[:, None] * k).T @ U),
    ),
    Mistake(
        "The writes are handed over without decay: what token j wrote has faded by e^(c_C − c_j) at the chunk's end.",
        ChunkForm(hand_over=lambda S, k, c, U: c[-1].exp() * S + k.T @ U),
    ),
    Mistake(
        "The writes fade by e^c_j when they are handed over; from token j to the chunk's end it is e^(c_C − c_j).",
        ChunkForm(hand_over=lambda S, k, c, U: c[-1].exp() * S + (c.exp()[:, None] * k).T @ U),
    ),
    Mistake(
        "c runs on over the whole sequence, but S has faded already when it is handed over: start cumsum(g) anew in "
        "each chunk.",
        ChunkForm(log_decay=lambda g, before: before + g.cumsum(0)),
    ),
    Mistake(
        "The last chunk is dropped where it is not whole: T need not be a multiple of the chunk size.",
        ChunkForm(rest=lambda form, chunk, S, C: (chunk[2][:0], S)),
    ),
    Mistake(
        "The outputs of the last chunk stay 0 where it is not whole: T need not be a multiple of the chunk size.",
        ChunkForm(rest=lambda form, chunk, S, C: (0 * chunk[2], S)),
    ),
    Mistake(
        "The outputs are right, but the last chunk does not reach the state where it is not whole.",
        ChunkForm(rest=lambda form, chunk, S, C: (form.one(chunk, S)[0], S)),
    ),
    Mistake(
        "The state is wrong where the last chunk is padded: pad g with zeros, which do not decay, and then sum; zeros "
        "appended to c = cumsum(g) take the decay back.",
        ChunkForm(rest=_pad_log_decay),
    ),
    Mistake(
        "The last chunk is filled by repeating its last token, which then writes and decays again: pad with zeros.",
        ChunkForm(rest=_repeat_last),
    ),
)


def check_chunked(answer: Any, given: Any) -> tuple[bool, str]:
    arguments = "(q, k, v, g, beta, chunk_size, S)"
    options: dict[str, Any] = {"arguments": arguments, "returns": "(o, S)", "any_dtype": True}
    right, message = grade_function(
        answer, chunked_delta_rule, chunk_inputs(), CHUNK_MISTAKES, **options, simple=simple_chunks()
    )
    if right and not grade_function(answer, chunked_delta_rule, [strong_decay()], (), **options)[0]:
        return False, (
            "Right for gentle decay, but with g = −20 numbers overflow: never divide by e^c, and mask c_i − c_j with "
            "−∞ above the diagonal before `exp()`; a product with 0 after it is ∞ · 0 = NaN."
        )
    if right:
        message += " (Only the numbers are checked: a loop over tokens would pass too.)"
    return right, message
