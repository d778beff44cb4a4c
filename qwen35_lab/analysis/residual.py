"""The residual stream: how long it is after every layer, and what each half of a layer adds to it.

A layer adds two vectors to the stream, one after the other: x ← x + mixer(norm(x)), then x ← x + ffn(norm(x)).
Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", is where reading it this way comes from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..trace import Trace
from .recorded import mixer_kind

TAPS = ("layers.*.input", "layers.*.mixer.out", "layers.*.ffn.out", "layers.*.output")  # what to record for this


@dataclass(frozen=True)
class Contributions:
    """Euclidean norms and cosines, each [layer, token], float32."""

    stream: Tensor  # ‖x‖ as it enters the layer
    mixer: Tensor  # ‖mixer out‖
    ffn: Tensor  # ‖feed-forward out‖
    output: Tensor  # ‖x‖ as it leaves the layer
    mixer_cosine: Tensor  # cos(mixer out, x before it was added): −1 erases, 0 adds something new, 1 repeats
    ffn_cosine: Tensor  # cos(feed-forward out, x before it was added)


def layer_count(trace: Trace) -> int:
    """How many layers a trace holds the output of, counted from layer 0 on."""
    count = 0
    while f"layers.{count}.output" in trace.tensors:
        count += 1
    if not count or "layers.0.input" not in trace.tensors:
        raise InputError('The trace holds no residual stream; record "layers.*.input" and "layers.*.output".')
    return count


def layer_kinds(trace: Trace) -> list[str]:
    """The kind of every layer, from the names of what it left in the trace."""
    found = []
    while f"layers.{len(found)}.mixer.out" in trace.tensors:
        if (kind := mixer_kind(trace, len(found))) is None:
            raise InputError(f'The trace does not tell what kind layer {len(found)} is; record "layers.*.mixer.*".')
        found.append(kind)
    return found


def residual_stream(trace: Trace) -> Tensor:
    """The stream before the first layer and after every layer: [layer + 1, token, feature], float32 at least."""
    layers = layer_count(trace)
    states = [trace["layers.0.input"], *(trace[f"layers.{n}.output"] for n in range(layers))]
    stream = torch.stack([state.cpu() for state in states])
    return stream.to(torch.promote_types(stream.dtype, torch.float32))


def contributions(trace: Trace) -> Contributions:
    """Norms of the stream and of both halves of every layer, from a trace that recorded `residual.TAPS`."""
    stream = residual_stream(trace)
    mixer, ffn = (
        torch.stack([trace[f"layers.{n}.{half}.out"].cpu().to(stream.dtype) for n in range(len(stream) - 1)])
        for half in ("mixer", "ffn")
    )
    before, after = stream[:-1], stream[1:]
    return Contributions(
        stream=before.norm(dim=-1).float(),
        mixer=mixer.norm(dim=-1).float(),
        ffn=ffn.norm(dim=-1).float(),
        output=after.norm(dim=-1).float(),
        mixer_cosine=F.cosine_similarity(mixer, before, dim=-1).float(),
        ffn_cosine=F.cosine_similarity(ffn, before + mixer, dim=-1).float(),
    )
