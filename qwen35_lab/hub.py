"""Checkpoints from the Hugging Face Hub, through its own client: cached, resumable, with its own progress bars."""

from pathlib import Path

from .errors import CheckpointError

WEIGHTS = "*.safetensors"
PATTERNS = ("*.json", WEIGHTS, "*.jinja", "merges.txt", "vocab.json")


def download(repo: str, revision: str | None = None, *, weights: bool = True) -> tuple[Path, str]:
    """The folder of a Hub repository on this machine and its commit; files already there are not fetched again.

    Args:
        weights: False leaves them out; a tokenizer is a few megabytes.

    Without a network, or with HF_HUB_OFFLINE=1, the local cache is used if it has the checkpoint.

    Raises:
        CheckpointError: no such repository or revision, no access, or no network and not in the cache.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f" at revision {revision}" if revision else ""
    try:
        patterns = [pattern for pattern in PATTERNS if weights or pattern != WEIGHTS]
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise CheckpointError(f"{repo} asks for its terms to be accepted; do so on its page and log in.") from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"The Hub has no {repo}{at} that you may read; check the name and the revision."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise CheckpointError(
            f"{repo}{at} is not in the local cache and the Hub cannot be reached; connect to the internet, or pass "
            "the folder of a copy."
        ) from error
    except Exception as error:  # whatever the client's transport raises when a connection drops
        raise CheckpointError(
            f"{repo}{at} could not be downloaded ({error}); try again, finished files are kept."
        ) from error
    if weights and not any(folder.glob(WEIGHTS)):
        raise CheckpointError(
            f"{repo}{at} is not completely in the local cache ({folder} has no weights); connect to the internet and "
            "load it again."
        )
    return folder, folder.name
