"""Values of one layer out of a trace, or an error that says what to record."""

from collections.abc import Sequence

from torch import Tensor

from ..config import FULL, LINEAR
from ..errors import InputError
from ..trace import Trace

# Names that only one kind of mixer has (q, k, v and out are of both).
ONLY = {LINEAR: ("z", "beta", "decay", "erase", "write", "state", "read"), FULL: ("scores", "weights", "gate")}
ASK_INSTEAD = {
    LINEAR: "Layer {layer} is a DeltaNet layer, without a softmax; its exact map is influence_map(trace, {layer}).",
    FULL: "Layer {layer} is an attention layer, without a memory matrix; its map is attention_map(trace, {layer}).",
}


def mixer_kind(trace: Trace, layer: int) -> str | None:
    """`LINEAR` or `FULL`, from the names that the layer left in the trace; None where they do not tell."""
    found = [k for k, names in ONLY.items() if any(f"layers.{layer}.mixer.{n}" in trace.tensors for n in names)]
    return found[0] if len(found) == 1 else None


def mixer_values(trace: Trace, layer: int, kind: str, names: Sequence[str]) -> list[Tensor]:
    """Values of a layer's mixer by name, on the CPU.

    Raises:
        InputError: the layer is of the other kind, or a value was not recorded.
    """
    if mixer_kind(trace, layer) not in (kind, None):
        raise InputError(ASK_INSTEAD[LINEAR if kind == FULL else FULL].format(layer=layer))
    return [value.cpu() for value in values(trace, [f"layers.{layer}.mixer.{name}" for name in names])]


def values(trace: Trace, names: Sequence[str]) -> list[Tensor]:
    """Values by their full names.

    Raises:
        InputError: one was not recorded; the message holds all that are missing, ready for `record`.
    """
    if missing := [name for name in names if name not in trace.tensors]:
        patterns = ", ".join(f'"{name}"' for name in missing)
        what = "This value was" if len(missing) == 1 else "These values were"
        raise InputError(f"{what} not recorded; trace again and record {patterns}.")
    return [trace.tensors[name] for name in names]
