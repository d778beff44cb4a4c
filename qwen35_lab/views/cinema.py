"""State cinema: the memory of one DeltaNet head, token by token, as a film."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..analysis.recorded import mixer_values
from ..analysis.state import account, half_life, recalled, state_geometry
from ..config import LINEAR
from ..errors import InputError
from ..trace import Trace
from .deck import Axis, Curves, Deck, Dial, Heat, Strip, shrink
from .words import short, signed, visible

SIDE, CELLS = 64, 1_000_000  # most rows and columns of the memory that are drawn, and cells of all frames
FOLLOWED = 4  # keys, unless others are asked for
CANDIDATES = 32  # tokens that write most: those whose overwriting is looked for
SAME_KEY = 0.9  # cosine from which on a later write counts as one under the same key
NEEDED = ("state", "k", "v", "beta", "decay", "write", "erase")  # of the mixer


def state_cinema(trace: Trace, layer: int, head: int, keys: Sequence[int] | None = None) -> Deck:
    """S over time beside its size, its effective rank, what each token wrote, and what chosen keys return.

    A key's curve is r·v / ‖v‖² with r = Sᵀk: 1 where the memory returns the value that its token wrote, 0 where it is
    gone. It begins at that token.

    Args:
        trace: with the mixer's k, v, beta, decay, and, asked for by name, its state, write and erase.
        keys: tokens whose keys are followed; by default four, `followed_keys` says which.
    Raises:
        InputError: something was not recorded (the message says what to record), or there is no such head or token.
    """
    S, k, v, beta, g, write, erase = mixer_values(trace, layer, LINEAR, NEEDED)
    T, heads = beta.shape
    if not -heads <= head < heads:
        raise InputError(f"Layer {layer} has {heads} heads; pass a head from 0 to {heads - 1}.")
    head %= heads
    S, v, beta, g, write, erase = (x[:, head] for x in (S, v, beta, g, write, erase))  # one head: it may be large
    k = k[:, head * k.shape[1] // heads]
    ledger = account(S[:, None], k[:, None], g[:, None], write[:, None], erase[:, None])
    geometry, written = state_geometry(S[:, None]), ledger.write[:, 0]
    followed = followed_keys(keys, S, k, v, written)
    curves = {key_name(trace.tokens, n): strength(S, k[n], v[n], n) for n in followed}
    tokens, rows = Axis("token", trace.tokens), min(SIDE, max(8, int((CELLS / T) ** 0.5)))
    kept = sum(float(curve[-1]) > 0.5 for curve in curves.values())
    norm, rank = geometry.norm[:, 0], geometry.effective_rank[:, 0]
    return Deck(
        [
            Strip(trace.tokens, written, title="written, β‖v‖", signed=False),
            Heat(
                f"Memory S, layer {layer}, head {head}", shrink(shrink(S, rows, 1), rows, 2), over=("token",),
                rows=Axis("key feature"), columns=Axis("value feature"),
            ),
            Curves("What keys return, share of their value", tokens, curves, cursor="token"),
            Curves("Size, Frobenius norm", tokens, {"‖S‖": norm, "‖ΔS‖": geometry.change[:, 0]}, cursor="token"),
            Curves("Effective rank", tokens, {"erank": rank}, cursor="token"),
        ],
        [Dial("token", trace.tokens, start=-1, play=True)],
        notes=[_note(beta[n], g[n], written[n], ledger.erase[n, 0]) for n in range(T)],
        caption=f"Layer {layer}, head {head}: ‖S‖ grows to {short(float(norm.max()))}, of effective rank "
        f"{short(float(rank[-1]))} of {min(S.shape[-2:])} at the end. Of the {len(followed)} followed values {kept} "
        f"{'is' if kept == 1 else 'are'} still returned by more than half after the last token."
        + _overwrite_said(S, k, v, written, trace.tokens),
        provenance=trace.provenance,
    )  # fmt: skip


def followed_keys(keys: Sequence[int] | None, S: Tensor, k: Tensor, v: Tensor, write: Tensor) -> list[int]:
    """The tokens asked for; or what was overwritten and what overwrote it, and then those that write most; in order.

    Args:
        S: [token, K, V] of one head; k [token, K], v [token, V].
        write: [token], how much each token writes.
    """
    if keys is None:
        pairs = [n for pair in overwrites(S, k, v, write) for n in pair]
        return sorted(list(dict.fromkeys([*pairs, *write.argsort(descending=True).tolist()]))[:FOLLOWED])
    if not keys or not all(-len(write) <= n < len(write) for n in keys):
        raise InputError(f"The keys are {list(keys)}; pass tokens from 0 to {len(write) - 1}.")
    return [n % len(write) for n in keys]


def overwrites(S: Tensor, k: Tensor, v: Tensor, write: Tensor) -> list[tuple[int, int]]:
    """Pairs (token, later token): the later one writes under nearly the same key, and of all who do it takes most.

    Sorted by what is taken, the share that the key no longer returns times the write; a tenth of the most counts.
    """
    taken: dict[tuple[int, int], float] = {}
    for n in write.topk(min(CANDIDATES, len(write))).indices.tolist():
        fall = -strength(S, k[n], v[n], n)[n:].diff()  # by each later token
        fall = torch.where(k[n + 1 :] @ k[n] > SAME_KEY, fall, 0.0).nan_to_num()
        if len(fall) and fall.max() > 0:
            taken[n, n + 1 + int(fall.argmax())] = float(write[n] * fall.max())
    most = max(taken.values(), default=0.0)
    return [pair for pair in sorted(taken, key=lambda pair: -taken[pair]) if taken[pair] > most / 10]


def _overwrite_said(S: Tensor, k: Tensor, v: Tensor, write: Tensor, tokens: Sequence[str]) -> str:
    if not (pairs := overwrites(S, k, v, write)):
        return ""
    n, later = pairs[0]
    before, after = (signed(share) for share in strength(S, k[n], v[n], n)[[later - 1, later]])
    return (
        f" The key of “{key_name(tokens, n)}” returns {before} of its value, until “{key_name(tokens, later)}” writes "
        f"under nearly the same key (cosine {float(k[n] @ k[later]):.3f}): then {after}."
    )


def key_name(tokens: Sequence[str], n: int) -> str:
    """A token with its number; one without letters or digits, such as a point, with the two before it instead."""
    if _has_letters(tokens[n]) or not n or not _has_letters(tokens[n - 1]):
        return f"{n} {visible(tokens[n])}"
    return " ".join([str(n), *(visible(token) for token in tokens[max(0, n - 2) : n])])


def _has_letters(token: str) -> bool:
    return any(letter.isalnum() for letter in token)


def strength(S: Tensor, k: Tensor, v: Tensor, token: int) -> Tensor:
    """How much of a token's value its key returns at every time, [token]; nan before it was written.

    Args:
        S: [token, K, V] of one head.
        k, v: [K] and [V] of the token.
    """
    found = recalled(S[:, None], k, v).strength[:, 0]
    return torch.cat((torch.full_like(found[:token], torch.nan), found[token:]))


def _note(beta: Tensor, g: Tensor, wrote: Tensor, erased: Tensor) -> str:
    return (
        f"β {float(beta):.2f}, half-life {short(float(half_life(g)))} tokens, "
        f"writes {short(float(wrote))}, erases {short(float(erased))}"
    )
