"""Who reads what from whom in a DeltaNet layer: exact, from what a trace holds.

The delta rule is linear in the values, so a layer's reads are one matrix times all values, O = M V (see
`model/delta_rule.py` for M). An entry can be negative, memory that is taken out, and rows need not sum to one.
"""

from collections.abc import Sequence

from torch import Tensor

from ..config import LINEAR
from ..errors import InputError
from ..model import delta_rule
from ..trace import Trace
from .residual import layer_kinds


def influence_map(trace: Trace, layer: int) -> Tensor:
    """M [head, reading token, token read from] of a layer whose q, k, decay and beta were recorded."""
    q, k, g, beta = (trace[f"layers.{layer}.mixer.{name}"][None] for name in ("q", "k", "decay", "beta"))
    return delta_rule.influence_matrix(q, k, g, beta)[0].cpu()


def strongest_reader(trace: Trace, layers: Sequence[int] | None = None) -> tuple[int, int]:
    """Layer and head in which the last token takes most from an earlier one.

    Args:
        layers: DeltaNet layers to look at; None for all.
    """
    if layers is None:
        layers = [n for n, kind in enumerate(layer_kinds(trace)) if kind == LINEAR]
    if not layers or len(trace.tokens) < 2:
        raise InputError("There is nobody to read from; trace at least two tokens of a model with a DeltaNet layer.")
    taken = {layer: influence_map(trace, layer)[:, -1, :-1].abs().amax(-1) for layer in layers}  # [head] each
    layer = max(layers, key=lambda layer: float(taken[layer].max()))
    return layer, int(taken[layer].argmax())
