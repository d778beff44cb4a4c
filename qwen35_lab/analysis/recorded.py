"""Values of one layer out of a trace, or an error that says what to record."""

import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..config import FULL, LINEAR
from ..errors import InputError
from ..trace import Trace, whole_number

# Names that only one kind of mixer has; of q, k and v, which both have, the axes tell.
ONLY = {LINEAR: ("z", "beta", "decay", "erase", "write", "state", "read"), FULL: ("scores", "weights", "gate")}
ASK_INSTEAD = {
    LINEAR: "Layer {layer} is a DeltaNet layer, without a softmax; its exact map is influence_map(trace, {layer}).",
    FULL: "Layer {layer} is an attention layer, without a memory matrix; its map is attention_map(trace, {layer}).",
}


def counted(number: Any, what: str, least: int = 0) -> int:
    """A whole number of any library. Raises `InputError` for all else, or if it is too small."""
    try:
        found = whole_number(number)
    except TypeError:
        found = None
    if found is None or found < least:
        raise InputError(f"{what} is {number!r}; pass a whole number, {least} or more.")
    return found


def layer_of(trace: Trace, layer: Any, names: str) -> int:
    """A layer's number.

    Args:
        names: what is wanted of it, for the message: "mixer.weights".
    Raises:
        InputError: it is none, or there is nothing of that layer in the trace.
    """
    if not isinstance(trace, Trace):
        raise InputError(f"A {type(trace).__name__} is no trace; pass what qwen.trace(…) returns.")
    found = counted(layer, "layer")
    held = sorted({int(match[1]) for name in trace if (match := re.match(r"layers\.(\d+)\.", name))})
    if held and found > held[-1]:
        listed = f"layers {held[0]} to {held[-1]}" if len(held) > 1 else f"layer {held[0]}"
        raise InputError(
            f"The trace holds nothing of layer {found}, only of {listed}; choose one of these, or, if the model has "
            f'that layer, trace again and record "layers.{found}.{names}".'
        )
    return found


def mixer_kind(trace: Trace, layer: int) -> str | None:
    """`LINEAR` or `FULL`, from what the layer left in the trace; None where that does not tell."""
    found = {k for k, names in ONLY.items() if any(f"layers.{layer}.mixer.{n}" in trace.tensors for n in names)}
    both = [trace.axes[name] for n in "qkv" if (name := f"layers.{layer}.mixer.{n}") in trace.tensors]
    found |= {FULL if "feature" in axes else LINEAR for axes in both}
    return found.pop() if len(found) == 1 else None


def mixer_values(trace: Trace, layer: int, kind: str, names: Sequence[str]) -> list[Tensor]:
    """Values of a layer's mixer by name, on the CPU.

    Raises:
        InputError: there is no such layer, it is of the other kind, or a value was not recorded.
    """
    layer = layer_of(trace, layer, f"mixer.{names[0] if len(names) == 1 else '*'}")
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
