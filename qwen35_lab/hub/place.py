"""A repository at a revision: on a server, and in the cache that all tools for the Hub share."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import weight_files
from ..errors import CheckpointError, InputError
from ..files import write_file
from .transfer import Remote

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Place:
    """A repository at a revision, on a server and in the cache. Its text is what messages call it."""

    repo: str
    revision: str | None
    endpoint: str

    def __str__(self) -> str:
        return self.repo + (f" at revision {self.revision}" if self.revision else "")

    @property
    def cache(self) -> Path:
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE).expanduser()

    @property
    def folder(self) -> Path:
        return self.cache / f"models--{self.repo.replace('/', '--')}"

    @property
    def snapshots(self) -> Path:
        return self.folder / "snapshots"

    def blob(self, file: Remote) -> Path:
        return self.folder / "blobs" / file.hash

    def lock(self, file: Remote) -> Path:
        return self.cache / ".locks" / self.folder.name / f"{file.hash}.lock"

    def cached(self, weights: bool, *, tokenizer: bool = False) -> Path | None:
        """The snapshot in the cache, if it is complete."""
        from huggingface_hub import snapshot_download

        try:
            pattern = ["config.json"]
            found = snapshot_download(self.repo, revision=self.revision, local_files_only=True, allow_patterns=pattern)
            folder = Path(found)
            for name in ["config.json", *(["tokenizer_config.json"] if tokenizer else ())]:
                if not (folder / name).exists():
                    return None
            if weights:
                weight_files(folder)
            return folder
        except (OSError, ValueError):  # not there, in part, or a name that no repository can have
            return None

    def remember(self, commit: str) -> None:
        """Note which commit a branch stands for, as the cache's layout asks, unless nothing can be written there."""
        name = self.revision or "main"
        path = self.folder / "refs" / name
        if COMMIT.fullmatch(name) or (path.is_file() and path.read_text(encoding="utf-8") == commit):
            return
        with suppress(CheckpointError), write_file(path) as beside:  # the cache may be one that others only read
            beside.write_text(commit, encoding="utf-8")


def address(endpoint: str | None) -> str:
    from huggingface_hub import constants

    found = endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    if not isinstance(found, str) or not re.match(r"https?://[^/]", found):
        raise InputError(f"endpoint is {found!r}; pass the address of a mirror, such as https://huggingface.co.")
    return found.rstrip("/")
