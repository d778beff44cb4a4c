"""What went wrong with a question to the Hub, in a sentence, and what to do about it."""

import difflib

from ..family import repositories
from .place import Place
from .transfer import reason

LOG_IN = "log in with `hf auth login`"
MIRROR = "pass a mirror as endpoint, or the folder of a copy"


def is_final(error: Exception) -> bool:
    """Whether an older copy in the cache would be no answer to what was asked for."""
    from huggingface_hub.errors import HFValidationError, RevisionNotFoundError

    return isinstance(error, HFValidationError | RevisionNotFoundError)


def is_strange(error: Exception) -> bool:
    """Whether `explain` can only guess what is behind it, so that its traceback still tells something."""
    from huggingface_hub.errors import HFValidationError

    return isinstance(error, ValueError | TypeError | KeyError) and not isinstance(error, HFValidationError)


def explain(place: Place, error: Exception) -> str:
    """The sentence for an error of the Hub's client, or of the HTTP library below it."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return f"{place.repo!r} cannot be the name of a repository; check the name."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{place.repo} has no revision {place.revision!r}; pass a branch, a tag or a commit, or none."
    if isinstance(error, errors.GatedRepoError):
        page = f"{place.endpoint}/{place.repo}"
        return f"{place.repo} asks for its terms to be accepted; do so on {page}, and {LOG_IN}."
    if isinstance(error, errors.RepositoryNotFoundError):
        advice = f"did you mean {meant!r}?" if (meant := _meant(place.repo)) else f"check the name, or {LOG_IN}."
        return f"The Hub has no {place} that you may read; {advice}"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status == 401:  # else it would have been a repository that is not there
            return f"{_not_here(place)}, and {place.endpoint} does not accept your token; {LOG_IN} again."
        why = "too many requests came from here" if status == 429 else f"it answers {status}"
        return f"{_not_here(place)}, and {place.endpoint} does not serve it now ({why}); try again later, or {MIRROR}."
    if is_strange(error):  # a page to log in to a network, most likely
        return f"{_not_here(place)}, and {place.endpoint} does not answer as the Hub does; open it in a browser."
    advice = f"did you mean {meant!r}? Else connect" if (meant := _meant(place.repo)) else "connect"
    why = "HF_HUB_OFFLINE is set" if isinstance(error, errors.OfflineModeIsEnabled) else reason(error)
    return f"{_not_here(place)} and the Hub cannot be reached ({why}); {advice} to the internet, or {MIRROR}."


def _not_here(place: Place) -> str:
    return f"{place} is not {'completely ' if place.snapshots.exists() else ''}in the local cache"


def _meant(repo: str) -> str | None:
    """The repository of the family whose name is nearly this one."""
    known, asked = {name.casefold(): name for name in repositories()}, repo.casefold()
    if repo in known.values():
        return None
    near = [name for name in known if name.startswith(asked)] or difflib.get_close_matches(asked, known, cutoff=0.8)
    return known[near[0]] if near else None
