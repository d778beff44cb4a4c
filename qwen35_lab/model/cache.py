"""What a model remembers between calls: a hybrid of two kinds of memory.

* A full-attention layer keeps the key and value of every token: it grows.
* A DeltaNet layer keeps a matrix per head and the last inputs of its convolution: it does not grow.

`snapshot` and `restore` roll a cache back without loss. A recurrent state cannot be cropped, so this is the only way to
take tokens back. A snapshot costs nothing: states are replaced, never written into, and keys and values are only ever
appended behind the snapshot's length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import LINEAR, TextConfig


def outlived(x: Tensor) -> bool:
    """Whether x was made in torch's inference mode and that is over: no gradient may need it, nothing write into it."""
    return x.is_inference() and not torch.is_inference_mode_enabled()


@dataclass
class AttentionMemory:
    """Keys and values of one full-attention layer, [batch, token, kv head, feature], in a buffer with room to grow."""

    k_buffer: Tensor | None = None
    v_buffer: Tensor | None = None
    length: int = 0
    shared: bool = False  # a snapshot holds this buffer too: copy before writing
    expected: int = 0  # tokens that are known to come: they find their room made

    @property
    def k(self) -> Tensor | None:
        return None if self.k_buffer is None else self.k_buffer[:, : self.length]

    @property
    def v(self) -> Tensor | None:
        return None if self.v_buffer is None else self.v_buffer[:, : self.length]

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add new tokens; returns the keys and values of all tokens so far."""
        end = self.length + k.shape[1]
        if k.requires_grad or v.requires_grad:  # autograd forbids writing into a buffer it has read
            self.k_buffer = k if self.k is None else torch.cat((self.k, k), dim=1)
            self.v_buffer = v if self.v is None else torch.cat((self.v, v), dim=1)
        else:
            self.k_buffer = self._with_room(self.k_buffer, k, end)
            self.v_buffer = self._with_room(self.v_buffer, v, end)
            self.k_buffer[:, self.length : end] = k
            self.v_buffer[:, self.length : end] = v
        self.length, self.shared = end, False
        return self.k_buffer[:, :end], self.v_buffer[:, :end]

    def _with_room(self, buffer: Tensor | None, new: Tensor, end: int) -> Tensor:
        if buffer is not None and not self.shared and end <= buffer.shape[1] and not outlived(buffer):
            return buffer
        # at first, what is there or expected and a little more; then growth by half keeps copying rare
        room = max(end, self.expected) + max(64, end // 2 if self.length else 0)
        grown = new.new_empty(new.shape[0], room, *new.shape[2:])
        if buffer is not None:
            grown[:, : self.length] = buffer[:, : self.length]
        return grown


@dataclass
class DeltaNetMemory:
    """One DeltaNet layer: state [batch, value head, key feature, value feature] and the convolution's last inputs
    [batch, kernel − 1, channel]."""

    conv: Tensor | None = None
    state: Tensor | None = None


@dataclass(frozen=True)
class Snapshot:
    """A moment of a cache, to `Cache.restore`."""

    length: int
    layers: tuple[tuple, ...]
    next_position: Tensor | None = None


class Cache:
    """One memory per layer, `cache.layers[n]`, and the number of tokens seen, `cache.length` (padding included).

    `next_position` [batch] is where each row goes on, once pictures have been seen: they take up fewer positions than
    tokens. None as long as it is `length`.
    """

    def __init__(self, config: TextConfig, expected: int = 0):
        """`expected`: tokens that are known to come; without it, the room for keys and values grows as they do."""
        self.config = config
        self.length = 0
        self.prompt: Tensor | int | None = None  # its real tokens (per row), said by who reads a prompt in pieces
        self.next_position: Tensor | None = None
        self.layers: list[AttentionMemory | DeltaNetMemory] = [
            DeltaNetMemory() if kind == LINEAR else AttentionMemory(expected=expected) for kind in config.layer_types
        ]

    @property
    def batch(self) -> int | None:
        """Rows of what is remembered; None while it is empty."""
        first = self.layers[0]
        held = first.state if isinstance(first, DeltaNetMemory) else first.k_buffer
        return None if held is None else held.shape[0]

    def snapshot(self) -> Snapshot:
        """Remember this moment; costs no copy."""
        kept = []
        for layer in self.layers:
            if isinstance(layer, DeltaNetMemory):
                kept.append((layer.conv, layer.state))
            else:
                kept.append((layer.k_buffer, layer.v_buffer, layer.length))
        return Snapshot(self.length, tuple(kept), self.next_position)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, bit for bit, as often as wanted."""
        self.length, self.next_position = snapshot.length, snapshot.next_position
        for layer, kept in zip(self.layers, snapshot.layers, strict=True):
            if isinstance(layer, DeltaNetMemory):
                layer.conv, layer.state = kept
            else:
                layer.k_buffer, layer.v_buffer, layer.length = kept
                layer.shared = True

    def nbytes(self) -> int:
        """Bytes of what is remembered (not of the room to grow)."""
        tensors = []
        for layer in self.layers:
            found = (layer.conv, layer.state) if isinstance(layer, DeltaNetMemory) else (layer.k, layer.v)
            tensors += [t for t in found if t is not None]
        return sum(t.numel() * t.element_size() for t in tensors)

    def __repr__(self) -> str:
        return f"Cache({self.length} tokens, {self.nbytes():,} bytes)"
