"""What a cache keeps, layer by layer: bytes as they are in memory, and bytes as they follow from the config alone.

An attention layer keeps keys and values of every token, so it grows with the text. A DeltaNet layer keeps its matrices
and the last inputs of its convolution, which are as large after a thousand tokens as after one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import FULL, LINEAR, ModelConfig
from ..family import conv_state_bytes, kv_bytes_per_token, state_bytes
from ..model import Cache
from ..model.cache import DeltaNetMemory
from ..qwen import Prompt, Qwen
from .recorded import counted


@dataclass(frozen=True)
class Growth:
    """A text read token by token, and what every layer kept after each of them."""

    kinds: tuple[str, ...]  # of the layers
    measured: Tensor  # [token, layer] bytes, of the tensors themselves
    predicted: Tensor  # [token, layer] bytes, from the config
    provenance: str


def layer_bytes(cache: Cache) -> list[int]:
    """Bytes of what each layer remembers now (not of the room to grow)."""
    found = []
    for layer in cache.layers:
        kept = (layer.conv, layer.state) if isinstance(layer, DeltaNetMemory) else (layer.k, layer.v)
        found.append(sum(t.numel() * t.element_size() for t in kept if t is not None))
    return found


def predicted_bytes(config: ModelConfig, tokens: int, dtype: str = "bfloat16") -> list[int]:
    """Bytes of what each layer will remember of one text of so many tokens, from the config alone.

    Args:
        dtype: of keys, values and convolution inputs; states have the config's own, or float64 with it.
    """
    tokens, kinds = counted(tokens, "tokens"), config.text.layer_types
    state = state_bytes(config, "float64" if dtype == "float64" else None) + conv_state_bytes(config, dtype)
    of_kind = {FULL: tokens * kv_bytes_per_token(config, dtype), LINEAR: state if tokens else 0}
    return [of_kind[kind] // kinds.count(kind) for kind in kinds]


@torch.inference_mode()
def cache_growth(qwen: Qwen, prompt: Prompt) -> Growth:
    """Read a text token by token and weigh the cache after each."""
    ids = qwen.encode(prompt)
    cache, dtype = qwen.model.new_cache(), str(qwen.model.embed_tokens.weight.dtype).removeprefix("torch.")
    measured, predicted = [], []
    for token in ids.split(1, dim=1):
        qwen.model(token, cache=cache)
        measured.append(layer_bytes(cache))
        predicted.append(predicted_bytes(qwen.config, cache.length, dtype))
    kinds = tuple(qwen.config.text.layer_types)
    return Growth(kinds, torch.tensor(measured), torch.tensor(predicted), str(qwen.provenance))
