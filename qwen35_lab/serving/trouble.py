"""What goes wrong between a client and a server, each as one sentence that says what to do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ServerError

SHORT = 200  # characters of what a server said


@contextmanager
def explained(url: str, seconds: float) -> Iterator[None]:
    """Turns what the transport raises into a `ServerError`."""
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ServerError(
            f"No server answers at {url}; start one (`lab.serve_command` has the line), or check the address."
        ) from error
    except httpx.TimeoutException as error:
        raise ServerError(
            f"The server at {url} has said nothing for {seconds:g} seconds; wait for it, or pass a longer timeout."
        ) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ServerError(f"{url} is no address of a server; write one such as http://localhost:8000/v1.") from error
    except httpx.HTTPError as error:
        raise broke_off(url) from error


def broke_off(url: str) -> ServerError:
    return ServerError(
        f"The server at {url} broke off in the middle of an answer; see whether it still runs, and ask again."
    )


def nonsense(url: str, said: str) -> ServerError:
    return ServerError(
        f"What the server at {url} sends is no chat answer ({shortened(said)}); check the address, "
        "which ends in /v1 with most servers."
    )


def failed(url: str, said: Any) -> ServerError:
    """An error that comes where the answer should be."""
    return ServerError(f"The server at {url} failed while it was answering ({reason(said)}); its log says more.")


def refusal(url: str, status: int, body: str) -> ServerError:
    """For an answer with a status that is not 200."""
    try:
        why = reason(json.loads(body))
    except ValueError:
        why = shortened(body) or "it does not say why"
    if status >= 500:
        return ServerError(f"The server at {url} failed ({status}: {why}); its log says more.")
    if status in (401, 403):
        return ServerError(f"The server at {url} lets nobody in without a key ({status}: {why}); pass api_key.")
    if status == 404:
        return ServerError(
            f"The server at {url} does not know this model or address ({status}: {why}); `client.models()` lists its "
            "models, and with most servers the address ends in /v1."
        )
    return ServerError(f"The server at {url} refuses the request ({status}: {why}); change what it names.")


def reason(said: Any) -> str:
    """The words in an error, wherever this kind of server puts them."""
    for key in ("error", "detail", "message", "msg"):
        if isinstance(said, dict) and said.get(key):
            return reason(said[key])
    if isinstance(said, list) and said:
        return reason(said[0])
    return shortened(said if isinstance(said, str) else json.dumps(said))


def shortened(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= SHORT else line[: SHORT - 1] + "…"
