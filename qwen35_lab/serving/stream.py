"""An answer that a server is still writing: events in, pieces in lanes out, with what it cost and how long it took.

Servers differ in where they put a thought: in `reasoning_content` (SGLang, llama.cpp, transformers), in `reasoning`
(Ollama, newer vLLM), or, if nobody told them to take it apart, in the content with its `</think>`. All of them come out
in the same lanes, by the parser that reads our own model's answers: a thought is put back between its marks first.
"""

import json
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ServerError
from ..inputs.answer import THINK, THOUGHT, Answer, AnswerParser, End, Piece, parse_answer
from ..inputs.calls import ToolCall
from . import trouble
from .events import EventParser

DONE = "[DONE]"
LONGEST_EVENT = 32_000_000  # characters; more is no chat
ENDS: Mapping[str, End] = {"length": "length"}  # any other reason is a stop


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counts them; None where it does not say."""

    prompt: int | None = None
    completion: int | None = None


@dataclass
class Clock:
    """When pieces came, in seconds after the request was sent."""

    began: float = field(default_factory=time.perf_counter)
    arrivals: list[float] = field(default_factory=list)

    def note(self) -> None:
        self.arrivals.append(time.perf_counter() - self.began)

    @property
    def first(self) -> float | None:
        """Time to first token, TTFT: until the first piece of text, of either lane."""
        return self.arrivals[0] if self.arrivals else None

    @property
    def gaps(self) -> list[float]:
        """Between one piece and the next: ITL, the inter-token latency, if every piece is one token."""
        return [b - a for a, b in zip(self.arrivals, self.arrivals[1:])]

    def rate(self, tokens: int | None = None) -> float | None:
        """Tokens a second after the first one; pieces a second where nobody has counted tokens."""
        count, span = tokens or len(self.arrivals), self.arrivals[-1] - self.arrivals[0] if self.arrivals else 0.0
        return (count - 1) / span if count > 1 and span > 0 else None


class Reply(Iterator[Piece]):
    """The pieces of an answer as they come. Leave it by `with`, `close`, or by reading to the end: nothing stays open.

    Attributes: `answer`, what has come so far; `usage`; `clock`; `prompt`, what the model reads, if that is known;
    `notes`, sentences about what was odd; `stopped`, whether `stop` ended it.
    """

    def __init__(
        self, url: str, response: Any, close: Callable[[], None], *, seconds: float = 120.0, aloud: bool = False,
        tools: Sequence[Mapping[str, Any]] = (), prompt: str = "", clock: Clock | None = None,
    ):  # fmt: skip
        self.url, self.prompt, self.usage, self.clock = url, prompt, Usage(), clock or Clock()
        self.notes: list[str] = []
        self.stopped = False
        self._response, self._seconds, self._tools = response, seconds, tools
        self._close = weakref.finalize(self, close)  # also where a reply is dropped that nobody has begun to read
        self._parser = AnswerParser(thinking=aloud, tools=tools)
        self._calls: dict[int, dict[str, str]] = {}  # by index, in pieces
        self._made: list[ToolCall] = []
        self._malformed: list[str] = []
        self._late = ""  # thoughts after the content began
        self._lane = ""  # the one that the server is in
        self._finished: End | None = None
        self._repaired: Answer | None = None
        self._pieces = self._read()

    def __next__(self) -> Piece:
        return next(self._pieces)

    def __enter__(self) -> "Reply":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up: a good server stops writing."""
        self._pieces.close()
        self._close()

    def stop(self) -> None:
        """End it from another thread, in the middle of a wait too. The pieces end as if the answer did."""
        self.stopped = True
        self._close()

    @property
    def answer(self) -> Answer:
        if self._repaired:
            return self._repaired
        found = self._parser.answer(self._finished)
        return replace(
            found, reasoning=found.reasoning + self._late, tool_calls=(*found.tool_calls, *self._made),
            malformed=(*found.malformed, *self._malformed),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------- reading

    def _read(self) -> Generator[Piece, None, None]:
        try:
            for event in self._events():
                for piece in self._take(event):
                    self.clock.note()
                    yield piece
            yield from self._end()
        finally:
            self._close()

    def _events(self) -> Iterator[dict[str, Any]]:
        """What the server sends, as dicts; ends when it says so, or when `stop` is called."""
        try:
            with trouble.explained(self.url, self._seconds):
                if "json" in self._response.headers.get("content-type", ""):  # a server that does not stream
                    self._response.read()
                    yield self._parsed(self._response.text)
                    return
                parser, seen = EventParser(), False
                for piece in self._response.iter_bytes():
                    for text in parser.push(piece):
                        if text.strip() == DONE:
                            return
                        seen = True
                        yield self._parsed(text)
                    if parser.waiting > LONGEST_EVENT or (not seen and b"<html" in piece[:200].lower()):
                        raise trouble.nonsense(self.url, piece[:200].decode("utf-8", "replace"))
        except ServerError:
            if not self.stopped:
                raise
            return
        if self._finished is None and not self.stopped:  # it hung up, and had not said that it was done
            raise trouble.broke_off(self.url) if seen else trouble.nonsense(self.url, "it holds no events")

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise trouble.nonsense(self.url, text) from error
        if isinstance(found, dict) and found.get("error"):
            raise trouble.failed(self.url, found)
        if not isinstance(found, dict) or not isinstance(found.get("choices"), list):
            raise trouble.nonsense(self.url, text)
        return found

    def _take(self, event: dict[str, Any]) -> Iterator[Piece]:
        if isinstance(usage := event.get("usage"), dict):
            self.usage = Usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))
        for choice in event["choices"]:
            if not isinstance(choice, dict) or choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta") or choice.get("message") or {}
            yield from self._think(delta.get("reasoning_content") or delta.get("reasoning") or "")
            yield from self._say(delta.get("content") or "")
            for call in delta.get("tool_calls") or ():
                self._collect(call)
            if reason := choice.get("finish_reason"):
                self._finished = ENDS.get(reason, "stop")

    def _think(self, text: str) -> Iterator[Piece]:
        if not text:
            return
        if self._lane == "content":
            self._late += text
            yield Piece("reasoning", text)
            return
        opening = "" if self._lane else THINK
        self._lane = "reasoning"
        yield from self._parser.push(opening + text)

    def _say(self, text: str) -> Iterator[Piece]:
        if not text:
            return
        closing = THOUGHT if self._lane == "reasoning" else ""
        self._lane = "content"
        yield from self._parser.push(closing + text)

    def _collect(self, call: dict[str, Any]) -> None:
        """A call comes in pieces too: its name first, then its arguments as JSON text."""
        made = self._calls.setdefault(call.get("index", len(self._calls)), {"name": "", "arguments": ""})
        function = call.get("function") or {}
        made["name"] += function.get("name") or ""
        given = function.get("arguments") or ""
        made["arguments"] += given if isinstance(given, str) else json.dumps(given)

    # ------------------------------------------------------------------------------------------------- the end

    def _end(self) -> Iterator[Piece]:
        if self._lane == "reasoning" and self._finished:  # it did not say where the thought ends: at the end
            yield from self._parser.push(THOUGHT)
        yield from self._parser.close()
        for _, made in sorted(self._calls.items()):
            yield self._called(made["name"], made["arguments"])
        self._repair()

    def _called(self, name: str, arguments: str) -> Piece:
        try:
            found = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            found = None
        if not name or not isinstance(found, dict):
            why = f"the call of {name or 'nothing'} has no arguments that are JSON"
            self._malformed.append(why)
            return Piece("content", arguments, reason=why)
        self._made.append(ToolCall(name, found))
        return Piece("tool_call", arguments, self._made[-1])

    def _repair(self) -> None:
        """A thought that came as content shows itself only at its end, by a mark that nothing opened."""
        found = self.answer
        if found.reasoning or THOUGHT not in found.content or THINK in found.content:
            return
        parted = parse_answer(found.text, thinking=True, tools=self._tools, finished=found.finished)
        self._repaired = replace(parted, tool_calls=(*parted.tool_calls, *self._made))
        self.notes.append(
            "The server leaves the thought in the content; start it with its reasoning parser (with vLLM and SGLang "
            "--reasoning-parser qwen3), or make the client with aloud=True."
        )
