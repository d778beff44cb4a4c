"""Taking tokens back from a hybrid cache, without loss.

Keys and values can be cropped. The state of a DeltaNet layer cannot: it has to be that of the accepted prefix. Two
ways lead there, and both end in the same state:

* replay: `cache.restore(snapshot)`, then read the accepted tokens again. One more forward pass for every rollback.
* record: while the tokens are read, keep the state after each. No more passes, but as long as that takes, one more
  copy of every DeltaNet state for each token (for a 9B model 48 MiB a token, see family/sizes.py).

`rewindable` records, by listening to taps. `Cache.snapshot` and `Cache.restore` are the means to replay.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from ..errors import InputError
from .cache import AttentionMemory, Cache, DeltaNetMemory
from .deltanet import GatedDeltaNet
from .taps import listen
from .text import Output, TextModel


class Rewind:
    """Made by `rewindable`; `rewind(n)` after one forward pass leaves the cache as after that pass's first n tokens."""

    def __init__(self, model: TextModel, cache: Cache, stack: ExitStack):
        self.cache, self.before = cache, cache.snapshot()
        self.states: dict[int, list[Tensor]] = {}  # layer -> the state after each token [batch, 1, head, key, value]
        self.inputs: dict[int, Tensor] = {}  # layer -> what entered its convolution [batch, token, channel]
        self.positions: Tensor | None = None  # of the pass's tokens [3, batch, token]
        listen(stack, model, self._note)
        for n, layer in enumerate(model.layers):
            if isinstance(mixer := layer.mixer, GatedDeltaNet):
                self._record(n, mixer, stack)

    def _note(self, model: nn.Module, inputs: tuple, output: Output) -> None:
        self.positions = output.positions

    def _record(self, n: int, mixer: GatedDeltaNet, stack: ExitStack) -> None:
        states = self.states.setdefault(n, [])

        def keep_state(module: nn.Module, inputs: tuple, value: Tensor) -> None:
            states.append(value)

        def keep_input(module: nn.Module, inputs: tuple, value: Tensor) -> None:
            self.inputs[n] = value

        listen(stack, mixer.state, keep_state)
        listen(stack, mixer.in_proj_qkv, keep_input)

    def __call__(self, tokens: int) -> None:
        """Keep so many tokens of the pass, 0 to all.

        Raises:
            InputError: more than the pass has read.
        """
        read = self.cache.length - self.before.length
        if not 0 <= tokens <= read or any(len(states) != read for states in self.states.values()):
            raise InputError(f"{tokens} tokens cannot be kept of one pass over {read}; rewind once, after one pass.")
        if tokens in (0, read):  # as it was, or as it is
            return None if tokens else self.cache.restore(self.before)
        for n, (layer, kept) in enumerate(zip(self.cache.layers, self.before.layers, strict=True)):
            if isinstance(layer, DeltaNetMemory):
                self._rewind_state(n, layer, kept[0], tokens)
            else:
                crop(layer, kept[-1] + tokens)
        self.cache.length = self.before.length + tokens
        if self.cache.next_position is not None and self.positions is not None:  # there are pictures in the text
            start = self.before.length if self.before.next_position is None else self.before.next_position
            reached = self.positions[..., :tokens].amax((0, 2)) + 1
            self.cache.next_position = torch.maximum(reached, torch.as_tensor(start, device=reached.device))

    def _rewind_state(self, n: int, layer: DeltaNetMemory, conv: Tensor | None, tokens: int) -> None:
        assert layer.state is not None and layer.conv is not None
        layer.state = self.states[n][tokens - 1][:, 0].to(layer.state.dtype)
        before = torch.zeros_like(layer.conv) if conv is None else conv
        window = torch.cat((before, self.inputs[n]), dim=1)
        layer.conv = window[:, tokens : tokens + before.shape[1]].clone()


@contextmanager
def rewindable(model: TextModel, cache: Cache) -> Iterator[Rewind]:
    """Inside the block, one forward pass (without padding) whose tokens can be taken back afterwards:

        with rewindable(model, cache) as rewind:
            model(ids, cache=cache)
        rewind(2)

    Then the cache has read the first two of `ids`, and no more.
    """
    with ExitStack() as stack:
        yield Rewind(model, cache, stack)


def crop(memory: AttentionMemory, length: int) -> None:
    """Forget the tokens from `length` on. Snapshots taken while there were more of them are void: new keys and values
    will stand in their place."""
    memory.length = length
