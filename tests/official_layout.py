"""Checkpoints in the layout of the official ones: names, shapes, dtypes, shard naming; weights random and cheap.

Names and shapes are `family.tensor_shapes`, which test_family.py holds against transformers and the published totals.
A tensor is filled from one block of random numbers, again and again from another place; what is left out is a hole in
the file, reads as zeros and takes no space on the disk.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import torch

from qwen35_lab.config import ModelConfig
from qwen35_lab.family import tensor_shapes
from qwen35_lab.family.shapes import is_float32

BLOCK = 1_000_003  # random numbers; a prime, so that no two rows of a matrix are alike

Shapes = Mapping[str, tuple[int, ...]]


def one_by_one(shapes: Shapes, which: str) -> dict[str, tuple[int, ...]]:
    """The same with the fused experts of matching layers stored apart, as in the 397B's MTP head and the FP8 files."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        stem, _, part = name.rpartition(".")
        if not name.endswith((".experts.gate_up_proj", ".experts.down_proj")) or not re.match(which, name):
            found[name] = shape
            continue
        rows = shape[1] // 2 if part == "gate_up_proj" else shape[1]
        for proj in ("gate_proj", "up_proj") if part == "gate_up_proj" else ("down_proj",):
            found |= {f"{stem}.{e}.{proj}.weight": (rows, shape[2]) for e in range(shape[0])}
    return found


def write_checkpoint(
    folder: Path, raw: dict[str, Any], *, shards: int = 1, apart: str = "", leading: Mapping[str, int] | None = None
) -> Shapes:
    """Write `config.json`, an index and `model.safetensors-00001-of-….safetensors`; returns names and shapes.

    Args:
        apart: regular expression of the layers whose experts are stored one by one.
        leading: regular expression of names -> so many leading rows (or experts) are filled, the others zero.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(raw))
    fused = dict(tensor_shapes(ModelConfig.from_dict(raw)))
    shapes = one_by_one(fused, apart) if apart else fused
    names, weight_map = sorted(shapes), {}
    for n in range(shards):
        file = f"model.safetensors-{n + 1:05d}-of-{shards:05d}.safetensors"
        part = names[n * len(names) // shards : (n + 1) * len(names) // shards]
        _write(folder / file, {name: shapes[name] for name in part}, leading or {})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": data_bytes(shapes)}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return shapes


def data_bytes(shapes: Shapes) -> int:
    return sum(prod(shape) * (4 if is_float32(name) else 2) for name, shape in shapes.items())


def _write(path: Path, shapes: Shapes, leading: Mapping[str, int]) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        size = prod(shape) * (4 if is_float32(name) else 2)
        kind = "F32" if is_float32(name) else "BF16"
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(words)) + words)
        begin = file.tell()
        file.truncate(begin + end)
        for name, shape in shapes.items():
            file.seek(begin + header[name]["data_offsets"][0])
            for piece in _numbers(name, shape, leading):
                file.write(piece)


def _numbers(name: str, shape: tuple[int, ...], leading: Mapping[str, int]) -> Iterator[memoryview]:
    """The bytes of a tensor that are not zero. An expert stored alone has the numbers that it has among the fused."""
    expert = re.search(r"\.experts\.(\d+)\.(\w+)_proj\.weight$", name)
    fused = (
        name if not expert else f"{name[: expert.start()]}.experts.{'down' if expert[2] == 'down' else 'gate_up'}_proj"
    )
    first = int(expert[1]) if expert else 0
    limit = next((n for pattern, n in leading.items() if re.search(pattern, fused)), None)
    if expert and limit is not None and first >= limit:
        return
    rows = shape[0] if expert or limit is None else min(limit, shape[0])
    count = rows * prod(shape[1:])
    skipped = first * (2 if expert and expert[2] != "down" else 1) * prod(shape)  # of the fused tensor
    skipped += prod(shape) if expert and expert[2] == "up" else 0
    block = _block(_scale(name, shape), is_float32(name))
    width = 4 if is_float32(name) else 2
    at = (sum(fused.encode()) * 7919 + skipped) % BLOCK
    while count:
        taken = min(count, BLOCK - at)
        yield block[at * width : (at + taken) * width]
        count, at = count - taken, 0


def _scale(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(mean, standard deviation) at which every tensor matters and nothing overflows."""
    if name.endswith("A_log"):
        return -2.0, 1.0
    if name.endswith("linear_attn.norm.weight") or re.search(r"visual.*norm\d?\.weight$", name):
        return 1.0, 0.25
    if name.endswith("mlp.gate.weight"):
        return 0.0, 4 * shape[-1] ** -0.5  # a router that has preferences
    if len(shape) == 1:
        return 0.0, 0.25
    return 0.0, 1.0 if "embed" in name or "conv1d" in name else round(
        prod(shape[1:] if "patch" in name else shape[-1:]) ** -0.5, 4
    )


@cache
def _block(scale: tuple[float, float], float32: bool) -> memoryview:
    mean, deviation = scale
    numbers = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)) * deviation + mean
    numbers = numbers if float32 else numbers.bfloat16().view(torch.int16)
    return memoryview(numbers.numpy()).cast("B")
