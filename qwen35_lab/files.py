"""Writing without leaving anything half-written: write beside, then rename."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import CheckpointError

# files that make a checkpoint folder whole besides config and weights
SIDE_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
    "chat_template.jinja", "chat_template.json", "generation_config.json", "preprocessor_config.json",
    "video_preprocessor_config.json", "processor_config.json", "README.md", "LICENSE",
)  # fmt: skip
# those of them that belong to pictures, or describe the model with its vision tower
EYES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json", "README.md")
CHECKPOINT_SUFFIXES = {".json", ".safetensors", ".jinja", ".txt", ".md"}


@contextmanager
def write_folder(folder: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yields an empty folder beside `folder`; if the block succeeds it takes `folder`'s place, else it is removed.

    Raises:
        CheckpointError: `folder` exists and may not be overwritten, or holds something else than a checkpoint, or
            writing failed (disk full, no permission).
    """
    folder = Path(folder).resolve()
    if folder.exists() and not overwrite:
        raise CheckpointError(f"{folder} exists; choose another folder or pass overwrite=True.")
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file, not a folder; choose another name.")
    entries = sorted(folder.iterdir()) if folder.exists() else []
    foreign = [p.name for p in entries if p.is_dir() or not (p.suffix in CHECKPOINT_SUFFIXES or p.name == "LICENSE")]
    if foreign or (entries and not (folder / "config.json").exists()):
        what = f"holds {foreign[0]}, which is no part of a checkpoint," if foreign else "is not a checkpoint"
        raise CheckpointError(f"{folder} {what} and is not replaced; choose another folder.")
    beside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield beside
        beside.chmod(0o755)  # temporary folders, and safetensors' files, are for their owner's eyes only
        for path in beside.iterdir():
            path.chmod(0o644)
        old = beside.with_name(beside.name + ".old")
        try:
            if folder.exists():
                folder.rename(old)
            os.replace(beside, folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{folder} could not be written ({error.strerror or error}); nothing was changed, free some space or "
            "choose another place."
        ) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def write_file(path: str | Path) -> Iterator[Path]:
    """Yields a path beside `path`; if the block succeeds the file takes `path`'s place, else it is removed.

    Raises:
        CheckpointError: writing failed (disk full, no permission).
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}); free some space or choose another place."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
