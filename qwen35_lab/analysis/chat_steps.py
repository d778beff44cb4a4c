"""A prompt as it grows: the exact string of a chat template after each message, its tokens, and what is new in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import InputError
from ..inputs.chat import Message, Tool, write_chat
from ..inputs.vocabularies import Vocabulary, vocabulary

START, RESPONSE = "<|im_start|>", "<tool_response>"


@dataclass(frozen=True)
class ChatStep:
    """The prompt after one more message.

    Attributes: `label`, what was added; `text`, the exact string; `ids`, its tokens; `kept`, how many of them, from the
    left, are those of the step before: what a cache of that step can still be used for.
    """

    label: str
    text: str
    ids: tuple[int, ...]
    kept: int
    vocabulary: Vocabulary

    @cached_property
    def turns(self) -> tuple[tuple[str, int, int], ...]:
        """(role, first token, one behind the last) of every turn, as the template's marks part them."""
        start = self.vocabulary.special.get(START)
        begins = [n for n, token in enumerate(self.ids) if token == start] or [0]
        begins[0] = 0
        return tuple((self._role(a, b), a, b) for a, b in zip(begins, [*begins[1:], len(self.ids)]))

    def _role(self, first: int, end: int) -> str:
        said = self.vocabulary.decode(list(self.ids[first:end])).removeprefix(START)
        role, _, rest = said.partition("\n")
        return "tool, in a user's turn" if rest.startswith(RESPONSE) else role

    def is_special(self, n: int) -> bool:
        return self.ids[n] in self._special

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(self.vocabulary.special.values())


def build_up(
    tokenizer: Any, messages: Sequence[Message], tools: Sequence[Tool] | None = None, thinking: bool | None = None,
    counted_by: Vocabulary | None = None,
) -> list[ChatStep]:  # fmt: skip
    """The prompt after each message; it ends with the opening of the assistant's turn, unless the assistant has spoken.

    The first step has the first question alone, since templates ask for one; a system message and the tools come next.

    Args:
        tokenizer: with a chat template.
        thinking: False also leaves out the thoughts that the messages have; None leaves it to the template.
        counted_by: another vocabulary than the tokenizer's own.
    Raises:
        InputError: no message of a user, no chat template, or messages that it refuses.
    """
    counter = counted_by or vocabulary(tokenizer)
    if thinking is False:
        messages = [{key: part for key, part in each.items() if key != "reasoning_content"} for each in messages]
    found: list[ChatStep] = []
    for label, some, offered in _stages(messages, tools):
        spoken = some[-1].get("role") == "assistant"
        chat = write_chat(tokenizer, some, tools=offered, thinking=thinking, prompt=not spoken)
        ids = tuple(counter.encode(chat.text, special=True))
        found.append(ChatStep(label, chat.text, ids, _common(found[-1].ids, ids) if found else 0, counter))
    return found


def _stages(messages: Sequence[Message], tools: Any) -> Iterator[tuple[str, list[Message], Any]]:
    roles = [message.get("role") for message in messages]
    if "user" not in roles:
        raise InputError("There is no message of a user, and chat templates ask for one; add it.")
    first = roles.index("user")
    yield "the question", [messages[first]], None
    if first:
        yield "system message", list(messages[: first + 1]), None
    if tools:
        yield "tools on offer", list(messages[: first + 1]), tools
    for n in range(first + 1, len(messages)):
        yield _told(messages[n]), list(messages[: n + 1]), tools


def _told(message: Mapping[str, Any]) -> str:
    if message.get("role") == "assistant":
        return "tool call" if message.get("tool_calls") else "the answer"
    return {"tool": "tool's answer", "user": "next question"}.get(str(message.get("role")), "a message")


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
