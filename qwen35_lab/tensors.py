"""The tensors of a checkpoint folder, by official name: in one file, or in several with an index.

Only safetensors are read. They are memory-mapped, and nothing is read before it is asked for.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .config import TextConfig
from .errors import CheckpointError
from .fp8 import FIELD, FP8, SCALE, BlockFP8, fault_of
from .quantise import dequantise

INDEX = "model.safetensors.index.json"


class StoredTensors:
    """All tensors of a folder's safetensors files, by official name; what is in FP8 is dequantised when it is read."""

    def __init__(self, folder: Path, stack: ExitStack, fp8: BlockFP8 | None = None):
        self.folder, self.fp8 = folder, fp8
        self.bytes = 0  # of what was read, as stored
        self.files: dict[str, Any] = {}
        self.where: dict[str, str] = {}
        for file in weight_files(folder):
            try:
                self.files[file] = stack.enter_context(safe_open(folder / file, framework="pt"))
            except (SafetensorError, OSError) as error:
                if isinstance(error, SafetensorError) and _is_lfs_pointer(folder / file):
                    raise CheckpointError(
                        f"{folder / file} only stands for weights in Git LFS; run `git lfs pull` in {folder}."
                    ) from error
                raise CheckpointError(
                    f"{folder / file} is damaged or only half downloaded ({error}); delete it and download it again."
                ) from error
            self.where |= dict.fromkeys(self.files[file].keys(), file)

    def __contains__(self, name: str) -> bool:
        return name in self.where

    def __iter__(self) -> Iterator[str]:
        return iter(self.where)

    def dtype(self, name: str) -> torch.dtype:
        return self._stored(name).dtype if name in self else torch.float32

    def notes(self) -> tuple[str, ...]:
        """Raises CheckpointError if config.json promises FP8 and no tensor is in it."""
        if self.fp8 is None:
            return ()
        count = sum(self._slice(name).get_dtype() == FP8 for name in self)
        if not count:
            raise CheckpointError(
                f"{self.folder}/config.json promises FP8 weights, and there are none; take out `{FIELD}` there."
            )
        rows, columns = self.fp8.block
        return (f"{count} tensors were in FP8, with a scale for each {rows} × {columns} block: dequantised.",)

    def sources(self, official: str, config: TextConfig) -> list[str]:
        """The tensors a parameter is made of: itself, or, where experts are stored one by one, all of theirs."""
        if official in self or ".mlp.experts." not in official:
            return [official]
        stem, part = official.rsplit(".", 1)
        parts = ("gate_proj", "up_proj") if part == "gate_up_proj" else ("down_proj",)
        return [f"{stem}.{e}.{p}.weight" for e in range(config.num_experts) for p in parts]

    def scales(self, sources: list[str]) -> list[str]:
        return [name + SCALE for name in sources if name + SCALE in self]

    def fault(self, sources: list[str]) -> str:
        """What is wrong with the scales of a parameter, or nothing."""
        pairs = ((name, self._slice(name + SCALE) if name + SCALE in self else None) for name in sources)
        return next(filter(None, (fault_of(name, self._slice(name), scale, self.fp8) for name, scale in pairs)), "")

    def misshapen(self, official: str, sources: list[str], shape: torch.Size) -> str:
        """What is wrong with the shapes of the tensors that a parameter of this shape is made of, or nothing."""
        wanted = list(shape)
        if sources != [official]:  # experts one by one, with gate and up apart
            wanted = [shape[0] * shape[1] // len(sources), shape[2]]
        wrong = ((name, list(self._slice(name).get_shape())) for name in sources)
        return next((f"{n} has shape {found}, expected {wanted}" for n, found in wrong if found != wanted), "")

    def _slice(self, name: str) -> Any:
        """Shape and dtype without the data."""
        return self.files[self.where[name]].get_slice(name)

    def _stored(self, name: str, index: int | None = None) -> Tensor:
        """A tensor, or the part of it at an index of its first axis."""
        tensor = self.files[self.where[name]].get_tensor(name)
        return tensor if index is None else tensor[index]

    def _one(self, name: str, dtype: torch.dtype, index: int | None = None) -> Tensor:
        """A tensor as stored, or a part of it; out of FP8 in `dtype`, or in float32 if that is wider."""
        tensor = self._stored(name, index)
        self.bytes += tensor.numel() * tensor.element_size()
        if self.fp8 is None or name + SCALE not in self:
            return tensor
        scale = self._stored(name + SCALE, index)
        self.bytes += scale.numel() * scale.element_size()
        return dequantise(tensor, scale, self.fp8.block, dtype)

    def read(self, official: str, sources: list[str], dtype: torch.dtype) -> Tensor:
        """The parameter [shape as in the model]; per-expert tensors are fused."""
        found = [self._one(name, dtype) for name in sources]
        if sources == [official]:
            return found[0]
        if official.endswith("gate_up_proj"):
            found = [torch.cat(pair) for pair in zip(found[::2], found[1::2], strict=True)]
        return torch.stack(found)

    def read_expert(self, official: str, sources: list[str], index: int, dtype: torch.dtype) -> Tensor:
        """`read(…)[index]`, with nothing read of the other experts."""
        if sources == [official]:
            return self._one(official, dtype, index)
        each = 2 if official.endswith("gate_up_proj") else 1
        found = [self._one(name, dtype) for name in sources[each * index : each * (index + 1)]]
        return found[0] if each == 1 else torch.cat(found)


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(40).startswith(b"version https://git-lfs")


def shard_names(index: Path) -> list[str]:
    """The files that an index spreads the tensors over.

    Raises:
        CheckpointError: it is damaged, or names what lies outside its folder.
    """
    try:
        names = {Path(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{index} is damaged; download it again.") from error
    for path in map(PureWindowsPath, names):  # which knows both kinds of slash
        if path.anchor or ".." in path.parts:
            raise CheckpointError(f"{index} names {path.as_posix()}, which lies outside its folder; do not load it.")
    return sorted(map(str, names))


def weight_files(folder: Path) -> list[str]:
    """The safetensors of a checkpoint, all there. Raises CheckpointError if they are not, or if there are none."""
    index = folder / INDEX
    if index.exists():
        files = shard_names(index)
        if missing := [f for f in files if not (folder / f).exists()]:
            raise CheckpointError(
                f"{folder} lacks {len(missing)} of its {len(files)} weight files, first {missing[0]}; "
                "download the checkpoint again, finished files are kept."
            )
        return files
    if (folder / "model.safetensors").exists():
        return ["model.safetensors"]
    pickled = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt*")]
    found = f"only {pickled[0]}" if pickled else "no weights"
    raise CheckpointError(f"{folder} holds {found}; only safetensors are read, so fetch model.safetensors.")


def stored_bytes(folder: Path) -> int:
    """Of all weight files. Raises CheckpointError as `weight_files`."""
    return sum((folder / file).stat().st_size for file in weight_files(folder))
