"""A conversation with whatever answers: a model in this process, a local server, a client. It can be stopped, and it
survives the death of a server. The chat widget shows one; there is nothing in here about widgets."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ..errors import InputError, LabError, ServerError
from ..inputs import Answer, Piece
from ..paths import data_path
from ..qwen import Qwen
from .client import Client
from .local import LocalServer
from .stream import Clock, Reply

Backend = Qwen | Client | LocalServer
Messages = list[dict[str, Any]]
Ask = Callable[..., Answer]  # (messages, tools=, thinking=, max_new_tokens=), as Qwen.chat
Through = Callable[[Ask, Messages], tuple[Messages, str]]
DYING_SECONDS = 2.0


@dataclass
class Turn:
    """What one side said. Times are in seconds; None where nothing is known."""

    role: str
    text: str = ""
    reasoning: str = ""
    calls: list[str] = field(default_factory=list)
    image: str = ""  # a data URL
    by: str = ""  # which backend
    prompt: str = ""  # the exact text that was read, where it is known
    first: float | None = None  # time to first token
    rate: float | None = None  # tokens a second after that
    tokens: tuple[int | None, int | None] = (None, None)  # of prompt and answer
    end: str = ""  # "", "stopped", "broken", or "length"
    notes: list[str] = field(default_factory=list)


class Stopped(LabError):
    """Somebody has pressed stop; `messages` are those that stay."""

    def __init__(self, messages: Messages):
        super().__init__("The answer was stopped; ask again to go on.")
        self.messages = messages


def once(ask: Ask, messages: Messages) -> tuple[Messages, str]:
    """The plain way from a question to its answer. Returns all messages, and a note if there is something to say."""
    return [*messages, ask(messages).message], ""


class Dialogue:
    """Turns, and who answers next.

    Args:
        backends: name -> model, local server or client.
        through: how a question comes to its answer, if not by asking `once`: by a loop with tools, for example. The
            results of tools in its messages become turns of their own.
        changed: called after every change, in the thread that makes it.
    Raises:
        InputError: there is nobody to talk to.
    """

    def __init__(self, backends: Mapping[str, Backend], *, max_new_tokens: int = 256, through: Through = once,
                 changed: Callable[[], None] = lambda: None):  # fmt: skip
        for name, backend in backends.items():
            if not isinstance(backend, Backend):
                raise InputError(f"{name!r} is a {type(backend).__name__}; pass a model, a server or a client.")
        if not backends:
            raise InputError('There is nobody to talk to; pass {"this process": qwen}, for example.')
        # a twin has the same weights, and no edits of somebody else's
        self.backends = {n: b.twin() if isinstance(b, Qwen) else b for n, b in backends.items()}
        self.backend, self.thinking = next(iter(backends)), None
        self.max_new_tokens, self.changed = max_new_tokens, changed
        self.turns: list[Turn] = []
        self.messages: Messages = []
        self._through, self._heard = through, 0  # messages that have their turns
        self.error, self.doing = "", ""  # a sentence each
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._reply: Reply | None = None
        self._last: tuple[str, str] | None = None  # the question that had no answer

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    @property
    def dead(self) -> bool:
        """Whether the chosen backend is a local server that has ended."""
        chosen = self.backends[self.backend]
        return isinstance(chosen, LocalServer) and not chosen.alive

    def provenance(self, name: str = "") -> str:
        """Where the answers of a backend come from."""
        chosen = self.backends[name or self.backend]
        if isinstance(chosen, Qwen):
            return str(chosen.provenance)
        if isinstance(chosen, LocalServer):
            kind = "TINY" if chosen.folder.parent == data_path() else "OTHER"
            return f"{kind} · {chosen.folder.name} · transformers serve · {chosen.device}"
        return f"OTHER · {chosen._model or 'a model'} · {chosen.url}"

    def sees(self, name: str = "") -> bool:
        """Whether a backend may be shown pictures; of a client's model we do not know."""
        chosen = self.backends[name or self.backend]
        if isinstance(chosen, LocalServer):
            return chosen.sees
        return not isinstance(chosen, Qwen) or chosen.config.vision is not None

    def say(self, text: str, image: str = "") -> bool:
        """Ask, and wait for the answer. False if it is still busy with the question before.

        Args:
            image: a data URL.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._stopped.clear()
            self.doing = ""
            self._ask(text, image)
        except LabError as error:
            self.error, self._last = str(error), (text, image)
        except Exception as error:  # in a thread of a widget nobody else would see it
            self.error, self._last = f"{type(error).__name__}: {error}", (text, image)
        finally:
            self._reply, self.doing = None, ""
            self._lock.release()
            self.changed()
        return True

    def stop(self) -> None:
        """End the answer that is being written; what has come of it stays. May be called from any thread."""
        self._stopped.set()
        if reply := self._reply:
            reply.stop()

    def again(self) -> bool:
        """Start the local server, if it is dead, and ask the last question once more."""
        last, chosen = self._last, self.backends[self.backend]
        if isinstance(chosen, LocalServer) and not chosen.alive:
            self.error, self.doing = "", "The server is being started again; that takes a while."
            self.changed()
            try:
                chosen.restart()
            except LabError as error:
                self.error, self.doing = str(error), ""
                self.changed()
                return False
        if last:
            return self.say(*last)  # still doing something until it begins: nobody else may ask in between
        self.error, self.doing = "", ""
        self.changed()
        return True

    def clear(self) -> None:
        """Begin anew; while an answer is being written, nothing happens."""
        if self.busy:
            return
        self.turns, self.messages, self.error, self._last = [], [], "", None
        self.changed()

    def state(self) -> dict[str, Any]:
        """All there is to show, as JSON takes it."""
        return {
            "turns": [asdict(turn) for turn in self.turns], "busy": self.busy, "doing": self.doing,
            "error": self.error, "dead": self.dead, "again": self._last is not None,
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------- an answer

    def _ask(self, text: str, image: str) -> None:
        self.error, self._last = "", None
        if image and not self.sees():
            raise InputError(f"“{self.backend}” has no eyes; take the picture away, or choose another backend.")
        if self.turns and self.turns[-1].end == "broken":
            asked = max(n for n, turn in enumerate(self.turns) if turn.role == "user")
            if (self.turns[asked].text, self.turns[asked].image) == (text, image):  # it is being asked again
                self.turns = self.turns[:asked]
        content = [{"type": "image", "image": _opened(image)}, {"type": "text", "text": text}] if image else text
        messages = [*self.messages, {"role": "user", "content": content}]
        self.turns.append(Turn("user", text, image=image))
        self._heard = len(messages)
        try:
            with torch.inference_mode():  # which is off in a thread of its own
                self.messages, note = self._through(self._speak, messages)
            self._hear(self.messages)
            self.turns[-1].notes += [note] if note else []
        except Stopped as stopped:
            self.messages = stopped.messages
        except BaseException:
            self.turns[-1].end = "broken"
            raise

    def _speak(self, messages: Messages, tools: Any = None, thinking: bool | None = None,
               max_new_tokens: int | None = None) -> Answer:  # fmt: skip
        """One answer, shown as it comes. Raises Stopped if somebody stops it."""
        self._hear(messages)
        self.turns.append(turn := Turn("assistant", by=self.backend))
        self.changed()
        how = {"tools": tools, "thinking": self.thinking if thinking is None else thinking}
        most = min(self.max_new_tokens, max_new_tokens or self.max_new_tokens)
        answer = self._answer(self.backends[self.backend], messages, turn, {**how, "max_new_tokens": most})
        if self._stopped.is_set():
            turn.end = "stopped"
            raise Stopped([*messages, answer.message])
        turn.end = {"length": "length"}.get(answer.finished or "", "")
        self._heard = len(messages) + 1
        return answer

    def _hear(self, messages: Messages) -> None:
        """Turns for what was said between two answers, by tools or by the loop that runs them."""
        for message in messages[self._heard :]:
            by = message.get("name", "tool") if message["role"] == "tool" else "the loop"
            self.turns.append(Turn("tool", str(message["content"]), by=by))
        self._heard = len(messages)

    def _answer(self, chosen: Backend, messages: Messages, turn: Turn, how: Mapping[str, Any]) -> Answer:
        clock = Clock()
        speaker = chosen.client if isinstance(chosen, LocalServer) else chosen
        try:
            stream = speaker.chat_stream(messages, **how)
        except ServerError:
            if self._died():
                raise ServerError(f"The local server “{self.backend}” has ended; restart it to go on.") from None
            raise
        turn.prompt = stream.prompt
        if isinstance(stream, Reply):
            self._reply = stream
            if self._stopped.is_set():  # meanwhile
                stream.stop()
        try:
            for piece in self._until_stopped(stream):
                clock.note()
                self._show(piece, turn, clock)
        except ServerError:
            if self._died():
                raise ServerError(
                    f"The local server “{self.backend}” ended in the middle of the answer; restart it to ask again."
                ) from None
            raise
        finally:
            if isinstance(stream, Reply):
                stream.close()
        self._finish(speaker, stream, turn, clock)
        return stream.answer

    def _died(self) -> bool:
        """Whether the server is dead, or about to be: its connections go a moment before it does."""
        deadline = time.monotonic() + DYING_SECONDS
        while isinstance(self.backends[self.backend], LocalServer) and not self.dead and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.dead

    def _until_stopped(self, stream: Iterator[Piece]) -> Iterator[Piece]:
        for piece in stream:
            if self._stopped.is_set():
                return
            yield piece

    def _show(self, piece: Piece, turn: Turn, clock: Clock) -> None:
        if piece.lane == "reasoning":
            turn.reasoning += piece.text
        elif piece.call:
            given = ", ".join(f"{name}={value!r}" for name, value in piece.call.arguments.items())
            turn.calls.append(f"{piece.call.name}({given})")
        else:
            turn.text += piece.text
        turn.first, turn.rate = clock.first, clock.rate()
        self.changed()

    def _finish(self, speaker: Qwen | Client, stream: Any, turn: Turn, clock: Clock) -> None:
        answer = stream.answer
        turn.text, turn.reasoning = answer.content, answer.reasoning
        if isinstance(speaker, Qwen):
            turn.tokens = (len(speaker.encode(turn.prompt)[0]), len(speaker.tokenizer(answer.text)["input_ids"]))
        else:
            turn.tokens, turn.notes = (stream.usage.prompt, stream.usage.completion), list(stream.notes)
        turn.rate = clock.rate(turn.tokens[1]) or turn.rate


def _opened(image: str) -> Any:
    """A data URL as a PIL image."""
    import base64
    import io

    from PIL import Image

    try:
        return Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))).convert("RGB")
    except Exception as error:  # a damaged file shows itself in many ways
        raise InputError("The picture cannot be read; choose another file.") from error
