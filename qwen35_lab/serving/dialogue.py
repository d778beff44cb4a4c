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


class Dialogue:
    """Turns, and who answers next.

    Args:
        backends: name -> model, local server or client.
        changed: called after every change, in the thread that makes it.
    Raises:
        InputError: there is nobody to talk to.
    """

    def __init__(self, backends: Mapping[str, Backend], *, max_new_tokens: int = 256,
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
        self.messages: list[dict[str, Any]] = []
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
        self.error, self._last, chosen = "", None, self.backends[self.backend]
        if image and not self.sees():
            raise InputError(f"“{self.backend}” has no eyes; take the picture away, or choose another backend.")
        unanswered = self.turns[-2:-1] if self.turns and self.turns[-1].end == "broken" else []
        if unanswered and (unanswered[0].text, unanswered[0].image) == (text, image):  # it is being asked again
            self.turns = self.turns[:-2]
        content = [{"type": "image", "image": _opened(image)}, {"type": "text", "text": text}] if image else text
        question = {"role": "user", "content": content}
        turn = Turn("assistant", by=self.backend)
        self.turns += [Turn("user", text, image=image), turn]
        self.changed()
        try:
            with torch.inference_mode():  # which is off in a thread of its own
                answer = self._answer(chosen, [*self.messages, question], turn)
        except BaseException:
            turn.end = "broken"
            raise
        self.messages += [question, answer.message]
        turn.end = "stopped" if self._stopped.is_set() else {"length": "length"}.get(answer.finished or "", "")

    def _answer(self, chosen: Backend, messages: list[dict[str, Any]], turn: Turn) -> Answer:
        clock = Clock()
        speaker = chosen.client if isinstance(chosen, LocalServer) else chosen
        try:
            stream = speaker.chat_stream(messages, thinking=self.thinking, max_new_tokens=self.max_new_tokens)
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
            tokens = (len(speaker.encode(turn.prompt)[0]), len(speaker.tokenizer(answer.text)["input_ids"]))
        else:
            tokens = (stream.usage.prompt, stream.usage.completion)
            turn.notes = list(stream.notes)
        turn.tokens = tokens
        turn.rate = clock.rate(tokens[1]) or turn.rate


def _opened(image: str) -> Any:
    """A data URL as a PIL image."""
    import base64
    import io

    from PIL import Image

    try:
        return Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))).convert("RGB")
    except Exception as error:  # a damaged file shows itself in many ways
        raise InputError("The picture cannot be read; choose another file.") from error
