"""A server that says what a test wants, when it wants, over a real connection."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Line:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, request: bytes):
        self.connection, self.request = connection, request

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.request.partition(b"\r\n\r\n")[2])

    def head(self, status: int = 200, kind: str = "text/event-stream") -> None:
        self.connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n\r\n".encode())

    def send(self, text: str | bytes) -> None:
        self.connection.sendall(text.encode() if isinstance(text, str) else text)

    def hangs_up(self, seconds: float = 5.0) -> bool:
        """Whether the other side closes the connection."""
        self.connection.settimeout(seconds)
        try:
            return self.connection.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@contextmanager
def scripted(*scripts: Callable[[Line], None]) -> Iterator[str]:
    """The address of a server whose nth connection follows the nth script; afterwards nobody answers any more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_follow, args=(listening, scripts), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        if thread.is_alive():
            thread.join(5)
        assert not thread.is_alive(), "the script waits for a connection that nobody makes"


def _follow(listening: socket.socket, scripts: Sequence[Callable[[Line], None]]) -> None:
    for script in scripts:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(5)
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            head, _, body = request.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0
            )
            while len(body) < length:
                body += connection.recv(65536)
            script(Line(connection, head + b"\r\n\r\n" + body))


def event(finish: str | None = None, usage: dict[str, int] | None = None, **delta: Any) -> str:
    """One chunk of an answer, as servers send it."""
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | ({"usage": usage} if usage else {})
    return f"data: {json.dumps(chunk)}\n\n"


def says(*events: str, done: bool = True) -> Callable[[Line], None]:
    """A script: these events, and that this was all."""

    def script(line: Line) -> None:
        line.head()
        line.send("".join(events) + ("data: [DONE]\n\n" if done else ""))

    return script


def refuses(status: int, body: str, kind: str = "application/json") -> Callable[[Line], None]:
    def script(line: Line) -> None:
        line.head(status, kind)
        line.send(body)

    return script
