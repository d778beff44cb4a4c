"""A trace as one file: safetensors, with what is not a tensor as JSON in the header.

Values that are the same memory (what leaves a layer enters the next) are stored once.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import CheckpointError, TraceError
from .files import write_file

KEY, FORMAT = "qwen35_lab.trace", 1


def write(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> Path:
    """Write tensors by name, and a dictionary that JSON can hold."""
    first: dict[tuple, str] = {}
    same = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and first.setdefault(place, name) != name:
            same[name] = first[place]
    # a copy of each: neither strides nor memory shared by parts of one tensor can be stored
    kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items() if name not in same}
    header = json.dumps({"format": FORMAT, "same": same, "order": list(tensors), **about})
    try:
        with write_file(path) as beside:
            save_file(kept, beside, metadata={KEY: header})
            beside.chmod(0o644)
    except (CheckpointError, SafetensorError, OSError) as error:
        reason = str(error).removesuffix(".")
        raise TraceError(f"The trace was not saved: {reason}.") from error
    return path


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write` wrote: tensors in their order, and the dictionary."""
    if not path.is_file():
        raise TraceError(f"There is no trace file {path}; save one with trace.save(…).")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            if about["format"] != FORMAT:
                raise TraceError(
                    f"{path} is a trace of format {about['format']}, and this version reads format {FORMAT}; update "
                    "Qwen3.5 Lab, or record the trace again."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            same = about["same"]
            return {name: tensors[same.get(name, name)] for name in about["order"]}, about
    except TraceError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> TraceError:
    return TraceError(f"{path} is damaged or is no trace ({error}); record it again.")
