"""From what a person writes to what it means: a checkpoint's folder, a dtype, a device."""

import difflib
import os
from pathlib import Path

import torch

from .errors import CheckpointError, InputError
from .family import OFFICIAL
from .hub import download
from .paths import data_path

DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16", "float64")}


def find_folder(
    name: str | os.PathLike[str], revision: str | None, *, weights: bool = True, endpoint: str | None = None
) -> tuple[Path, str | None]:
    """A checkpoint's folder on this machine, downloaded if need be, perhaps without weights; and its commit."""
    if not isinstance(name, str | os.PathLike) or not os.fspath(name):
        raise CheckpointError(f"{name!r} names no checkpoint; pass a shipped name, a folder or a Hub id.")
    path, text = Path(name).expanduser(), os.fspath(name)
    shipped = sorted(p.parent.name for p in data_path().glob("*/model.safetensors"))
    if revision and (path.exists() or text in shipped):
        raise InputError(f"A revision is of a Hub repository, and {text!r} is on this machine; leave out revision.")
    if path.is_dir():
        return path.resolve(), None
    if text in shipped:
        return data_path(text), None
    if path.is_file():
        raise CheckpointError(f"{path} is a file; pass the folder that holds config.json and the weights.")
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        return download(text, revision, weights=weights, endpoint=endpoint)
    known = {n.casefold(): n for n in shipped} | {n.casefold(): f"Qwen/{n}" for n in OFFICIAL}
    near = difflib.get_close_matches(text.casefold(), known, n=1)
    hint = f"pass a folder, a Hub id such as Qwen/{OFFICIAL[0]}, or one of {shipped}."
    if near:
        hint = f"did you mean {known[near[0]]!r}?"
    raise CheckpointError(f"There is no folder and no shipped model {text!r}; {hint}")


def find_dtype(name: str | torch.dtype | None) -> torch.dtype | None:
    if name is None or name in DTYPES.values():
        return name  # type: ignore[return-value]
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is not known; use {', '.join(DTYPES)}.")
    return DTYPES[name]  # type: ignore[index]


def find_device(name: str | torch.device) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device).sum().item()  # "meta" is a device without data
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise InputError(f"device {str(name)!r} is not available here; use 'cpu' or 'auto'.") from error
    return device
