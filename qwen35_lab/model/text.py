"""The language model: embedding, decoder layers, final norm, head; and, apart from them, the MTP head (mtp.py).

Differences from a vanilla transformer: three layers in four have a Gated DeltaNet in place of attention, so the cache
is a hybrid (cache.py); there is no position embedding outside the full-attention layers; norms are zero-centred.
Argument names and meanings follow `Qwen3_5ForCausalLM` in transformers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import TextConfig
from ..errors import InputError
from .attention import attention_mask_for
from .block import Block
from .cache import Cache
from .mtp import MTPHead
from .norm import RMSNorm
from .one_row import reading
from .product import Linear, times
from .rope import rotary_angles
from .taps import Tap


@dataclass
class Output:
    """What a forward pass returns."""

    logits: Tensor  # [batch, token or logits_to_keep, vocabulary]
    hidden: Tensor  # [batch, token, hidden], after the final norm
    cache: Cache | None  # the cache that was passed in, now holding these tokens too
    embedded: Tensor  # [batch, token, hidden], what entered the first layer
    positions: Tensor  # [3, batch, token]: time, height, width


class TextModel(nn.Module):
    """The language model: token ids -> the score of every next token, read on from a cache if there is one."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, kind) for kind in config.layer_types)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        # a tied model has no head of its own: it reads the embedding table
        self.lm_head = None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size, False)
        self.embed = Tap("batch token feature", "embeddings of the tokens", feature=config.hidden_size)
        self.final = Tap("batch token feature", "the residual stream after the final norm", feature=config.hidden_size)
        self.logits = Tap("batch token vocabulary", "the score of every next token", vocabulary=config.vocab_size)
        self.mtp = MTPHead(config) if config.mtp_num_hidden_layers else None  # `forward` does not run it: see mtp.py

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        logits_to_keep: int = 0,
    ) -> Output:
        """Run the model over new tokens.

        Args:
            input_ids: [batch, token].
            attention_mask: [batch, past + token], 0 at padding, wherever it stands; None if there is none.
            position_ids: [batch, token], or [3, batch, token] for time, height, width. By default tokens are counted
                from the cache's length on, padding included, as transformers' forward does.
            cache: a `Cache` with the earlier tokens; it is extended in place. None keeps nothing.
            logits_to_keep: compute logits only for the last so many tokens; 0 for all.
        Raises:
            InputError: a shape, an id or a mask that does not fit.
        """
        past = cache.length if cache else 0
        real = self._check(input_ids, attention_mask, cache)
        positions = self._positions(position_ids, input_ids, past)
        return self._read(self.embed(self.embed_tokens(input_ids)), positions, real, cache, logits_to_keep)

    def _positions(self, position_ids: Tensor | None, input_ids: Tensor, past: int) -> Tensor:
        """Positions as the rotation wants them, [3, batch, token]."""
        B, T = input_ids.shape
        if position_ids is None:
            position_ids = torch.arange(past, past + T, device=input_ids.device)[None]
        if tuple(position_ids.shape) not in {(b, T) for b in (1, B)} | {(n, b, T) for n in (1, 3) for b in (1, B)}:
            raise InputError(
                f"position_ids has shape {tuple(position_ids.shape)}; pass [batch, {T}] or [3, batch, {T}]."
            )
        return (position_ids if position_ids.ndim == 3 else position_ids[None]).expand(3, B, T)

    def _read(
        self, x: Tensor, positions: Tensor, real: Tensor | None, cache: Cache | None, logits_to_keep: int
    ) -> Output:
        """Through all layers: x [batch, token, hidden], the embedded tokens."""
        if logits_to_keep < 0:
            raise InputError(
                f"logits_to_keep is {logits_to_keep}; pass 0 for all tokens, or how many of the last ones."
            )
        past, T, embedded = cache.length if cache else 0, x.shape[1], x
        rotary = rotary_angles(positions, self.config.head_dim, self.config.rope, x.dtype)
        mask = attention_mask_for(real, T, past)
        real_now = None if real is None or bool(real[:, past:].all()) else real[:, past:]
        memories = cache.layers if cache else [None] * len(self.layers)
        before = cache.snapshot() if cache else None
        try:
            with reading(x):
                for layer, memory in zip(self.layers, memories, strict=True):
                    x = layer(x, rotary, mask, real_now, memory)
                hidden = self.final(self.norm(x))
                logits = self.logits(self.head(hidden[:, -logits_to_keep:]))
        except BaseException:  # an interrupt, or a hook that raises: half of the layers have read these tokens
            if cache and before:
                cache.restore(before)
            raise
        if cache:
            cache.length += T
        return Output(logits, hidden, cache, embedded, positions)

    def head(self, hidden: Tensor) -> Tensor:
        """[..., hidden] -> [..., vocabulary]"""
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        # through flat: of a text's last tokens, which are a part of a whole, PyTorch would copy the table first
        return times(hidden.reshape(-1, hidden.shape[-1]), weight).view(*hidden.shape[:-1], weight.shape[0])

    def new_cache(self, expected: int = 0) -> Cache:
        """An empty one, with room for so many tokens as soon as the first of them come."""
        return Cache(self.config, expected)

    def _check(self, input_ids: Tensor, attention_mask: Tensor | None, cache: Cache | None) -> Tensor | None:
        """Validate the inputs; returns the mask as bool [batch, past + token], or None if nothing is padding."""
        if input_ids.ndim != 2 or input_ids.numel() == 0:
            raise InputError(
                f"input_ids has shape {tuple(input_ids.shape)}; pass [batch, token] with at least one token."
            )
        if input_ids.dtype not in (torch.int64, torch.int32):
            raise InputError(f"input_ids are {input_ids.dtype}; pass whole numbers (torch.int64).")
        low, high = (int(n) for n in torch.aminmax(input_ids))
        if low < 0 or high >= self.config.vocab_size:
            wrong = low if low < 0 else high
            raise InputError(
                f"Token id {wrong} is outside the vocabulary of {self.config.vocab_size}; "
                "tokenize with this checkpoint's own tokenizer."
            )
        if cache and cache.config != self.config:
            raise InputError("The cache belongs to another model; make one with model.new_cache().")
        if cache and cache.batch not in (None, input_ids.shape[0]):
            raise InputError(
                f"The cache holds {cache.batch} rows, but input_ids have {input_ids.shape[0]}; pass as many as before."
            )
        if attention_mask is None:
            return None
        expected = (input_ids.shape[0], (cache.length if cache else 0) + input_ids.shape[1])
        if tuple(attention_mask.shape) != expected:
            raise InputError(
                f"attention_mask has shape {tuple(attention_mask.shape)}, but past and new tokens are {expected}; "
                "pass one value for every token, those in the cache included."
            )
        real = attention_mask.bool()
        return None if bool(real.all()) else real
