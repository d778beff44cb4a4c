"""One small client for every server that speaks the OpenAI chat protocol.

    client = lab.Client("ollama", "qwen3.5:9b")
    client.chat("Why is the sky blue?")                     # an Answer, as of lab.load(…).chat
    for piece in client.chat_stream("And at sunset?"):      # pieces with lanes
        print(piece.text, end="")

Arguments are those of `Qwen.chat`, so that a model in this process and one behind an address can take each other's
place. The transport is httpx; nothing stays open between two questions.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, ServerError
from ..generate import Sampling
from ..inputs import Answer, as_schemas, write_chat
from ..inputs.chat import Message, Tool
from . import trouble
from .stream import Clock, Reply
from .wire import as_wire

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Engine:
    """What is special about one kind of server."""

    name: str
    port: int
    template: bool = True  # takes `chat_template_kwargs`; if not, `reasoning_effort`


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("ollama", 11434, template=False), Engine("vllm", 8000), Engine("sglang", 30000),
        Engine("llama.cpp", 8080), Engine("transformers", 8000),
    )
}  # fmt: skip


def address(where: str) -> tuple[str, Engine | None]:
    """The address of a server, with its /v1, and what kind it is, if that is known.

    Args:
        where: an engine's name, for its usual port on this machine, or an address.
    """
    if where in ENGINES:
        return f"http://localhost:{ENGINES[where].port}/v1", ENGINES[where]
    if not isinstance(where, str) or not re.match(r"https?://[^/\s]+", where):
        raise InputError(f"{where!r} is no address; write one such as http://localhost:8000, or {', '.join(ENGINES)}.")
    url = where.rstrip("/").removesuffix("/chat/completions")
    path = re.sub(r"https?://[^/]+", "", url)
    engine = ENGINES["ollama"] if re.search(r":11434(/|$)", url) else None
    return (url if path else url + "/v1"), engine


class Client:
    """Talks to one server about one model.

    Args:
        where: "ollama", "vllm", "sglang", "llama.cpp", or an address such as "http://localhost:8000/v1".
        model: as the server calls it; without, the one that it has.
        api_key: for servers that ask for one. It is sent to this address alone, and taken from nowhere else.
        timeout: seconds of silence after which the server counts as dead.
        aloud: the server leaves thoughts in the content, and answers begin inside one.
        tokenizer: the model's own, or a function that loads it; replies then know the exact prompt.
        extra: more fields for the body of every request.
    Raises:
        InputError: no address.
    """

    def __init__(self, where: str = "vllm", model: str = "", *, api_key: str = "", timeout: float = 120.0,
                 aloud: bool = False, tokenizer: Any = None, extra: Mapping[str, Any] | None = None):  # fmt: skip
        self.url, self.engine = address(where)
        self.api_key, self.timeout, self.aloud, self.extra = api_key, timeout, aloud, dict(extra or {})
        self._model, self._tokenizer = model, tokenizer

    def __repr__(self) -> str:
        return f"Client({self.url}{', ' + self._model if self._model else ''})"

    @property
    def model(self) -> str:
        """The model's name; of the server's only one, if none was given.

        Raises:
            ServerError: the server has several, none, or cannot be asked.
        """
        if not self._model:
            found = self.models()
            if len(found) != 1:
                has = f"has {', '.join(found[:8])}; pass model=" if found else "lists no model; pass its name, model="
                raise ServerError(f"The server at {self.url} {has}.")
            self._model = found[0]
        return self._model

    @property
    def tokenizer(self) -> Any:
        if isinstance(self._tokenizer, Callable) and not hasattr(self._tokenizer, "chat_template"):
            self._tokenizer = self._tokenizer()
        return self._tokenizer

    def models(self) -> list[str]:
        """What the server has. Raises `ServerError` if it cannot be asked."""
        with self._session() as session, trouble.explained(self.url, self.timeout):
            response = session.get(f"{self.url}/models")
        if response.status_code != 200:
            raise trouble.refusal(self.url, response.status_code, response.text)
        try:
            return [str(each["id"]) for each in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise trouble.nonsense(self.url, response.text) from error

    def chat(
        self, messages: str | Sequence[Message], tools: Tool | Iterable[Tool] | None = None, images: Any = None,
        thinking: bool | None = None, max_new_tokens: int = 512, *, stop: str | Sequence[str] = (), **sampling: Any,
    ) -> Answer:  # fmt: skip
        """What the assistant says next; arguments and errors as in `chat_stream`."""
        with self.chat_stream(messages, tools, images, thinking, max_new_tokens, stop=stop, **sampling) as reply:
            for _ in reply:
                pass
        return reply.answer

    def chat_stream(
        self, messages: str | Sequence[Message], tools: Tool | Iterable[Tool] | None = None, images: Any = None,
        thinking: bool | None = None, max_new_tokens: int = 512, *, stop: str | Sequence[str] = (), **sampling: Any,
    ) -> Reply:  # fmt: skip
        """The answer, piece by piece.

        Args:
            messages, tools, images, thinking, max_new_tokens, stop: as in `Qwen.chat`.
            sampling: temperature, top_p and so on, as in `Qwen.generate`; nothing is sent that is not given, so that
                the server's own defaults hold. Not every server heeds every one.
        Raises:
            InputError: arguments that cannot be sent.
            ServerError: no server, one that refuses, breaks off, or sends no chat; here, or while pieces are read.
        """
        body = self.body(messages, tools, images, thinking, max_new_tokens, stop=stop, **sampling)
        prompt, schemas = self.prompt(messages, tools, images, thinking), as_schemas(tools)
        session, response, clock = self._session(), None, Clock()

        def close() -> None:
            _wake(response)
            session.close()

        try:
            with trouble.explained(self.url, self.timeout):
                request = session.build_request("POST", f"{self.url}/chat/completions", json=body)
                response = session.send(request, stream=True)
                if response.status_code != 200:
                    raise trouble.refusal(self.url, response.status_code, response.read().decode("utf-8", "replace"))
        except BaseException:
            close()
            raise
        aloud = self.aloud and thinking is not False
        return Reply(self.url, response, close, seconds=self.timeout, aloud=aloud, tools=schemas, prompt=prompt,
                     clock=clock)  # fmt: skip

    def body(
        self, messages: str | Sequence[Message], tools: Tool | Iterable[Tool] | None = None, images: Any = None,
        thinking: bool | None = None, max_new_tokens: int = 512, *, stop: str | Sequence[str] = (), **sampling: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """The JSON that `chat_stream` sends."""
        if thinking is not None and not isinstance(thinking, bool):
            raise InputError(f"thinking is {thinking!r}; pass True, False, or None for the server's own way.")
        Sampling.of(sampling)  # refuses what is no setting
        body: dict[str, Any] = {
            "model": self.model, "messages": as_wire(messages, images), "stream": True,
            "stream_options": {"include_usage": True}, "max_tokens": max_new_tokens,
        }  # fmt: skip
        body |= {"tools": schemas} if (schemas := as_schemas(tools)) else {}
        body |= {"stop": [stop] if isinstance(stop, str) else list(stop)} if stop else {}
        if thinking is not None:
            ollama = self.engine and not self.engine.template
            effort = {"reasoning_effort": "medium" if thinking else "none"}
            body |= effort if ollama else {"chat_template_kwargs": {"enable_thinking": thinking}}
        return body | {name: value for name, value in sampling.items() if value is not None} | self.extra

    def prompt(
        self, messages: str | Sequence[Message], tools: Tool | Iterable[Tool] | None = None, images: Any = None,
        thinking: bool | None = None,
    ) -> str:  # fmt: skip
        """The exact text that the model reads, if its tokenizer is known here; else nothing."""
        if self.tokenizer is None:
            return ""
        return write_chat(self.tokenizer, messages, tools=tools, images=images, thinking=thinking).text

    def _session(self) -> Any:
        """A transport of its own for every question."""
        import httpx

        secure = self.url.startswith("https:")  # certificates take a while to read, and serve nobody else
        here = re.match(r"https?://(localhost|127\.|\[::1\])", self.url)
        return httpx.Client(
            timeout=httpx.Timeout(self.timeout, connect=CONNECT_SECONDS), verify=secure,
            trust_env=not here,  # a proxy does not know this machine's own servers
            headers={"Authorization": f"Bearer {self.api_key}"} if self.api_key else {},
        )  # fmt: skip


def _wake(response: Any) -> None:
    """Shut the connection down, so that a thread that waits for its next byte goes on at once."""
    import socket

    stream = response.extensions.get("network_stream") if response is not None else None
    found = stream.get_extra_info("socket") if stream else None
    try:
        if found is not None:
            found.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed already
        pass
