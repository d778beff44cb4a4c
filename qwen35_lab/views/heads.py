"""Heads of gated attention: where each looks, and how much of what it finds its gate lets pass."""

from collections.abc import Sequence

import torch

from ..analysis.attention import attention_map
from ..analysis.heads import attention_result, head_statistics
from ..analysis.recorded import mixer_values
from ..analysis.residual import layer_kinds
from ..config import FULL
from ..errors import InputError
from ..trace import Trace
from .deck import Axis, Bars, Curves, Deck, Dial, Heat
from .words import short

CELLS = 1_000_000  # of all maps of a deck
SAID = ("suppressed", "sink", "own", "entropy", "distance")  # of `Heads`


def heads_deck(trace: Trace, layers: Sequence[int] | None = None, start: int | None = None) -> Deck:
    """Every attention head: who looks at whom, and below what passes its gate, token by token.

    Args:
        trace: with v and gate and, asked for by name, "layers.*.mixer.weights".
        layers: attention layers; by default all of them.
        start: the place of the head on the dial to begin with; by default the one whose gate suppresses most.
    Raises:
        InputError: something was not recorded, there is no attention layer, or the text is too long to be drawn.
    """
    chosen = [n for n, kind in enumerate(layer_kinds(trace)) if kind == FULL] if layers is None else list(layers)
    if not chosen:
        raise InputError("There is no attention layer to look at; trace a model that has one.")
    found = [head_statistics(trace, n) for n in chosen]
    maps = torch.cat([attention_map(trace, n).float() for n in chosen])
    if maps.numel() > CELLS:
        raise InputError(f"{len(maps)} maps of {maps.shape[1]} tokens are too many to draw; pass fewer layers.")
    passes = torch.cat([passing(trace, n) for n in chosen])
    names = [f"{each.layer} F, head {h}" for each in found for h in range(len(each.gate))]
    numbers = {key: torch.cat([getattr(each, key) for each in found]) for key in SAID}
    most, least = int(numbers["suppressed"].argmax()), int(numbers["suppressed"].argmin())
    source = Axis("looked at", trace.tokens)
    where = ("layer, head",)
    return Deck(
        [
            Heat("Who looks at whom", maps, where, Axis("reading", trace.tokens), source, signed=False, limit=1.0,
                 reading="“{row}” looks at “{column}”"),
            Curves("Share of what is found that passes the gate", Axis("reading", trace.tokens), {"share": passes},
                   over=where),
            Bars("Suppressed by the gate", names, {"share": numbers["suppressed"]}, signed=False),
            Bars("Weight on the first token", names, {"weight": numbers["sink"]}, signed=False),
        ],
        [Dial("layer, head", names, start=most if start is None else start)],
        notes=[f"on average {numbers['distance'][n]:.1f} tokens back, {numbers['sink'][n]:.0%} on the first token, "
               f"{numbers['own'][n]:.0%} on itself; entropy {numbers['entropy'][n]:.2f} nats; the gate suppresses "
               f"{numbers['suppressed'][n]:.0%}" for n in range(len(names))],
        caption=f"The gate suppresses {numbers['suppressed'][most]:.0%} of what {names[most]} finds and "
        f"{numbers['suppressed'][least]:.0%} of what {names[least]} finds. On average a head looks "
        f"{short(float(numbers['distance'].mean()))} tokens back and gives the first token "
        f"{numbers['sink'].mean():.0%} of its attention.",
        provenance=trace.provenance,
    )  # fmt: skip


def passing(trace: Trace, layer: int) -> torch.Tensor:
    """Σ|gate ⊙ y| / Σ|y| over features, y what the softmax returns: [head, token]."""
    (gate,) = mixer_values(trace, layer, FULL, ("gate",))
    y = attention_result(trace, layer)
    return ((gate.float() * y).abs().sum(-1) / y.abs().sum(-1).clamp(min=1e-12)).T
