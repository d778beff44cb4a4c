"""Influence maps with dials: the split of M, M beside a softmax map, and M as the chunked algorithm assembles it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..analysis import layer_kinds, strongest_reader
from ..analysis.attention import attention_map
from ..analysis.influence import TAPS, assemble_influence, influence_map, influence_parts, within_chunk_mask
from ..analysis.recorded import mixer_values
from ..analysis.state import half_life
from ..config import FULL, LINEAR
from ..errors import InputError
from ..trace import Trace
from .deck import Axis, Curves, Deck, Dial, Heat
from .words import short, signed

CELLS = 1_000_000  # of all maps of a deck
SIZES = (1, 2, 4, 8, 16, 32, 64)
TAKES = "“{row}” reads from “{column}”"


def influence_deck(trace: Trace, layer: int, heads: Sequence[int] | None = None, start: int | None = None) -> Deck:
    """M of a DeltaNet layer and the three parts it is the sum of, head by head; below, every token's β and half-life.

        M = direct write + decayed + erased           (analysis/influence.py)

    The four maps share one colour scale, so that a colour means the same number in all of them.

    Args:
        trace: with the mixer's q, k, decay and beta.
        heads: those on the dial; by default all, or of long texts those few that take most from earlier tokens.
        start: the head that is shown first; by default the one that takes most.
    Raises:
        InputError: something was not recorded, the layer is an attention layer, or there is no such head.
    """
    parts = influence_parts(trace, layer)
    taken = parts.total.tril(-1).abs().amax((-2, -1))  # [head]
    most = max(1, CELLS // (4 * parts.total[0].numel()))
    if heads is None:
        first = [] if start is None else _chosen([start], len(taken), layer)
        order = [*first, *(head for head in taken.argsort(descending=True).tolist() if head not in first)]
        heads = sorted(order[:most])
    chosen = _chosen(heads, len(taken), layer)
    opened = int(taken[chosen].argmax()) if start is None else _place_of(start, chosen, len(taken), layer)
    beta, g = mixer_values(trace, layer, LINEAR, ("beta", "decay"))
    source = Axis("read from", trace.tokens)
    maps = {"M, all together": parts.total, "Direct write": parts.direct, "Decayed": parts.decayed,
            "Erased": parts.erased}  # fmt: skip
    limit = max(float(values[chosen].abs().max()) for values in maps.values())
    wrong = parts.wrongness()
    below = parts.total[chosen].tril()
    negative = float((below < 0).sum()) / (len(chosen) * len(beta) * (len(beta) + 1) / 2)
    return Deck(
        [
            *(
                Heat(title, values[chosen], over=("head",), limit=limit, rows=Axis("reading", trace.tokens),
                     columns=source, reading=TAKES) for title, values in maps.items()
            ),
            Curves("Write strength β", source, {"β": beta.T[chosen]}, over=("head",)),
            Curves("Half-life, tokens", source, {"ln 2 / −g": half_life(g).T[chosen]}, over=("head",), log=True),
        ],
        [Dial("head", chosen, start=opened)],
        notes=[f"Without its erased part the map is wrong by {_percent(wrong[head])} of its largest entry"
               for head in chosen],
        caption=f"Layer {layer}: {negative:.0%} of M's entries are negative. Leaving out what later writes erased is "
        f"wrong by {_percent(wrong[chosen].min())} to {_percent(wrong[chosen].max())} of a head's largest entry.",
        provenance=trace.provenance,
    )  # fmt: skip


def attention_pair(
    trace: Trace, deltanet_layer: int | None = None, attention_layer: int | None = None, start: int | None = None
) -> Deck:
    """Who reads from whom in a DeltaNet layer and in the full-attention layer that follows it, with a dial for each.

    Args:
        trace: with q, k, decay, beta of the DeltaNet layer and, asked for by name, the weights of the attention layer.
        deltanet_layer: by default the one in which the last token takes most from an earlier one.
        attention_layer: by default the next one after it.
        start: the DeltaNet head that is shown first; by default the one whose last row takes most.
    Raises:
        InputError: something was not recorded, or a layer is of the other kind.
    """
    first = strongest_reader(trace)[0] if deltanet_layer is None else deltanet_layer
    second = _following(trace, first) if attention_layer is None else attention_layer
    influence, weights = influence_map(trace, first).double(), attention_map(trace, second).double()
    heads = [int(maps.tril(-1)[:, -1].abs().amax(-1).argmax()) for maps in (influence, weights)]
    if start is not None:
        heads[:1] = _chosen([start], len(influence), first)
    reading, source = Axis("reading", trace.tokens), Axis("read from", trace.tokens)
    sums, dials = influence.sum(-1), ("DeltaNet head", "attention head")
    return Deck(
        [
            Heat(f"Influence, DeltaNet layer {first}", influence, dials[:1], reading, source, reading=TAKES),
            Heat(f"Softmax, attention layer {second}", weights, dials[1:], reading, source, signed=False, limit=1.0,
                 reading=TAKES),
        ],
        [Dial(name, range(len(maps)), at) for name, maps, at in zip(dials, (influence, weights), heads, strict=True)],
        caption=f"Rows of the softmax (layer {second}) sum to 1 and are never negative; rows of the influence "
        f"(layer {first}) sum to between {signed(sums.min())} and {signed(sums.max())}, and its entries lie between "
        f"{signed(influence.min())} and {signed(influence.max())}. Point at a cell: the same pair is marked in both.",
        provenance=trace.provenance,
    )  # fmt: skip


def chunk_deck(trace: Trace, layer: int, head: int, sizes: Sequence[int] = SIZES) -> Deck:
    """The same M for every chunk size: what is computed inside a chunk, and what comes through the state.

    Args:
        trace: with the mixer's q, k, decay and beta.
        sizes: chunk sizes on the dial; those beyond the first that holds the whole text are left out.
    Raises:
        InputError: something was not recorded, or there is no such head.
    """
    if not sizes:
        raise InputError("There is no chunk size to show; pass sizes, such as [1, 4, 16].")
    M = influence_parts(trace, layer).total
    (head,) = _chosen([head], len(M), layer)
    M, T = M[head], M.shape[-1]
    used = [size for size, before in zip(sizes, (0, *sizes), strict=False) if before < T]
    q, k, g, beta = mixer_values(trace, layer, LINEAR, TAPS)
    key_head = head * k.shape[1] // beta.shape[1]
    own = q[:, key_head, None], k[:, key_head, None], g[:, head, None], beta[:, head, None]
    found = torch.stack([assemble_influence(*own, size).sum(0)[0] for size in used])  # [size, reader, source]
    inside = torch.stack([within_chunk_mask(T, size) for size in used])
    share = (found.abs() * ~inside).sum((1, 2)) / found.abs().sum((1, 2))
    off = (found - M).abs().amax((1, 2)) / M.abs().max()
    limit, reading, source = float(M.abs().max()), Axis("reading", trace.tokens), Axis("read from", trace.tokens)
    blank = torch.full_like(found, torch.nan)
    shapes = {"over": ("chunk size",), "rows": reading, "columns": source, "limit": limit, "reading": TAKES}
    return Deck(
        [
            Heat("Inside the chunk: matrix products", torch.where(inside, found, blank), **shapes),
            Heat("Through the state: handed over", torch.where(inside | (found == 0), blank, found), **shapes),
            Heat("Together: M", found, **shapes),
            Curves("Share of |M| that comes through the state", Axis("chunk size", used), {"share": share},
                   cursor="chunk size"),
        ],
        [Dial("chunk size", used, start=min(2, len(used) - 1), play=True)],
        notes=[f"{-(-T // size)} steps one after the other, {share[n]:.0%} of |M| through the state; differs from M by "
               f"{off[n]:.0e} of its largest entry" for n, size in enumerate(used)],
        caption=f"Layer {layer}, head {head}: the same map for chunks of {used[0]} to {used[-1]} tokens, up to "
        f"{float(off.max()):.0e} of its largest entry. Chunks of {used[0]} hand {share[0]:.0%} of |M| through the "
        f"state, chunks of {used[-1]} {share[-1]:.0%}.",
        provenance=trace.provenance,
    )  # fmt: skip


def _chosen(heads: Sequence[int], count: int, layer: int) -> list[int]:
    chosen = list(heads)
    if not chosen or not all(-count <= head < count for head in chosen):
        raise InputError(f"Layer {layer} has {count} heads, asked were {chosen}; pass heads from 0 to {count - 1}.")
    return [head % count for head in chosen]


def _place_of(head: int, chosen: Sequence[int], count: int, layer: int) -> int:
    (head,) = _chosen([head], count, layer)
    if head not in chosen:
        raise InputError(f"Head {head} is not on the dial, which has {list(chosen)}; add it to heads.")
    return chosen.index(head)


def _percent(share: Tensor) -> str:
    return f"{short(100 * float(share))} %"


def _following(trace: Trace, layer: int) -> int:
    """The next full-attention layer."""
    kinds = layer_kinds(trace)
    after = [n for n, kind in enumerate(kinds) if n > layer and kind == FULL]
    if not after:
        raise InputError(f"No full-attention layer follows layer {layer}; pass attention_layer.")
    return after[0]
