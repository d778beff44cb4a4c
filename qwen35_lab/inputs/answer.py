"""What a model says, in lanes: reasoning, content and tool calls; at once or piece by piece as it comes.

A chunk may end anywhere, inside a marker too: the parser holds back what could still become one. However a text is cut,
the lanes are the same. White space at both ends of a lane and round a call is dropped, as the chat template does when
it writes a turn back.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .calls import CLOSE, OPEN, NoCall, ToolCall, read_call

THINK, THOUGHT = "<think>", "</think>"

Lane = Literal["reasoning", "content", "tool_call"]
End = Literal["stop", "length"]


@dataclass(frozen=True)
class Piece:
    """Text that became certain, and its lane.

    A call comes whole, as one piece with `call`. What began like one and is none is content, and `reason` says why.
    """

    lane: Lane
    text: str
    call: ToolCall | None = None
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """An assistant's turn.

    Attributes: `reasoning`; `content`; `tool_calls`; `text`, as generated; `malformed`, why a call that stands in the
    content is none, one sentence each; `finished`, "stop" at a stop token or string, "length" at `max_new_tokens`, None
    while it goes on.
    """

    reasoning: str = ""
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    text: str = ""
    malformed: tuple[str, ...] = ()
    finished: End | None = None

    @property
    def message(self) -> dict[str, Any]:
        """To append to the messages."""
        message = {"role": "assistant", "content": self.content, "reasoning_content": self.reasoning}
        return message | ({"tool_calls": [call.message for call in self.tool_calls]} if self.tool_calls else {})


def parse_answer(
    text: str, *, thinking: bool = False, tools: Sequence[Mapping[str, Any]] = (), finished: End | None = "stop"
) -> Answer:  # fmt: skip
    """A whole text at once; for the arguments see `AnswerParser`."""
    parser = AnswerParser(thinking=thinking, tools=tools)
    parser.push(text)
    parser.close()
    return parser.answer(finished)


class AnswerParser:
    """Chunks in, pieces out; `answer` is what has come so far.

    Everything up to `</think>` is reasoning, calls too; without that tag, all of it. Later a `<think>` is text like any
    other. Nothing that a model says raises an error.

    Args:
        thinking: the prompt ends inside a thought. If not, an answer may still begin with `<think>`.
        tools: JSON schemas, which say of what types a call's arguments are.
    """

    def __init__(self, *, thinking: bool = False, tools: Sequence[Mapping[str, Any]] = ()):
        self.tools, self.thinking = tools, thinking
        self._waiting = ""  # text whose lane is not certain
        self._start = True  # of the answer: a <think> would open the reasoning
        self._in_call, self._searched = False, 0
        self._gap = {"reasoning": "", "content": ""}  # white space that is written if more text follows
        self._fresh = {"reasoning": True, "content": True}  # white space that follows is dropped
        self._lanes: dict[str, list[str]] = {"reasoning": [], "content": []}
        self._calls: list[ToolCall] = []
        self._reasons: list[str] = []
        self._text: list[str] = []

    def answer(self, finished: End | None = None) -> Answer:
        reasoning, content = ("".join(self._lanes[lane]) for lane in ("reasoning", "content"))
        return Answer(
            reasoning, content, tuple(self._calls), "".join(self._text), tuple(self._reasons), finished
        )  # fmt: skip

    def push(self, chunk: str) -> list[Piece]:
        """The pieces that became certain."""
        self._text.append(chunk)
        self._waiting += chunk
        return list(self._work(last=False))

    def close(self) -> list[Piece]:
        """No more chunks: the pieces that were held back."""
        return list(self._work(last=True))

    def _work(self, last: bool) -> Iterator[Piece]:
        again = True
        while again:
            if self._start:
                again = self._begin(last)
            elif self.thinking:
                again = yield from self._think(last)
            elif self._in_call:
                again = yield from self._call(last)
            else:
                again = yield from self._speak(last)

    def _begin(self, last: bool) -> bool:
        """The first thing that is said may be a <think>, also where the prompt has opened a thought already."""
        said = self._waiting.lstrip()
        if not last and THINK.startswith(said) and said != THINK:
            return False
        self._start = False
        if said.startswith(THINK):
            self.thinking, self._waiting = True, said.removeprefix(THINK)
        return True

    def _think(self, last: bool) -> Generator[Piece, None, bool]:
        text, found = self._up_to(THOUGHT, last)
        yield from self._say("reasoning", text)
        self.thinking = not found
        return found

    def _speak(self, last: bool) -> Generator[Piece, None, bool]:
        text, found = self._up_to(OPEN, last)
        yield from self._say("content", text)
        if found:
            self._in_call, self._searched, self._waiting = True, 0, OPEN + self._waiting
        return found

    def _call(self, last: bool) -> Generator[Piece, None, bool]:
        """Try every closing tag: the first one that ends the call, and not only looks so inside a value."""
        while (at := self._waiting.find(CLOSE, self._searched)) >= 0:
            self._searched = at + len(CLOSE)
            text = self._waiting[: self._searched]
            try:
                call = read_call(text, self.tools)
            except NoCall as error:
                yield from self._no_call(text, str(error))
                return True
            if call:
                self._calls.append(call)
                self._leave(text)
                self._fresh["content"] = True
                self._gap["content"] = "\n\n" if self._lanes["content"] else ""
                yield Piece("tool_call", text, call)
                return True
        self._searched = max(self._searched, len(self._waiting) - len(CLOSE) + 1)
        if last:
            yield from self._no_call(self._waiting, "the call is not closed")
        return False

    def _no_call(self, text: str, reason: str) -> Iterator[Piece]:
        self._leave(text)
        self._reasons.append(reason)
        for piece in self._say("content", text):
            yield Piece(piece.lane, piece.text, reason=reason)

    def _leave(self, text: str) -> None:
        self._in_call, self._waiting = False, self._waiting[len(text) :]

    def _up_to(self, marker: str, last: bool) -> tuple[str, bool]:
        """What stands before the marker, or all that cannot be its beginning; and whether the marker was there."""
        text, found, rest = self._waiting.partition(marker)
        if not found and not last:
            held = next((n for n in range(len(marker) - 1, 0, -1) if text.endswith(marker[:n])), 0)
            text, rest = text[: len(text) - held], text[len(text) - held :]
        self._waiting = rest
        return text, bool(found)

    def _say(self, lane: Lane, text: str) -> Iterator[Piece]:
        """Without the white space at the ends of the lane, and with one blank line where a call stood between."""
        if self._fresh[lane]:
            text = text.lstrip()
        else:
            text, self._gap[lane] = self._gap[lane] + text, ""
        if solid := text.rstrip():
            whole = self._gap[lane] + solid
            self._lanes[lane].append(whole)
            self._gap[lane], self._fresh[lane] = text[len(solid) :], False
            yield Piece(lane, whole)
        elif not self._fresh[lane]:
            self._gap[lane] = text
