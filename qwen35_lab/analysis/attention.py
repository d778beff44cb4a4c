"""Who attends to whom in a full-attention layer: the softmax map, as the trace recorded it."""

from torch import Tensor

from ..config import FULL
from ..trace import Trace
from .recorded import mixer_values


def attention_map(trace: Trace, layer: int) -> Tensor:
    """softmax(q kᵀ/√d) [head, query, key] of an attention layer; each row sums to one.

    The fused kernel never forms these weights, so they must be asked for by name: record "layers.3.mixer.weights".

    Raises:
        InputError: the weights were not recorded, there is no such layer, or it is a DeltaNet layer.
    """
    (weights,) = mixer_values(trace, layer, FULL, ["weights"])
    return weights
