"""No shell, no file written, no network, unless it is allowed: a watch over what a tool's thread does.

Python tells "audit hooks" (PEP 578) before it opens a file, connects a socket or starts a process. Ours raises in the
threads of tools, and is deaf in all others. It keeps a tool to what it has declared; it is no sandbox: code that means
harm (a thread of its own, a C library) gets round it, and belongs into a container.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from .functions import Need

# event -> what it needs; `open` is looked at more closely
EVENTS: dict[str, Need] = {
    "subprocess.Popen": "shell", "os.system": "shell", "os.exec": "shell", "os.posix_spawn": "shell",
    "os.spawn": "shell", "os.fork": "shell", "os.forkpty": "shell", "pty.spawn": "shell",
    "socket.connect": "network", "socket.getaddrinfo": "network", "socket.gethostbyname": "network",
    "socket.sendto": "network", "socket.bind": "network", "urllib.Request": "network",
    "os.remove": "files", "os.rename": "files", "os.rmdir": "files", "os.mkdir": "files", "os.truncate": "files",
    "os.chmod": "files", "os.chown": "files", "os.link": "files", "os.symlink": "files", "shutil.rmtree": "files",
    "shutil.move": "files", "shutil.copyfile": "files", "os.utime": "files", "os.kill": "shell",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
DOES = {"network": "use the network", "files": "write files", "shell": "start programs"}


class NotAllowed(PermissionError):
    """What a tool was about to do, and may not."""


_here = threading.local()


@contextmanager
def kept_to(allowed: Iterable[Need]) -> Iterator[None]:
    """In this thread, only what is allowed; code inside raises NotAllowed for anything else."""
    _listen()
    before = getattr(_here, "allowed", None)
    _here.allowed = frozenset(allowed)
    try:
        yield
    finally:
        _here.allowed = before


@cache
def _listen() -> None:
    sys.addaudithook(_hook)  # cannot be taken away again, hence once, and only when a tool is first run


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    allowed = getattr(_here, "allowed", None)
    if allowed is None:
        return
    need = _opens(arguments) if event == "open" else EVENTS.get(event)
    if need and need not in allowed:
        raise NotAllowed(f"it may not {DOES[need]}")


def _opens(arguments: tuple[Any, ...]) -> Need | None:
    """Writing to a file, and not reading one; a null device is nowhere."""
    path, mode, flags = (*arguments, None, None, None)[:3]
    writes = any(sign in mode for sign in "wax+") if isinstance(mode, str) else bool((flags or 0) & WRITING)
    return "files" if writes and path != os.devnull else None
