"""Speculative decoding: the MTP head drafts some tokens, the model checks them in one pass, the text is the same.

    draft    d_1 … d_k from the head, each from its distribution q_i
    verify   one pass of the model over the last token and the drafts gives its own distributions p_1 … p_{k+1}
    accept   d_i with probability min(1, p_i(d_i) / q_i(d_i)), from left to right
    correct  at the first refusal draw from max(0, p_i − q_i), rescaled; if there is none, one more token from p_{k+1}
    rewind   the cache of the model to the accepted prefix (model/rollback.py), the head's own by cropping

What comes out is distributed exactly as if the model had been sampled token by token, whatever the head proposes; a
bad head only costs time. Greedy is the case in which p and q are certain: the same tokens as without drafts, as far as
a pass over k + 1 tokens and a pass over one round alike (in bfloat16 near-ties may fall differently).

Per step: one pass of the model over k + 1 tokens, k + 1 small ones of the head, and k + 1 copies of the DeltaNet
states until the step is over. One prompt at a time: rows of a batch would accept different numbers of drafts.

Reference: Leviathan et al. 2023 (arXiv 2211.17192), algorithm 1 and appendix A; Chen et al. 2023 (arXiv 2302.01318).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from . import generate
from .errors import InputError
from .generate import Sampling, check_length, look
from .interrupt import whole_stack
from .model import Output, TextModel
from .model.mtp import head_of
from .model.rollback import Rewind, crop


@dataclass(frozen=True)
class Draft:
    """One step: what the head proposed, and what came of it."""

    position: int  # in the text, of the first of `tokens`
    drafted: tuple[int, ...]  # proposed by the head
    accepted: int  # how many of them, from the left, are in the text
    tokens: tuple[int, ...]  # what the step added: the accepted ones, and one of the model's own unless the text ended


@dataclass
class Drafts:
    """How many tokens to draft, and a record of every step of the latest generation.

        drafts = lab.Drafts(3)
        qwen.generate(prompt, speculative=drafts)
        drafts.per_forward

    Every entry of `steps` is one pass of the model.
    """

    count: int = 3
    steps: list[Draft] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise InputError(f"speculative is {self.count!r}; pass how many tokens to draft, 1 or more.")

    @classmethod
    def of(cls, speculative: "int | Drafts") -> "Drafts":
        return speculative if isinstance(speculative, cls) else cls(speculative)  # type: ignore[arg-type]

    @property
    def forwards(self) -> int:
        """Passes of the model after the one that read the prompt: one for every step."""
        return len(self.steps)

    @property
    def drafted(self) -> int:
        return sum(len(step.drafted) for step in self.steps)

    @property
    def accepted(self) -> int:
        return sum(step.accepted for step in self.steps)

    @property
    def per_forward(self) -> float:
        """New tokens for every pass of the model; 1 without drafts. nan if there was none."""
        new = sum(len(step.tokens) for step in self.steps)
        return new / self.forwards if self.steps else float("nan")

    def __repr__(self) -> str:
        return (
            f"Drafts({self.count} at a time: {self.accepted} of {self.drafted} accepted in {self.forwards} steps, "
            f"{self.per_forward:.2f} tokens per forward pass)"
        )


@dataclass(frozen=True)
class History:
    """Which tokens the penalties count, bool [1, vocabulary] each: of prompt and answer, and of the answer alone."""

    seen: Tensor
    generated: Tensor

    @classmethod
    def of(cls, prompt: Tensor, vocabulary: int) -> "History":
        nothing = torch.zeros(1, vocabulary, dtype=torch.bool, device=prompt.device)
        return cls(nothing.scatter(1, prompt, True), nothing)

    def after(self, token: int) -> "History":
        here = torch.tensor([[token]], device=self.seen.device)
        return History(self.seen.scatter(1, here, True), self.generated.scatter(1, here, True))


def distribution(logits: Tensor, sampling: Sampling, history: History) -> Tensor:
    """What the next token is drawn from: [vocabulary] -> probabilities [vocabulary]; greedy is certain of one token."""
    adjusted = sampling.adjust(logits[None], history.seen, history.generated)[0]
    if sampling.heat:
        return adjusted.softmax(-1)
    return torch.zeros_like(adjusted).index_fill(0, adjusted.argmax(), 1)


def draw(probabilities: Tensor, generator: torch.Generator | None = None) -> int:
    """One token, from weights [vocabulary] that need not sum to one."""
    return int(torch.multinomial(probabilities, 1, generator=generator))


def accept(
    p: Tensor, q: Tensor, drafted: Sequence[int], generator: torch.Generator | None = None
) -> tuple[int, int]:  # fmt: skip
    """How many drafts stay, and the token after them; together they are distributed as samples from p.

    Args:
        p: the model's distributions [drafts + 1, vocabulary], each given that the drafts before it are accepted.
        q: those that the drafts were drawn from [drafts, vocabulary].
    """
    for i, token in enumerate(drafted):
        u = torch.rand((), generator=generator, device=p.device, dtype=p.dtype)
        if u * q[i, token] >= p[i, token]:
            left = (p[i] - q[i]).clamp(min=0)
            return i, draw(left if left.sum() > 0 else p[i], generator)  # the sum is 0 only by rounding
    return len(drafted), draw(p[-1], generator)


class Drafter:
    """The MTP head at work behind a model that reads a text, with a cache of its own."""

    def __init__(self, model: TextModel):
        self.model, self.head = model, head_of(model)
        self.cache = self.head.new_cache()
        self.last: tuple[Tensor, Tensor] | None = None  # hidden state and position of the last token that was read

    def read(self, out: Output, tokens: int | None = None) -> None:
        """The model has read more tokens: run every slot whose next token is known now.

        Args:
            tokens: how many of the pass's tokens to take, from the first on; None for all.
        """
        part = slice(tokens)
        hidden, positions, embedded = out.hidden[:, part], out.positions[..., part], out.embedded[:, part]
        last = hidden[:, -1:], positions[..., -1:]
        if self.last is None:  # the first token is nobody's next
            embedded, hidden, positions = embedded[:, 1:], hidden[:, :-1], positions[..., :-1]
        else:
            hidden = torch.cat((self.last[0], hidden[:, :-1]), dim=1)
            positions = torch.cat((self.last[1], positions[..., :-1]), dim=-1)
        self.last = last
        if embedded.shape[1]:
            self.head(embedded, hidden, positions, cache=self.cache)

    def draft(
        self, token: int, count: int, sampling: Sampling, history: History, generator: torch.Generator | None
    ) -> tuple[list[int], Tensor]:
        """Tokens after `token`, which the model has not read yet, and the distributions they were drawn from.

        Args:
            history: with `token` in it.
        Returns:
            `count` tokens and [count, vocabulary].
        """
        assert self.last is not None
        (hidden, position), kept = self.last, self.cache.length
        drafted, chances = [], []
        for _ in range(count):
            embedded = self.model.embed_tokens(torch.tensor([[token]], device=hidden.device))
            hidden = self.head(embedded, hidden, position, cache=self.cache)
            logits = self.head.score(hidden, self.model)
            chances.append(distribution(logits[0, -1], sampling, history))
            token = draw(chances[-1], generator)
            drafted.append(token)
            history = history.after(token)
            position = (position.amax(0) + 1).expand_as(position)  # behind a picture, after its longer side
        for memory in self.cache.layers:
            crop(memory, kept)  # type: ignore[arg-type]
        self.cache.length = kept
        return drafted, torch.stack(chances) if chances else hidden.new_empty(0, self.model.config.vocab_size)


@torch.inference_mode()
def decode_speculatively(
    model: TextModel,
    input_ids: Tensor,
    *,
    speculative: int | Drafts,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    stop_ids: Sequence[int] = (),
    pictures: Mapping[str, Tensor] | None = None,
) -> Iterator[Tensor]:
    """Like `generate.decode` for one row: yield the next token, [1], until a stop id or `max_new_tokens`.

    Args:
        input_ids: [1, token].
        speculative: how many tokens to draft in a step, or a `Drafts`, whose record is begun anew.
        pictures: as in `decode`.
    Raises:
        InputError: no MTP head, more than one row, or what `decode` refuses.
    """
    drafts = Drafts.of(speculative)
    drafts.steps.clear()
    head_of(model)
    refuse_batches(len(input_ids))
    check_length(model, input_ids.shape[1], max_new_tokens)
    if not max_new_tokens:
        return
    room = generate.expected(input_ids.shape[1], max_new_tokens)
    speculation = Speculation(model, sampling or Sampling(), tuple(stop_ids), input_ids.device, room)
    token = speculation.begin(input_ids, pictures)
    left = max_new_tokens - 1
    yield input_ids.new_tensor([token])
    while left and token not in stop_ids:
        drafts.steps.append(step := speculation.step(token, min(drafts.count, left - 1)))
        for token in step.tokens:
            left -= 1
            yield input_ids.new_tensor([token])


def refuse_batches(rows: int) -> None:
    if rows != 1:
        raise InputError(
            f"Speculative decoding takes one prompt at a time, and these are {rows}; pass them one by one, "
            "or leave out speculative."
        )


class Speculation:
    """One text under way: a model and its head, each with the cache of what it has read."""

    def __init__(
        self, model: TextModel, sampling: Sampling, stop_ids: tuple[int, ...], device: torch.device, expected: int = 0
    ):
        self.model, self.sampling, self.stop_ids = model, sampling, stop_ids
        self.cache, self.drafter = model.new_cache(expected), Drafter(model)
        self.generator = None
        if sampling.seed is not None or not sampling.heat:  # greedy leaves the global generator alone
            self.generator = torch.Generator(device).manual_seed(sampling.seed or 0)

    def begin(self, prompt: Tensor, pictures: Mapping[str, Tensor] | None = None) -> int:
        """Read the prompt [1, token], in pieces; returns the first new token, which is still to be read."""
        self.cache.prompt = prompt.shape[1]
        positions, embeds = look(self.model, prompt, None, pictures) if pictures else (None, None)
        for start in range(0, prompt.shape[1], generate.PREFILL_TOKENS):
            piece = slice(start, start + generate.PREFILL_TOKENS)
            seen = {}
            if positions is not None and embeds is not None:
                seen = {"position_ids": positions[..., piece], "embeds": embeds[:, piece]}
            out = self.model(prompt[:, piece], cache=self.cache, logits_to_keep=1, **seen)
            self.drafter.read(out)
        self.history = History.of(prompt, self.model.config.vocab_size)
        token = draw(distribution(out.logits[0, -1], self.sampling, self.history), self.generator)
        self.history = self.history.after(token)
        return token

    def step(self, token: int, count: int) -> Draft:
        """Draft `count` tokens after `token`, read it and them, and keep what the model itself could have said."""
        drafted, q = self.drafter.draft(token, count, self.sampling, self.history, self.generator)
        position = self.cache.length + 1
        with whole_stack() as stack:
            rewind = Rewind(self.model, self.cache, stack)
            ids = torch.tensor([[token, *drafted]], device=q.device)
            # with positions said, a placeholder that was guessed is a token like any other, as in `decode`
            start = self.cache.length if self.cache.next_position is None else self.cache.next_position[:, None]
            where = start + torch.arange(ids.shape[1], device=q.device)[None]
            out = self.model(ids, position_ids=where, cache=self.cache)
        accepted, own = accept(self._distributions(out.logits[0], drafted), q, drafted, self.generator)
        rewind(1 + accepted)
        self.drafter.read(out, 1 + accepted)
        tokens = self._up_to_stop((*drafted[:accepted], own))
        for new in tokens:
            self.history = self.history.after(new)
        return Draft(position, tuple(drafted), min(accepted, len(tokens)), tokens)

    def _distributions(self, logits: Tensor, drafted: list[int]) -> Tensor:
        """Of the model, after the last token and after each draft, each as if the drafts before it were in the text."""
        history, rows = self.history, []
        for n, row in enumerate(logits):
            history = history.after(drafted[n - 1]) if n else history
            rows.append(distribution(row, self.sampling, history))
        return torch.stack(rows)

    def _up_to_stop(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        ends = [n + 1 for n, token in enumerate(tokens) if token in self.stop_ids]
        return tokens[: ends[0]] if ends else tokens
