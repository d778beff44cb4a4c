"""A server on this machine, of its own process: `transformers serve` of a checkpoint folder.

    with lab.serve("nano") as server:
        server.client.chat("Which is larger, 463 or 229?")

It needs no network. It ends with the block, with `stop`, when nobody holds it any longer, and with this process,
however that ends (child.py): there is nothing to clean up by hand. An interrupt stops the cell, not the server.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..config import ModelConfig
from ..errors import InputError, ServerError
from ..locate import find_folder
from ..prompts import read_tokenizer
from ..qwen import load
from .client import Client

HOST = "127.0.0.1"
NEEDS = ("fastapi", "uvicorn", "openai", "pydantic")  # the extra `serving` of transformers, less what we have anyway
TRIES = 3  # ports, if somebody takes one between our asking and the server's
POLL_SECONDS = 0.1


def serve(
    name: str | os.PathLike[str] = "nano", *, port: int = 0, device: str = "cpu", revision: str | None = None,
    seconds: float = 300.0,
) -> "LocalServer":  # fmt: skip
    """Start a server of a checkpoint and wait until it is ready.

    Args:
        name: as in `lab.load`. Where torchvision is missing, which transformers wants for pictures, the language model
            alone is served, written to a temporary folder.
        port: 0 takes a free one.
        device: "cpu", "cuda", "mps", or "auto".
        seconds: to wait. The libraries alone take ten or more to be imported.
    Raises:
        ServerError: a library is missing, or the server ends or is not ready in time; with the end of its log.
        CheckpointError: no such checkpoint.
        InputError: no such port.
    """
    if missing := [each for each in NEEDS if find_spec(each) is None]:
        raise ServerError(f"A local server needs {', '.join(missing)}; install with `pip install {' '.join(missing)}`.")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
        raise InputError(f"port is {port!r}; pass a number below 65536, or 0 for a free one.")
    folder, _ = find_folder(name, revision)
    server = LocalServer(folder, device)
    try:
        server.start(port, seconds)
    except BaseException:
        server.stop()
        raise
    return server


class LocalServer:
    """A running server; `serve` makes one.

    Attributes: `folder`, the checkpoint; `served`, what is read, which may be its language model alone; `port`; `url`.
    """

    def __init__(self, folder: Path, device: str = "cpu"):
        self.folder, self.device, self.port = folder, device, 0
        self._room = Path(tempfile.mkdtemp(prefix="qwen35-lab-serve-"))
        weakref.finalize(self, shutil.rmtree, self._room, True)
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: Any = None  # stops the process, once

    def __repr__(self) -> str:
        return f"LocalServer({self.folder.name}, {self.url if self.alive else 'stopped'})"

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process, if it lives."""
        return self._process.pid if self._process and self.alive else None

    @property
    def log(self) -> str:
        """What the server has said since it was started last."""
        path = self._room / "log.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @cached_property
    def served(self) -> Path:
        """The folder that the server reads."""
        if ModelConfig.from_file(self.folder).vision is None or find_spec("torchvision") is not None:
            return self.folder
        return load(self.folder).save(self._room / self.folder.name, eyes=False)

    @property
    def sees(self) -> bool:
        """Whether what is served has a vision tower."""
        return ModelConfig.from_file(self.served).vision is not None

    @cached_property
    def client(self) -> Client:
        """Talks to this server, and knows the exact prompt."""
        return Client(self.url, str(self.served), tokenizer=lambda: read_tokenizer(self.served))

    def start(self, port: int = 0, seconds: float = 300.0) -> None:
        """Start it, if it does not run, and wait until it is ready. Raises `ServerError` as `serve` does."""
        deadline = time.monotonic() + seconds
        for left in reversed(range(TRIES)):
            if self.alive:
                return
            self.port = port or _free_port()
            self._begin()
            if self._ready(deadline, seconds) or port or not left:
                break
        if not self.alive:
            lines = self.log.strip().splitlines() or ["it said nothing"]
            raise ServerError(
                f"The local server ended before it was ready: {lines[-1].strip()} (`server.log` has all)."
            )
        self.client.url = self.url

    def restart(self, seconds: float = 300.0) -> None:
        """Stop what is left of it, and start it again, at the same address if that is still free."""
        port = self.port
        self.stop()
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
        except OSError:
            port = 0
        self.start(port, seconds)

    def stop(self) -> None:
        """End the process, and wait until it is gone. Doing so twice is no mistake."""
        if self._ends:
            self._ends()

    def _begin(self) -> None:
        hub = self._room / "hub"  # the server lists what is in it, and fails where there is none
        hub.mkdir(exist_ok=True)
        command = [sys.executable, "-P", str(Path(__file__).with_name("child.py")), "serve", str(self.served),
                   "--host", HOST, "--port", str(self.port), "--device", self.device]  # fmt: skip
        env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub), "TQDM_DISABLE": "1"}
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with (self._room / "log.txt").open("wb") as log:
            process: Any = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=env, **apart
            )  # fmt: skip
        self._process, self._ends = process, weakref.finalize(self, _end, process)

    def _ready(self, deadline: float, seconds: float) -> bool:
        """Wait. False if the process ended."""
        import httpx

        with httpx.Client(trust_env=False, verify=False, timeout=2.0) as session:
            while self.alive:
                with suppress(httpx.HTTPError):
                    if session.get(f"http://{HOST}:{self.port}/health").status_code == 200:
                        return True
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"The local server was not ready after {seconds:g} seconds; pass more, or see `server.log`."
                    )
                time.sleep(POLL_SECONDS)
        return False


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        return free.getsockname()[1]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close what the child waits for; if that is not enough, kill it."""
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
