"""JSON that is valid by construction: before each token, those that the schema forbids are given no chance.

    lab.generate_json(qwen, "Make JSON: Ana is 53 years old.", {"type": "object", "properties": {…}})

A grammar is made of the schema, and followed token by token by `llguidance` (Guidance AI's library, in Rust): it works
on the bytes of tokens, so that a token may end anywhere in a word or a character. The model chooses among what is left,
so what comes is valid even from random weights; whether it is *true* is still the model's affair.

Reference: Willard & Louf 2023, arXiv 2307.09702, for the idea, with automata; llguidance parses with an Earley parser.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..generate import Sampling, decode
from ..inputs import write_chat
from ..prompts import Prompt, is_chat
from ..qwen import Qwen
from .narrow import Limits, narrow
from .schema import convert, describe

SEPARATORS = (", ", ": ")


def generate_json(
    qwen: Qwen, prompt: Prompt, schema: Mapping[str, Any] | type, *, images: Any = None, videos: Any = None,
    max_new_tokens: int | None = None, limits: Limits | None = None, separators: tuple[str, str] = SEPARATORS,
    **sampling: Any,
) -> Any:  # fmt: skip
    """What the model says, as a value that satisfies the schema.

    Args:
        prompt: a text, which is continued; or chat messages, answered without thinking.
        schema: a JSON schema; or a type, such as `list[int]` or a dataclass, of which the value then is.
        max_new_tokens: as many as the context has room for unless given.
        limits: of texts, lists and numbers to which the schema sets none; see `Limits`.
        separators: of items, and of names from values: those that the model is used to. As in `json.dumps`.
        sampling: as in `Qwen.generate`; greedy if nothing is given.
    Raises:
        InputError: llguidance is missing, a schema that is not supported or that nothing satisfies, a tokenizer of
            another kind, or too few tokens to come to an end.
    """
    plain = schema if isinstance(schema, Mapping | bool) else describe(schema)
    how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "limits": limits, "separators": separators}
    text = json_text(qwen, prompt, plain, images=images, videos=videos, **how, **sampling)
    value = json.loads(text)
    return value if plain is schema else convert(value, schema, "the value")


def json_text(
    qwen: Qwen, prompt: Prompt, schema: Any, *, images: Any = None, videos: Any = None,
    max_new_tokens: int | None = None, limits: Limits | None = None, separators: tuple[str, str] = SEPARATORS,
    **sampling: Any,
) -> str:  # fmt: skip
    """The same as text, exactly as it was written."""
    grammar = Grammar(qwen, schema, limits, separators)
    if is_chat(prompt):
        chat = write_chat(qwen.tokenizer, prompt, images=images, videos=videos, thinking=False)
        ids, pictures = qwen._read(chat)
    else:
        ids, pictures = qwen._encode(prompt, images, videos)
    most = qwen.model.config.max_position_embeddings - ids.shape[1] if max_new_tokens is None else max_new_tokens
    chooser = Constrained(**vars(Sampling.of(sampling)), grammar=grammar)
    for _ in decode(qwen.model, ids, max_new_tokens=most, sampling=chooser, stop_ids=grammar.stops, pictures=pictures):
        if grammar.finished:
            return grammar.text
    raise InputError(
        f"The JSON is not at its end after {most:,} tokens; allow more of them, or bound its texts and lists closer "
        "(maxLength, maxItems, or limits)."
    )


class Grammar:
    """A schema over a model's tokens, and how far a text has come in it.

    Raises:
        InputError: see `generate_json`.
    """

    def __init__(
        self, qwen: Qwen, schema: Any, limits: Limits | None = None, separators: tuple[str, str] = SEPARATORS
    ):  # fmt: skip
        self.stops = qwen.stop_ids
        self.rows = qwen.model.config.vocab_size
        self.tokens: list[int] = []
        self.ended = False
        self._library = _library()
        self._tokenizer = _as_bytes(qwen.tokenizer, self.rows, self.stops)
        item, key = separators
        form = {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
        made = self._library.LLMatcher.grammar_from_json_schema(narrow(schema, limits), overrides=form)
        self._matcher = self._library.LLMatcher(self._tokenizer, made, log_level=0)
        self._check()

    def allowed(self) -> Tensor:
        """Which tokens may come next: bool [vocabulary]."""
        bits = self._matcher.compute_bitmask()
        self._check()
        found = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")[: self.rows]
        return torch.from_numpy(found.astype(bool))

    def take(self, token: int) -> None:
        """The token that was chosen; one of those that stop ends it."""
        if token in self.stops:
            self.ended = True
            return
        self.tokens.append(token)
        self._matcher.consume_token(token)
        self._check()

    @property
    def finished(self) -> bool:
        return self.ended or self._matcher.is_stopped()

    @property
    def text(self) -> str:
        return self._tokenizer.decode_bytes(self.tokens).decode("utf-8")

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().split("\n")[0].rstrip(".")
            raise InputError(f"No grammar can be made of this schema ({reason}); make it simpler.")


@dataclass(frozen=True)
class Constrained(Sampling):
    """A `Sampling` that knows a grammar: what it forbids is out before anything else is weighed."""

    grammar: Grammar | None = None

    def choose(self, logits: Tensor, seen: Tensor, generated: Tensor, generator: torch.Generator | None) -> Tensor:
        assert self.grammar is not None
        allowed = self.grammar.allowed().to(logits.device)
        token = super().choose(logits.float().masked_fill(~allowed, -torch.inf), seen, generated, generator)
        self.grammar.take(int(token[0]))
        return token


@cache
def _library() -> Any:
    try:
        import llguidance
        import llguidance.hf
    except ImportError as error:
        raise InputError("JSON by a schema needs the package llguidance; `pip install llguidance`.") from error
    return llguidance


_KNOWN: "WeakKeyDictionary[Any, dict[Any, Any]]" = WeakKeyDictionary()


def _as_bytes(tokenizer: Any, rows: int, stops: Sequence[int]) -> Any:
    """The tokenizer as llguidance knows it: made once, which takes a second with the official vocabulary."""
    made = _KNOWN.setdefault(tokenizer, {})
    if (rows, tuple(stops)) not in made:
        try:
            made[rows, tuple(stops)] = _library().hf.from_tokenizer(tokenizer, n_vocab=rows, eos_token=list(stops))
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"JSON by a schema needs a byte-level tokenizer ({str(error).splitlines()[0]}); use another model."
            ) from error
    return made[rows, tuple(stops)]
