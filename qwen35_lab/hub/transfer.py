"""One file from a server, whole and as promised, or none: a new try goes on where the last one broke off.

huggingface_hub begins a file anew after an interruption, and compares no more than its size. Here what has come stays
beside the place as `.incomplete`, under the names and the locks of the Hub's cache, and the file gets its name when its
hash is the promised one.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from ..errors import CheckpointError

PAUSES = (1, 2, 4, 8, 16)  # seconds before a new try; they start over whenever more has come than ever before
LONGEST_PAUSE = 60  # that a server may ask for
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses after which another try may succeed
FULL = {errno.ENOSPC, errno.EDQUOT}
READ = 1 << 20  # bytes, of a file on this machine


class DiskFull(CheckpointError):
    """There is no space left for a file."""


class Stopped(Exception):
    """Another file has failed, or the user has had enough."""


@dataclass(frozen=True)
class Remote:
    """A file of a repository."""

    name: str
    url: str
    size: int  # bytes
    hash: str  # in hex: SHA-256; or, of 40 digits, git's own of a blob

    def hasher(self) -> Any:
        return hashlib.sha256() if len(self.hash) == 64 else hashlib.sha1(b"blob %d\0" % self.size)


def fetch(remote: Remote, blob: Path, lock: Path, moved: Callable[[int], None], stop: Event) -> None:
    """Download a file to `blob`, unless another process does so first.

    Args:
        lock: a file that whoever writes to `blob` holds.
        moved: is told how many bytes more are here, or how many fewer.
        stop: ends the work soon after it is set; what has come is kept.
    Raises:
        CheckpointError: the server gave up, other bytes than promised (they are deleted), or a disk that takes no more.
        Stopped: `stop` was set.
    """
    try:
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            _take(lock, stack, stop)
            if blob.exists():
                moved(remote.size)
            else:
                _fetch(remote, blob, moved, stop)
    except CheckpointError:
        raise
    except OSError as error:
        kind = DiskFull if error.errno in FULL else CheckpointError
        raise kind(
            f"{remote.name} could not be written to {blob.parent} ({error.strerror or error}); free some space there, "
            "or set HF_HOME to a folder on another disk before Python starts."
        ) from None


def partial(blob: Path) -> Path:
    """Where a file lies while it is not whole; earlier versions of huggingface_hub go on from there, too."""
    return blob.with_name(f"{blob.name}.incomplete")


def _take(lock: Path, stack: ExitStack, stop: Event) -> None:
    """Hold a lock until the stack closes; huggingface_hub takes the same one."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    while not stop.is_set():
        try:
            stack.enter_context(WeakFileLock(lock, timeout=1))
            return
        except Timeout:
            continue
    raise Stopped


def _fetch(remote: Remote, blob: Path, moved: Callable[[int], None], stop: Event) -> None:
    path = partial(blob)
    begun = path.exists()
    right = _complete(remote, path, moved, stop)
    if not right and begun:  # what an earlier try had left was damaged, perhaps by a crash
        right = _complete(remote, path, moved, stop)
    if not right:
        raise CheckpointError(
            f"{remote.name} came with other bytes than its repository promises (their hash differs) and was deleted; "
            "try again, or pass another mirror as endpoint."
        )
    os.replace(path, blob)


def _complete(remote: Remote, path: Path, moved: Callable[[int], None], stop: Event) -> bool:
    """Fetch what is missing; False if the whole is not what was promised, and then it is deleted."""
    part = _Part(remote, path, moved)
    try:
        _read_on(remote, part, stop)
    finally:
        part.file.close()
    if part.have == remote.size and part.hasher.hexdigest() == remote.hash:
        return True
    moved(-part.have)
    path.unlink()
    return False


class _Part:
    """A file as far as it has come, and its hash so far."""

    def __init__(self, remote: Remote, path: Path, moved: Callable[[int], None]):
        self.remote, self.moved = remote, moved
        self.file = path.open("a+b")
        self.have, self.hasher = 0, remote.hasher()
        self.file.seek(0)
        while piece := self.file.read(READ):
            self._count(piece)

    def put(self, at: int, piece: bytes) -> None:
        """Append; a server that sends the whole file once more, for want of ranges, begins at 0."""
        if at != self.have:
            self.file.truncate(0)
            self.moved(-self.have)
            self.have, self.hasher = 0, self.remote.hasher()
        self.file.write(piece)
        self._count(piece)

    def _count(self, piece: bytes) -> None:
        self.hasher.update(piece)
        self.have += len(piece)
        self.moved(len(piece))


def _read_on(remote: Remote, part: _Part, stop: Event) -> None:
    """Read until nothing is missing, with pauses where the connection breaks off."""
    from huggingface_hub.errors import HfHubHTTPError

    failures, most = 0, part.have  # without ranges a server begins anew: as much as before is no progress
    while part.have < remote.size:
        trouble = _read(remote, part, stop)
        if part.have >= remote.size:
            return
        failures, most = (0, part.have) if part.have > most else (failures + 1, most)
        hopeless = isinstance(trouble, HfHubHTTPError) and trouble.response.status_code not in PASSING
        if hopeless or failures == len(PAUSES):
            raise CheckpointError(
                f"{remote.name} could not be downloaded ({reason(trouble)}); try again, what has come is kept."
            ) from None
        if stop.wait(_pause(trouble, failures)):
            raise Stopped


def _read(remote: Remote, part: _Part, stop: Event) -> Exception | None:
    """Read until the end or a failure of the connection, which is returned; one of the disk is raised."""
    pieces = _pieces(remote.url, part.have)
    while part.have < remote.size:
        try:
            at, piece = next(pieces, (0, b""))
        except Exception as error:  # of the HTTP library, which is not the same in all versions of huggingface_hub
            return error
        if not piece:
            return None
        if stop.is_set():
            raise Stopped
        part.put(at, piece)
    return None


def _pieces(url: str, have: int) -> Iterator[tuple[int, bytes]]:
    """The rest of a file as it comes, each piece with its place; a token that is there is sent along, to the Hub."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        at = have if response.status_code == 206 else 0
        for piece in response.iter_bytes():
            if piece:
                yield at, piece
                at += len(piece)


def _pause(trouble: Exception | None, failures: int) -> float:
    """Seconds: what the server asks for, or ours."""
    asked = getattr(getattr(trouble, "response", None), "headers", {}).get("Retry-After", "")
    return min(int(asked), LONGEST_PAUSE) if asked.isdecimal() else PAUSES[failures]


def reason(error: Exception | None) -> str:
    """Why a request failed, in a few words."""
    if error is None:
        return "the server ends early"
    if (response := getattr(error, "response", None)) is not None:
        return f"the server answers {response.status_code}"
    return str(error).strip().split("\n")[0] or type(error).__name__
