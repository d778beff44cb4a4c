"""Multi-token prediction: a small head that guesses the token after the next one.

    e_i = RMSNorm(embedding of token i + 1),   h_i = RMSNorm(the main model's hidden state at token i)
    x_i = W [e_i ; h_i]                        the embedding first, then the hidden state; zero-centred norms (1 + w)
    y_i = RMSNorm(block(x_1 … x_i))            one gated-attention layer of the main model's kind, dense or MoE
    the main model's own head reads token i + 2 from y_i

Slot i belongs to token i: it has that token's position, and its hidden state is the one that the main model hands to
its own head, after the final norm. To guess further, y_i takes the place of the hidden state at the next slot, with the
guessed token. The head shares the embedding table and the output head, and has keys and values of its own.

Reference: Gloeckle et al. 2024 (arXiv 2404.19737); DeepSeek-V3 (arXiv 2412.19437), §2.2, for heads in a row;
`qwen3_5_mtp.py` and `qwen3_next_mtp.py` in vLLM for this family's wiring (transformers has no such head).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..config import FULL, TextConfig
from ..errors import ConfigError, InputError
from .attention import attention_mask_for
from .block import Block
from .cache import Cache
from .norm import RMSNorm
from .product import Linear
from .rope import rotary_angles
from .taps import Tap

if TYPE_CHECKING:
    from .text import TextModel


class MTPHead(nn.Module):
    """Raises ConfigError if the config asks for more than one layer: implementations differ in what that means."""

    def __init__(self, config: TextConfig):
        super().__init__()
        if config.mtp_num_hidden_layers != 1:
            raise ConfigError(
                f"The field `mtp_num_hidden_layers` is {config.mtp_num_hidden_layers}, but this family's MTP head has "
                "one layer; correct config.json or load another checkpoint."
            )
        H, eps = config.hidden_size, config.rms_norm_eps
        self.config = replace(config, num_hidden_layers=1, layer_types=(FULL,))  # as a model of one layer
        self.pre_fc_norm_embedding = RMSNorm(H, eps)
        self.pre_fc_norm_hidden = RMSNorm(H, eps)
        self.fc = Linear(2 * H, H, bias=False)
        self.layers = nn.ModuleList([Block(config, FULL)])
        self.norm = RMSNorm(H, eps)
        stream = {"axes": "batch token feature", "feature": H}
        self.embed_norm = Tap(meaning="the embedding of the token after each one, normalised", **stream)
        self.hidden_norm = Tap(meaning="the main model's hidden state, normalised once more", **stream)
        self.joined = Tap(meaning="the two joined into one stream, which enters the head's layer", **stream)
        self.final = Tap(meaning="the head's stream after its final norm", **stream)
        self.logits = Tap(
            "batch token vocabulary", "the score of every token after the next one", vocabulary=config.vocab_size
        )

    def forward(
        self, embedded: Tensor, hidden: Tensor, positions: Tensor, real: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:  # fmt: skip
        """What the main model's head reads, and what the next slot takes as its hidden state: [batch, slot, hidden].

        Args:
            embedded: [batch, slot, hidden], the embedding of the token after each slot's own.
            hidden: [batch, slot, hidden], of each slot's own token, after the main model's final norm.
            positions: [3, batch, slot], of each slot's own token.
            real: bool [batch, past + slot], False at padding; None if there is none.
            cache: one that `new_cache` made, with the earlier slots; it is extended in place.
        """
        past, T = cache.length if cache else 0, hidden.shape[1]
        e = self.embed_norm(self.pre_fc_norm_embedding(embedded))
        h = self.hidden_norm(self.pre_fc_norm_hidden(hidden))
        x = self.joined(self.fc(torch.cat((e, h), dim=-1)))
        rotary = rotary_angles(positions, self.config.head_dim, self.config.rope, x.dtype)
        mask = attention_mask_for(real, T, past)
        before = cache.snapshot() if cache else None
        try:
            for n, layer in enumerate(self.layers):
                x = layer(x, rotary, mask, None, cache.layers[n] if cache else None)
            y = self.final(self.norm(x))
        except BaseException:  # as in the main model: a pass that is cut has read nothing
            if cache and before:
                cache.restore(before)
            raise
        if cache:
            cache.length += T
        return y

    def score(self, y: Tensor, model: "TextModel") -> Tensor:
        """What `forward` returned -> logits [batch, slot, vocabulary], by the main model's own head."""
        return self.logits(model.head(y))

    def new_cache(self) -> Cache:
        return Cache(self.config)


def head_of(model: "TextModel") -> MTPHead:
    """Raises InputError if the model has no MTP head."""
    if model.mtp is None:
        raise InputError(
            "This model has no MTP head; leave out speculative, or load a checkpoint that holds mtp.* tensors."
        )
    return model.mtp


def mtp_logits(
    model: "TextModel", hidden: Tensor, ids: Tensor, attention_mask: Tensor | None = None,
    positions: Tensor | None = None, embedded: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """What the head says at every token of a text at once: [batch, token − 1, vocabulary]; row i guesses token i + 2.

    For training: `cross_entropy(mtp_logits(model, out.hidden, ids)[:, :-1].flatten(0, 1), ids[:, 2:].flatten())`.
    Arguments and errors as of `mtp_hidden`.
    """
    return head_of(model).score(mtp_hidden(model, hidden, ids, attention_mask, positions, embedded), model)


def mtp_hidden(
    model: "TextModel", hidden: Tensor, ids: Tensor, attention_mask: Tensor | None = None,
    positions: Tensor | None = None, embedded: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """What the model's own head reads in `mtp_logits`, [batch, token − 1, hidden]: for logits at some tokens alone.

    Each slot sees the slots before it and itself, as in drafting token by token.

    Args:
        hidden: [batch, token, hidden], `Output.hidden` of the main model.
        ids: [batch, token].
        attention_mask: [batch, token], 0 at padding; None if there is none.
        positions: [3, batch, token], `Output.positions`; None counts the tokens.
        embedded: [batch, token, hidden], `Output.embedded`, where it is not the embedding of `ids` (images).
    Raises:
        InputError: no MTP head, or fewer than two tokens.
    """
    head = head_of(model)
    B, T = ids.shape
    if T < 2:
        raise InputError(f"The MTP head reads pairs of tokens, and the text has {T}; pass at least two.")
    if positions is None:
        positions = torch.arange(T, device=ids.device).expand(3, B, T)
    following: Tensor = (model.embed_tokens(ids) if embedded is None else embedded)[:, 1:]
    real = attention_mask
    if real is not None:  # a slot is a pair of neighbours, both of them text
        real = real[:, :-1].bool() & real[:, 1:].bool()
    return head(following, hidden[:, :-1], positions[..., :-1], real)
