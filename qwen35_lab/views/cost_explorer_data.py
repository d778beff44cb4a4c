"""What the cost explorer sends: costs of one layer of each kind at every length, which a mix adds up."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis.cost import MIXES, Cost, ends_cost, layer_cost, mixed
from ..analysis.roofline import Machine, predicted_seconds
from ..config import FULL, LINEAR, ModelConfig
from ..family import conv_state_bytes, kv_bytes_per_token, load_config, state_bytes, weight_bytes

CONTEXTS = [round(2 ** (n / 2)) for n in range(12, 41)]  # tokens: 64 to 1,048,576
BATCHES = (1, 4, 16, 64, 256)  # texts at a time
VIEWS = ("read the text", "write one more token")
PARTS = (LINEAR, FULL, "ends")  # a layer of each kind, and what is there once


def describe(
    models: Sequence[str], machines: Mapping[str, Machine], dtype: str, prices: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "contexts": CONTEXTS, "batches": list(BATCHES), "views": list(VIEWS), "mixes": list(MIXES), "alt": "",
        "models": [_model(name, list(machines.values()), dtype) for name in models],
        "machines": [{"name": m.name, "usd": prices[key], "memory": m.memory} for key, m in machines.items()],
    }  # fmt: skip


def _model(name: str, machines: Sequence[Machine], dtype: str) -> dict[str, Any]:
    """`flops` [view, seen or not, part, length] of one text; `seconds` [machine, view, batch, part, length]."""
    config = load_config(name)
    layers = config.text.num_hidden_layers
    kinds = [mixed(config, mix).text.layer_types for mix in MIXES]
    linear, full = (mixed(config, mix) for mix in ("all DeltaNet", "all attention"))
    light, heavy = (float(weight_bytes(found, dtype, text_only=True)) for found in (linear, full))
    return {
        "name": name, "mixes": [[k.count(LINEAR), k.count(FULL)] for k in kinds],
        "weights": [light + k.count(FULL) / layers * (heavy - light) for k in kinds],
        "state": state_bytes(linear) / layers, "conv": conv_state_bytes(linear, dtype) / layers,
        "kv": kv_bytes_per_token(full, dtype) / layers,
        "flops": _flops(config), "seconds": np.stack([_seconds(config, machine) for machine in machines]),
    }  # fmt: skip


def _flops(config: ModelConfig) -> np.ndarray:
    found = np.zeros((len(VIEWS), 2, len(PARTS), len(CONTEXTS)), "float32")
    for view in range(len(VIEWS)):
        for n in range(len(CONTEXTS)):
            for part, each in enumerate(_parts(config, view, n, 1, "bfloat16")):
                found[view, :, part, n] = each.seen, each.flops - each.seen
    return found


def _seconds(config: ModelConfig, machine: Machine) -> np.ndarray:
    found = np.zeros((len(VIEWS), len(BATCHES), len(PARTS), len(CONTEXTS)), "float32")
    for view in range(len(VIEWS)):
        for b, batch in enumerate(BATCHES):
            for n in range(len(CONTEXTS)):
                parts = _parts(config, view, n, batch, machine.dtype)
                found[view, b, :, n] = [predicted_seconds(part, machine) for part in parts]
    return found


def _parts(config: ModelConfig, view: int, at: int, batch: int, dtype: str) -> tuple[Cost, ...]:
    """A DeltaNet layer, an attention layer, and the two ends of the model."""
    new, past = (1, CONTEXTS[at]) if view else (CONTEXTS[at], 0)
    layers = [layer_cost(config, kind, new, past, batch, dtype=dtype) for kind in (LINEAR, FULL)]
    return *layers, ends_cost(config, new, batch, dtype=dtype)


def total(rows: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """[part, length] of one layer each -> [length] of so many layers of each kind, and the ends."""
    return counts[0] * rows[0].astype("float64") + counts[1] * rows[1] + rows[2]
