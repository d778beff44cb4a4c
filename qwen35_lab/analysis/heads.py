"""What the heads of a gated attention layer do: where they look, and how much of what they find their gate lets pass.

The softmax returns y = weights · v; the layer passes on gate ⊙ y (model/attention.py). A head that has nothing to say
must still spend all of its attention, since a softmax sums to one; it can spend it on one token that does not matter, a
**sink** (Xiao et al. 2023, arXiv 2309.17453), or, with a gate, throw away what it finds (Qiu et al. 2025,
arXiv 2505.06708, §4).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import FULL
from ..errors import InputError
from ..provenance import Provenance
from ..trace import Trace
from .recorded import mixer_values

SHUT = 0.1  # a gate below this lets nearly nothing pass


@dataclass(frozen=True)
class Heads:
    """Of one layer, [head] each: means over the tokens that read; the first, which has no choice, is left out."""

    layer: int
    suppressed: Tensor  # 1 − Σ|gate ⊙ y| / Σ|y|: the share of the head's output that does not pass
    gate: Tensor  # the mean of its values
    shut: Tensor  # the share of them below `SHUT`
    sink: Tensor  # the weight on the first token
    own: Tensor  # the weight on the reading token itself
    entropy: Tensor  # of the weights, nats
    distance: Tensor  # how far back it looks, tokens, weighted by attention
    provenance: Provenance


def attention_result(trace: Trace, layer: int) -> Tensor:
    """What the softmax of an attention layer returns, before the gate: [token, head, feature].

    Raises:
        InputError: v or the weights were not recorded, or it is a DeltaNet layer.
    """
    v, weights = mixer_values(trace, layer, FULL, ("v", "weights"))
    v = v.repeat_interleave(weights.shape[0] // v.shape[1], dim=1)  # each key head serves a group of query heads
    return torch.einsum("hqk,khf->qhf", weights.float(), v.float())


def head_statistics(trace: Trace, layer: int) -> Heads:
    """Where the heads of an attention layer look, and what their gates do.

    Args:
        trace: with the layer's v and gate and, asked for by name, "layers.3.mixer.weights".
    Raises:
        InputError: something was not recorded, the layer is a DeltaNet layer, or the text has one token only.
    """
    gate, weights = (value.float() for value in mixer_values(trace, layer, FULL, ("gate", "weights")))
    if len(gate) < 2:
        raise InputError("The only token of a text looks at itself; trace a longer prompt.")
    y = attention_result(trace, layer)[1:]
    gate, weights, place = gate[1:], weights[:, 1:], torch.arange(weights.shape[-1])
    back = (place[1:, None] - place).clamp(min=0)
    return Heads(
        layer,
        suppressed=1 - (gate * y).abs().sum((0, 2)) / y.abs().sum((0, 2)),
        gate=gate.mean((0, 2)),
        shut=(gate < SHUT).float().mean((0, 2)),
        sink=weights[:, :, 0].mean(1),
        own=weights.diagonal(1, 1, 2).mean(1),
        entropy=-torch.special.xlogy(weights, weights).sum(-1).mean(1),
        distance=(weights * back).sum(-1).mean(1),
        provenance=trace.provenance,
    )
