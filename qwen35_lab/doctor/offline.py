"""The Hub: switched off or not, a mirror, what is in its cache, and room on the disk. It is asked only if told to."""

import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError

from .. import memory
from ..family import OFFICIAL
from .report import Finding

TOPIC = "files and the Hub"
SMALLEST = 2e9  # bytes: the smallest official checkpoint, and a little
PATIENCE = 5  # seconds


def look(hub: bool = False) -> Iterator[Finding]:
    yield switch()
    if hub:
        yield reach(_endpoint())
    cache = _cache()
    yield _room(cache)
    yield _cached(cache)


def switch() -> Finding:
    on = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if _true(os.environ.get(name, ""))]
    value = {"offline": bool(on), "endpoint": _endpoint()}
    if on:
        says = f"{' and '.join(on)} is set: nothing is fetched, the cache alone is used."
        return Finding(TOPIC, "Hub", "note", says, f"unset {on[0]}, to download checkpoints.", value)
    says = f"Downloads would come from {_endpoint()}; the models that ship with this package need none."
    return Finding(TOPIC, "Hub", "fine", says, value=value)


def reach(endpoint: str) -> Finding:
    """Ask the Hub for its front page's head, with a short patience."""
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=PATIENCE):
            pass
    except HTTPError:
        pass  # it answers
    except (URLError, OSError, ValueError) as error:
        says = f"{endpoint} does not answer ({getattr(error, 'reason', error)})."
        fix = 'Work offline: the shipped models, or lab.load("a folder with a checkpoint").'
        return Finding(TOPIC, "Hub reachable", "note", says, fix, False)
    return Finding(TOPIC, "Hub reachable", "fine", f"{endpoint} answers.", value=True)


def _room(cache: Path) -> Finding:
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    value = {"folder": str(cache), "exists": cache.is_dir(), "writable": os.access(there, os.W_OK), "free_bytes": free}
    says = f"{cache}, with {memory.in_words(free)} free."
    if not value["writable"]:
        return Finding(TOPIC, "cache folder", "problem", f"{says} It cannot be written to.",
                       "Set HF_HOME to a folder of yours.", value)  # fmt: skip
    if free < SMALLEST:
        return Finding(TOPIC, "cache folder", "note", f"{says} No official checkpoint would fit.",
                       "Set HF_HOME to a folder on a larger disk.", value)  # fmt: skip
    return Finding(TOPIC, "cache folder", "fine", says, value=value)


def _cached(cache: Path) -> Finding:
    """Official models of which the cache has weights."""
    found = [
        name for name in OFFICIAL if any(cache.glob(f"models--Qwen--{name}/snapshots/*/*.safetensors"))
    ]  # fmt: skip
    says = f"Weights in the cache: {', '.join(found)}." if found else "No official weights in the cache."
    fix = "" if found else 'Optional: lab.load("Qwen/Qwen3.5-0.8B") fetches 1.75 GB.'
    return Finding(TOPIC, "official checkpoints", "fine", says, fix, found)


def _cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _endpoint() -> str:
    from huggingface_hub.constants import ENDPOINT

    return ENDPOINT


def _true(text: str) -> bool:
    return text.strip().upper() in ("1", "ON", "YES", "TRUE")
