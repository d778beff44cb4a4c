"""From logits to text: choosing the next token, decoding with the cache, streaming.

Greedy by default. The order of the adjustments is transformers': repetition penalty, temperature, top-k, top-p, min-p;
the presence penalty (OpenAI's and vLLM's: subtracted once from every token already generated) comes with the first.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .model import MultimodalModel, TextModel

PREFILL_TOKENS = 2048  # a longer prompt is read in pieces, which bounds the memory it takes


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. With nothing set, the most likely one; with anything set, temperature is 1."""

    temperature: float | None = None  # 0 is greedy
    top_k: int | None = None  # keep the k most likely
    top_p: float | None = None  # keep the most likely that together reach p
    min_p: float | None = None  # keep those at least min_p times as likely as the best
    presence_penalty: float = 0.0  # subtracted from the logit of every token generated so far
    repetition_penalty: float = 1.0  # > 1 weakens every token of prompt and answer
    seed: int | None = None

    def __post_init__(self) -> None:
        limits = (
            ("temperature", 0, float("inf")),
            ("top_k", 1, float("inf")),
            ("top_p", 0, 1),
            ("min_p", 0, 1),
            ("repetition_penalty", 1e-6, 1e6),
            ("presence_penalty", -1e6, 1e6),
        )
        for name, low, high in limits:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"{name} is {value!r}; pass a number between {low:g} and {high:g}.")
        for name, least, most in (("top_k", 1, 2**62), ("seed", 0, 2**63 - 1)):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most
            ):
                raise InputError(f"{name} is {value!r}; pass a whole number, {least} or more.")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Sampling":
        """From keyword arguments; an unknown one is refused with the names that there are."""
        names = [f.name for f in fields(cls)]
        if unknown := [name for name in settings if name not in names]:
            others = ("preset", "max_new_tokens", "stop", "record", "edits")
            near = difflib.get_close_matches(unknown[0], [*names, *others], n=1)
            meant = f"did you mean {near[0]!r}? Else " if near else ""
            raise InputError(f"There is no setting {unknown[0]!r}; {meant}choose from {', '.join(names)}.")
        return cls(**settings)

    def __str__(self) -> str:
        """greedy, or what was set: temperature 2, seed 7"""
        said = [f"{f.name} {value}" for f in fields(self) if (value := getattr(self, f.name)) != f.default]
        if not self.heat:
            return ", ".join(("greedy", *(words for words in said if "penalty" in words)))
        return ", ".join(said) + (", no seed" if self.seed is None else "")

    @property
    def heat(self) -> float:
        """The temperature in force: 0 means greedy."""
        if self.temperature is not None:
            return self.temperature if self.temperature > 1e-6 else 0.0  # colder ones would overflow, and are greedy
        return 0.0 if (self.top_k, self.top_p, self.min_p) == (None, None, None) else 1.0

    def adjust(self, logits: Tensor, seen: Tensor, generated: Tensor) -> Tensor:
        """Logits after every penalty and cut, −inf where a token is out: [batch, vocabulary], float32.

        Args:
            seen, generated: bool [batch, vocabulary], tokens of prompt and answer, and of the answer alone.
        """
        logits = logits.float()
        if self.repetition_penalty != 1:
            weaker = torch.where(logits > 0, logits / self.repetition_penalty, logits * self.repetition_penalty)
            logits = torch.where(seen, weaker, logits)
        if self.presence_penalty:
            logits = logits - self.presence_penalty * generated
        if not self.heat:
            return logits
        logits = logits / self.heat
        if self.top_k is not None:
            kth = logits.topk(min(self.top_k, logits.shape[-1]), dim=-1).values[..., -1:]
            logits = logits.masked_fill(logits < kth, -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            ascending, order = logits.sort(dim=-1)
            out = ascending.softmax(-1).cumsum(-1) <= 1 - self.top_p
            out[..., -1] = False  # the best one always stays
            logits = logits.masked_fill(out.scatter(-1, order, out), -torch.inf)
        if self.min_p is not None:
            probabilities = logits.softmax(-1)
            logits = logits.masked_fill(probabilities < self.min_p * probabilities.amax(-1, keepdim=True), -torch.inf)
        return logits

    def choose(self, logits: Tensor, seen: Tensor, generated: Tensor, generator: torch.Generator | None) -> Tensor:
        """The next token of each row: [batch, vocabulary] -> [batch]"""
        logits = self.adjust(logits, seen, generated)
        if not self.heat:
            return logits.argmax(-1)
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


def expected(prompt: int, new: int) -> int:
    """Tokens for which a cache makes room at once: all of the prompt, and the answer if it is not very long."""
    return prompt + min(new, PREFILL_TOKENS)


def check_length(model: TextModel, prompt: int, max_new_tokens: int) -> None:
    """Refuse what cannot be generated."""
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise InputError(f"max_new_tokens is {max_new_tokens!r}; pass a whole number, 0 or more.")
    limit = model.config.max_position_embeddings
    if prompt + max_new_tokens > limit:
        raise InputError(
            f"The prompt has {prompt:,} tokens and {max_new_tokens:,} more are asked for, but the model's context is "
            f"{limit:,}; shorten the prompt or lower max_new_tokens."
        )


def look(
    model: TextModel, input_ids: Tensor, mask: Tensor | None, pictures: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """See a prompt's pictures once, so that it can be read in pieces: positions and embeddings of its tokens, as
    `MultimodalModel.place` gives them. Raises InputError if the model has no eyes."""
    if not isinstance(model, MultimodalModel):
        raise InputError("This model has no eyes; leave out the pictures, or load a checkpoint with vision.")
    return model.place(input_ids, mask, None, **pictures)


@torch.inference_mode()
def decode(
    model: TextModel,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    stop_ids: Sequence[int] = (),
    every_logit: bool = False,
    pictures: Mapping[str, Tensor] | None = None,
) -> Iterator[Tensor]:
    """Yield the next token of every row, [batch], until each row has met a stop id or `max_new_tokens` are out.

    The prompt is read once, in pieces; after that every forward pass sees one new token and the cache.

    Args:
        input_ids: [batch, token]; attention_mask: the same shape, 0 at padding (pad on the left).
        stop_ids: a row that has met one repeats it until the others are done.
        every_logit: form the logits of all tokens of the prompt, for who listens, and not of the last one alone.
        pictures: pixel_values, image_grid_thw, pixel_values_videos, video_grid_thw, for a model with eyes.
    """
    check_length(model, input_ids.shape[1], max_new_tokens)
    if attention_mask is not None and not bool(attention_mask[:, -1].all()):
        raise InputError("A row ends in padding; generation goes on from the last token, so pad on the left.")
    if not max_new_tokens:
        return
    sampling = sampling or Sampling()
    device = input_ids.device
    generator = None
    if sampling.seed is not None:
        generator = torch.Generator(device).manual_seed(sampling.seed)
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)  # padding has no position: rows agree with themselves alone
    embeds = None
    if pictures:
        positions, embeds = look(model, input_ids, mask, pictures)
    elif isinstance(model, MultimodalModel):
        model.refuse_empty_places(input_ids, mask)
    stops = torch.tensor(list(stop_ids), dtype=torch.long, device=device)
    done = torch.zeros(input_ids.shape[0], dtype=torch.bool, device=device)
    cache = model.new_cache(expected(input_ids.shape[1], max_new_tokens))
    cache.prompt = mask.sum(-1)
    logits = input_ids.new_empty(0)
    for start in range(0, input_ids.shape[1], PREFILL_TOKENS):
        piece = slice(start, start + PREFILL_TOKENS)
        ids, where = input_ids[:, piece], positions[..., piece]
        seen_here = {} if embeds is None else {"embeds": embeds[:, piece]}
        keep = 0 if every_logit else 1
        read = model(ids, mask[:, : start + ids.shape[1]], where, cache, logits_to_keep=keep, **seen_here)
        logits = read.logits[:, -1]
    position = positions[:, -1:] if embeds is None else positions.amax((0, 2))[:, None]
    generated = torch.zeros(input_ids.shape[0], model.config.vocab_size, dtype=torch.bool, device=device)
    seen = torch.zeros_like(generated)
    rows, columns = mask.nonzero(as_tuple=True)
    seen[rows, input_ids[rows, columns]] = True
    token = input_ids[:, -1]
    for step in range(max_new_tokens):
        token = torch.where(done, token, sampling.choose(logits, seen, generated, generator))
        yield token
        done = done | torch.isin(token, stops)
        if step + 1 == max_new_tokens or bool(done.all()):
            return
        seen.scatter_(1, token[:, None], True)
        generated.scatter_(1, token[:, None], True)
        mask = torch.cat((mask, mask.new_ones(len(mask), 1)), dim=1)
        position = position + 1
        logits = model(token[:, None], mask, position, cache).logits[:, -1]


class TextStream:
    """Tokens in, text out, as early as it is certain.

    Held back are: an unfinished UTF-8 character, and an end that could be the beginning of a stop string.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()):
        self.tokenizer, self.stop = tokenizer, tuple(stop)
        if not all(isinstance(s, str) and s for s in self.stop):
            raise InputError(f"stop is {self.stop!r}; pass strings of at least one character.")
        self.ids: list[int] = []
        self.sent = 0  # characters
        self.finished = False  # a stop string was met

    def push(self, token: int) -> str:
        """Add a token; returns the text that became certain."""
        self.ids.append(token)
        text = self._text()
        found = [at for s in self.stop if (at := text.find(s)) >= 0]
        if found:
            self.finished = True
            return self._send(text, min(found))
        end = len(text)
        while end and text[end - 1] == "\ufffd":
            end -= 1
        held = max((n for s in self.stop for n in range(1, len(s)) if text[:end].endswith(s[:n])), default=0)
        return self._send(text, end - held)

    def close(self) -> str:
        """No more tokens: returns what was held back."""
        return "" if self.finished else self._send(self._text(), None)

    def _text(self) -> str:
        return self.tokenizer.decode(self.ids, skip_special_tokens=True)

    def _send(self, text: str, end: int | None) -> str:
        end = len(text) if end is None else end
        piece = text[self.sent : end]
        self.sent = max(self.sent, end)
        return piece
