"""What the layer elevator shows, as plain values and arrays: no widget and no picture here."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..analysis import Contributions, Lens, contributions, layer_kinds, residual_stream
from ..trace import Trace
from . import theme
from .charts import visible

STRIP_CELLS, STRIP_BYTES = 96, 2_000_000  # most cells of one strip, and bytes of all
SHOWN_VALUES = 8  # a tap with no more values per token shows them as numbers too


def describe(trace: Trace, lens: Lens, vocabulary: dict[int, str]) -> dict[str, Any]:
    """All that the elevator shows, as plain values and numpy arrays."""
    numbers = contributions(trace)
    names = [list(_taps_of_floor(trace, floor)) for floor in range(len(lens.ids))]
    strips = sum(map(len, names)) * len(trace.tokens)
    cells = max(8, min(STRIP_CELLS, STRIP_BYTES // strips))
    ids = lens.ids.unique()
    return {
        "provenance": str(trace.provenance),
        "badge": theme.kind_of(trace.provenance),
        "colours": theme.COLOURS,
        "tokens": [visible(token) for token in trace.tokens],
        "ids": trace.ids.tolist(),
        "kinds": layer_kinds(trace),
        "words": [visible(vocabulary[n]) for n in ids.tolist()],
        "wordIds": ids.tolist(),
        "lens": torch.searchsorted(ids, lens.ids).numpy().astype("int32"),  # [floor, token, k], places in `words`
        "probabilities": lens.probabilities.numpy().astype("float32"),
        **_norms(numbers, residual_stream(trace)),
        "floors": [[_tap(name, trace, cells) for name in floor] for floor in names],
    }


def _norms(numbers: Contributions, stream: Tensor) -> dict[str, np.ndarray]:
    """`stream` [floor, token]; the others [layer, token]"""
    found = {
        "stream": stream.norm(dim=-1),
        "mixer": numbers.mixer, "ffn": numbers.ffn,
        "mixerCosine": numbers.mixer_cosine, "ffnCosine": numbers.ffn_cosine,
    }  # fmt: skip
    return {name: value.numpy().astype("float32") for name, value in found.items()}


def _taps_of_floor(trace: Trace, floor: int) -> list[str]:
    """Floor 0 has the embedding; the top floor the model's end too."""
    own = [name for name in trace if name.startswith(f"layers.{floor - 1}.")] if floor else ["embed"]
    last = f"layers.{floor}.output" not in trace.tensors
    return [name for name in own + (["final", "logits"] if last else []) if name in trace.tensors]


def _tap(name: str, trace: Trace, cells: int) -> dict[str, Any]:
    """One tap of one layer: its statistics over all tokens, and a strip of cells for each token."""
    value, axes = trace[name].detach().cpu().float(), trace.axes[name]
    along = axes.index("token") if "token" in axes else axes.index("query")
    finite = value[value.isfinite()]
    rows = value.movedim(along, 0).flatten(1).nan_to_num(0, 0, 0)
    strip = peaks(rows, cells)
    limit = float(strip.abs().amax(1).median()) or float(strip.abs().max())
    return {
        "name": name.split(".", 2)[-1] if name.startswith("layers.") else name,
        "axes": list(axes),
        "shape": list(value.shape),
        "min": float(finite.min()),
        "mean": float(finite.mean()),
        "max": float(finite.max()),
        "limit": limit,  # drawn in full colour: the median token's largest value; larger ones are clipped
        "strip": (strip / (limit or 1)).clamp(-1, 1).mul(127).round().numpy().astype("int8"),  # [token, cell]
        "values": rows.numpy().astype("float32") if rows.shape[1] <= SHOWN_VALUES else None,  # [token, value]
    }


def peaks(rows: Tensor, cells: int) -> Tensor:
    """Shorten each row to at most `cells` cells, each the value of largest magnitude among those it stands for."""
    count = rows.shape[1]
    if count <= cells:
        return rows
    edges = torch.linspace(0, count, cells + 1).round().long().tolist()
    parts = [rows[:, a:b] for a, b in pairwise(edges)]
    return torch.stack([part.gather(1, part.abs().argmax(1, keepdim=True))[:, 0] for part in parts], dim=1)


def in_words(data: dict[str, Any], floor: int, token: int) -> str:
    """One view as a paragraph."""
    letters = " ".join(theme.LETTERS[kind] for kind in data["kinds"])
    where = f"after layer {floor - 1} ({theme.NAMES[data['kinds'][floor - 1]]})" if floor else "at the embedding"
    guesses = ", ".join(
        f"{data['words'][n]} {p:.1%}"
        for n, p in zip(data["lens"][floor, token], data["probabilities"][floor, token], strict=True)
    )
    added = ""
    if floor:
        mixer, ffn = (float(data[half][floor - 1, token]) for half in ("mixer", "ffn"))
        added = f" Mixer adds {mixer:.3g}, feed-forward {ffn:.3g}."
    return (
        f"Layer elevator, {data['provenance']}. {len(data['kinds'])} layers ({letters}), {len(data['tokens'])} tokens. "
        f"Token {token} “{data['tokens'][token]}” {where}: norm of the residual stream "
        f"{float(data['stream'][floor, token]):.3g}.{added} Logit lens: {guesses}. "
        f"Taps: {', '.join(tap['name'] for tap in data['floors'][floor])}."
    )
