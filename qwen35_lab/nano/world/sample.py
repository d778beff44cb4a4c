"""What the world hands out: one conversation, and the questions in it that can be judged."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # [height, width, 3]
Clip = NDArray[np.uint8]  # [frame, height, width, 3]
Message = dict[str, Any]  # {"role", "content"}, of an assistant also "reasoning_content" and "tool_calls"


@dataclass(frozen=True)
class Question:
    """One answer of the assistant that a scorer judges."""

    type: str  # "colour", "where", …: what the scores are split by
    answer: str  # the right one; where several are right, the one that the sample gives
    turn: int  # its message's place in the conversation
    facts: dict[str, Any] = field(default_factory=dict)  # what a judge or an analysis needs besides


@dataclass(frozen=True)
class Sample:
    """A conversation as chat messages, pictures and clips inside them, as chat templates and processors take it.

    A picture stands in a message as `{"type": "image", "image": array}`, a clip as `{"type": "video", "video": array}`.
    """

    kind: str
    messages: list[Message]
    questions: tuple[Question, ...]
    tools: tuple[dict[str, Any], ...] = ()  # the functions on offer, as JSON schemas
    thinking: bool = False  # the assistant thinks before it speaks: `enable_thinking` of the chat template

    def prompt(self, question: Question) -> list[Message]:
        """The conversation up to the answer, which is for a model to give."""
        return self.messages[: question.turn]

    @property
    def images(self) -> list[Picture]:
        return self._seen("image")

    @property
    def clips(self) -> list[Clip]:
        return self._seen("video")

    def _seen(self, what: str) -> list[Any]:
        parts = (m["content"] for m in self.messages if isinstance(m["content"], list))
        return [part[what] for content in parts for part in content if part["type"] == what]


@dataclass(frozen=True)
class Asked:
    """A question and its answer, on the way into a conversation."""

    type: str
    text: str
    answer: str
    facts: dict[str, Any] = field(default_factory=dict)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str, reasoning: str | None = None) -> Message:
    thought = {} if reasoning is None else {"reasoning_content": reasoning}
    return {"role": "assistant", "content": text} | thought


def conversation(kind: str, asked: list[Asked], before: str = "", seen: list[dict[str, Any]] | None = None) -> Sample:
    """Questions in turn, one per turn.

    Args:
        before: a text that the first question is about; stands before it, on lines of its own.
        seen: the parts of the first message that are pictures or clips.
    """
    messages: list[Message] = []
    questions = []
    for each in asked:
        text = each.text if messages or not before else f"{before}\n{each.text}"
        message = user(text)
        if seen and not messages:
            message["content"] = [*seen, {"type": "text", "text": text}]
        messages += [message, assistant(each.answer)]
        questions.append(Question(each.type, each.answer, len(messages) - 1, each.facts))
    return Sample(kind, messages, tuple(questions))
