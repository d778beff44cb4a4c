"""The part of a `Qwen` that converses: messages in, an answer in its lanes out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .generate import TextStream
from .inputs import Answer, AnswerParser, Conversation, Piece, write_chat
from .inputs.answer import End
from .inputs.chat import Message, Tool
from .speak import Speaker
from .speculative import Drafts


class AnswerStream(Iterator[Piece]):
    """The pieces of an answer as they become certain.

    Attributes: `prompt` (the text that the model reads, as `Conversation.text`) and `answer`: what has come so far, and
    the whole of it after the last piece.
    """

    def __init__(self, chat: Conversation, chunks: Iterator[str]):
        self.prompt = chat.text
        self._parser = AnswerParser(thinking=chat.thinking, tools=chat.tools)
        self._finished: End | None = None
        self._pieces = self._parse(chunks)

    def __next__(self) -> Piece:
        return next(self._pieces)

    @property
    def answer(self) -> Answer:
        return self._parser.answer(self._finished)

    def _parse(self, chunks: Iterator[str]) -> Iterator[Piece]:
        while True:
            try:
                chunk = next(chunks)
            except StopIteration as ended:  # its value is why
                rest, self._finished = self._parser.close(), ended.value
                yield from rest
                return
            yield from self._parser.push(chunk)


class Talker(Speaker):
    def chat(
        self, messages: str | Sequence[Message], tools: Tool | Iterable[Tool] | None = None, images: Any = None,
        thinking: bool | None = None, max_new_tokens: int = 512, *, videos: Any = None,
        stop: str | Sequence[str] = (), speculative: int | Drafts = 0, **sampling: Any,
    ) -> Answer:  # fmt: skip
        """What the assistant says next, by the checkpoint's own chat template.

            answer = qwen.chat(messages, tools=[add])
            messages.append(answer.message)

        Args:
            messages: `{"role": …, "content": …}`; a content may be a list of parts, with pictures among them. A text is
                what the user says first.
            tools: JSON schemas, or functions with types and a docstring. None is run: calls are in `answer.tool_calls`.
            images, videos: for parts that name none of their own; else they stand where the user's last message begins.
            thinking: True or False; None leaves it to the checkpoint.
            stop, speculative, sampling: as in `generate`; greedy if nothing is given, `preset="general"` for what the
                checkpoint's makers advise in the mode, thinking or not, that this prompt ends in.
        Raises:
            InputError: no chat template, messages, tools or pictures that it refuses, or what `generate` refuses.
        """
        stream = self.chat_stream(
            messages, tools, images, thinking, max_new_tokens, videos=videos, stop=stop, speculative=speculative,
            **sampling,
        )  # fmt: skip
        for _ in stream:
            pass
        return stream.answer

    def chat_stream(
        self, messages: str | Sequence[Message], tools: Tool | Iterable[Tool] | None = None, images: Any = None,
        thinking: bool | None = None, max_new_tokens: int = 512, *, videos: Any = None,
        stop: str | Sequence[str] = (), speculative: int | Drafts = 0, **sampling: Any,
    ) -> AnswerStream:  # fmt: skip
        """Like `chat`, piece by piece, each with its lane: "reasoning", "content", or "tool_call" for a whole call.

        stream = qwen.chat_stream(messages)
        for piece in stream:
            print(piece.lane, piece.text)
        messages.append(stream.answer.message)
        """
        chat = write_chat(self.tokenizer, messages, tools=tools, images=images, videos=videos, thinking=thinking)
        text = TextStream(self.tokenizer, (stop,) if isinstance(stop, str) else stop)
        given = self._read(chat)
        chosen = self._chosen(sampling, *given)
        return AnswerStream(chat, self._text(given, text, max_new_tokens, chosen, speculative))

    def chat_prompt(
        self, messages: str | Sequence[Message], tools: Tool | Iterable[Tool] | None = None, images: Any = None,
        thinking: bool | None = None, *, videos: Any = None,
    ) -> str:  # fmt: skip
        """The text that `chat` has the model read; a picture is one placeholder in it. Nothing is run."""
        return write_chat(
            self.tokenizer, messages, tools=tools, images=images, videos=videos, thinking=thinking
        ).text  # fmt: skip
