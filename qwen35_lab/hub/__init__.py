"""Checkpoints from the Hugging Face Hub or a mirror of it, into the cache that other tools share.

huggingface_hub asks the Hub, lays out the cache and knows the token; transfer.py brings the files. Only those that a
checkpoint needs are fetched, the config first: a model of another family is refused before its weights come.
"""

import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock

from tqdm.auto import tqdm

from ..config import ModelConfig
from ..errors import CheckpointError
from ..files import SIDE_FILES
from ..memory import in_words
from ..tensors import INDEX, shard_names
from .place import COMMIT, Place, address, named
from .refusals import explain, is_final, is_strange
from .transfer import DiskFull, Remote, fetch, partial, reason

__all__ = ["download"]

HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
WEIGHTS = re.compile(r"[^/]+\.safetensors")
SIDE = {"config.json", INDEX, *SIDE_FILES} - {"README.md", "LICENSE"}
AT_ONCE = 4  # files


def download(
    repo: str, revision: str | None = None, *, weights: bool = True, endpoint: str | None = None
) -> tuple[Path, str]:
    """The folder of a Hub repository in the local cache and its commit; what is there already is not fetched again.

    Args:
        revision: a branch, tag or commit; None is the newest. A whole commit that is in the cache needs no network.
        weights: False leaves them out; a tokenizer is a few megabytes.
        endpoint: address of a mirror; None takes HF_ENDPOINT, or the Hub itself. It is sent the Hub's token, if there
            is one, and no host that it redirects to is.

    Without a network, or with HF_HUB_OFFLINE=1, the local cache is used if it has the checkpoint.

    Raises:
        CheckpointError: no such repository or revision, no access, no network and not in the cache, no space on the
            disk, or files that are not what the repository promises.
        ConfigError: a checkpoint of another family.
        InputError: an endpoint that is no address, or a revision that is no name.
    """
    place = Place(repo, named(revision), address(endpoint))
    if revision and COMMIT.fullmatch(revision) and (found := place.cached(weights, tokenizer=True)):
        return found, revision
    try:
        commit, files = _listing(place)
    except CheckpointError:
        raise
    except Exception as error:  # of the Hub's client, and of the HTTP library below it
        if not is_final(error) and (found := place.cached(weights)):
            return found, found.name
        raise CheckpointError(explain(place, error)) from (error if is_strange(error) else None)
    _complete(place, commit, files, weights)
    place.remember(commit)
    return place.snapshots / commit, commit


def _complete(place: Place, commit: str, files: dict[str, Remote], weights: bool) -> None:
    """Fetch what the snapshot of a commit lacks: first what is small, and then what the index says."""
    folder, side = place.snapshots / commit, sorted(SIDE & files.keys())
    shards = _shards(place, files) if weights else []
    _make_room(place, [files[n] for n in side + shards if not _is_there(folder / n, files[n])])
    _bring(place, commit, [files[n] for n in side])
    if not weights:
        return
    ModelConfig.from_file(folder)
    if INDEX in files:
        shards = shard_names(folder / INDEX)
    if lost := [n for n in shards if n not in files]:
        raise CheckpointError(f"{place} lacks {lost[0]}, which its own index names; try another revision.")
    _must_be_known(place, [files[n] for n in shards])
    _bring(place, commit, [files[n] for n in shards])


def _listing(place: Place) -> tuple[str, dict[str, Remote]]:
    """The commit of a repository's revision, and its files."""
    from huggingface_hub import HfApi, constants, hf_hub_url

    info = HfApi(endpoint=place.endpoint).model_info(
        place.repo, revision=place.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
    )
    commit, files = info.sha or "", {}
    for file in info.siblings or ():
        url = hf_hub_url(place.repo, file.rfilename, revision=commit, endpoint=place.endpoint)
        known = (file.lfs.sha256 if file.lfs else file.blob_id) or ""
        files[file.rfilename] = Remote(file.rfilename, url, file.size or 0, "" if file.size is None else known)
    needed = [file for name, file in files.items() if name in SIDE or WEIGHTS.fullmatch(name)]
    if not COMMIT.fullmatch(commit):
        raise _unsaid(place)
    _must_be_known(place, needed)
    return commit, files


def _must_be_known(place: Place, files: Iterable[Remote]) -> None:
    """Refuse what cannot be checked. A hash is the name of a file in the cache, too."""
    if not all(HASH.fullmatch(file.hash) for file in files):
        raise _unsaid(place)


def _unsaid(place: Place) -> CheckpointError:
    return CheckpointError(
        f"{place.endpoint} does not say which files {place} has, with sizes and hashes; pass another mirror as "
        "endpoint."
    )


def _shards(place: Place, files: dict[str, Remote]) -> list[str]:
    """The files that may hold weights; the index, which is not here yet, says which of them do."""
    names = [name for name in files if WEIGHTS.fullmatch(name)]
    names = [name for name in names if name.startswith("model")] or names  # FP8 files are `layers-0.safetensors` …
    if "config.json" not in files or not names or (INDEX not in files and "model.safetensors" not in files):
        others = {Path(name).suffix for name in files} & {".gguf", ".bin", ".pt", ".pth"}
        instead = f", only {', '.join(sorted(others))} files" if others else ""
        raise CheckpointError(
            f"{place} holds no checkpoint in safetensors with a config.json{instead}; load the repository that it was "
            "made from."
        )
    return sorted(names) if INDEX in files else ["model.safetensors"]


def _is_there(path: Path, file: Remote) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _make_room(place: Place, files: list[Remote]) -> None:
    """Refuse what the disk has no space for, before anything comes."""
    needed = 0
    for file in {file.hash: file for file in files}.values():
        if not _is_there(blob := place.blob(file), file):
            part = partial(blob)
            needed += max(0, file.size - (part.stat().st_size if part.exists() else 0))
    at = next(folder for folder in (place.cache, *place.cache.parents) if folder.exists())
    if needed > (free := shutil.disk_usage(at).free):
        raise CheckpointError(
            f"{place} needs {in_words(needed)} more, and the disk of {place.cache} has {in_words(free)}; free some "
            "space, or set HF_HOME to a folder on another disk before Python starts."
        )


def _bring(place: Place, commit: str, files: list[Remote]) -> None:
    """Fetch files that are not in the cache's snapshot of a commit, and link them there."""
    from huggingface_hub import snapshot_download

    folder = place.snapshots / commit
    missing = [file for file in files if not _is_there(folder / file.name, file)]
    if not missing:
        return
    try:
        for file in missing:
            for path in (folder / file.name, place.blob(file)):
                if path.is_file() and not _is_there(path, file):  # cut short, perhaps by a crash of the machine
                    path.unlink()
        _fetch_all(place, missing)
        snapshot_download(
            place.repo, revision=commit, endpoint=place.endpoint, allow_patterns=[f.name for f in missing],
            tqdm_class=_Silent,
        )  # fmt: skip
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{place} could not be downloaded ({reason(error)}); try again, what has come is kept."
        ) from (error if is_strange(error) else None)
    if lost := [file.name for file in files if not _is_there(folder / file.name, file)]:
        raise CheckpointError(f"{place.endpoint} sends {lost[0]} in another size than it says; pass another mirror.")


def _fetch_all(place: Place, files: Iterable[Remote]) -> None:
    """Fetch several files at a time, with one bar; after an error or Ctrl-C, all stop."""
    from huggingface_hub.utils import are_progress_bars_disabled

    files = list({file.hash: file for file in files}.values())
    stop, lock, size = Event(), Lock(), sum(file.size for file in files)
    quiet = are_progress_bars_disabled() or size < 1e6
    with (
        tqdm(total=size, desc=place.repo, unit="B", unit_scale=True, leave=False, disable=quiet) as bar,
        ThreadPoolExecutor(AT_ONCE, "download") as pool,
    ):

        def moved(count: int) -> None:
            with lock:
                bar.update(count)

        jobs = [pool.submit(fetch, file, place.blob(file), place.lock(file), moved, stop) for file in files]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException as error:
            stop.set()
            pool.shutdown(cancel_futures=True)
            for file in files if isinstance(error, DiskFull) else ():
                partial(place.blob(file)).unlink(missing_ok=True)
            raise


class _Silent(tqdm):
    """For bars of the Hub's client, which would count files that are here already."""

    def __init__(self, *args: object, **settings: object):
        super().__init__(disable=True)
