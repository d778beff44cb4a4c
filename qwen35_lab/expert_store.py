"""Routed experts that stay in their files: those that a router has chosen are read, and the last ones used are kept.

    qwen = lab.load(folder, experts="disk", expert_budget="4 GB")      or a number of experts
    qwen.experts                                                       what is in memory, and how often that helped

An expert is both of its matrices. If it is not in memory when it is asked for, it is read, and before that the one that
was not asked for the longest goes, where there is no more room ("least recently used", LRU). All layers share the room.

The files are read, not memory-mapped. A mapped page counts as this process's memory until the system takes it back, so
that a budget would bound nothing; and where a mapped file is cut short, the process dies without a word. For the same
reason the rest of such a model is copied out of the files when it is loaded.

Reference: Eliseev & Mazur 2023 (arXiv 2312.17238), for an LRU of experts; the format of safetensors is eight bytes with
the length of a header in JSON, the header, the data.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from math import prod
from numbers import Integral
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .config import TextConfig
from .errors import CheckpointError, InputError
from .fp8 import FP8, BlockFP8
from .memory import free, in_bytes, in_words
from .model import TextModel
from .tensors import StoredTensors

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          FP8: torch.float8_e4m3fn}  # fmt: skip


class Place(NamedTuple):
    """Where a tensor lies."""

    path: Path
    begin: int  # byte
    dtype: torch.dtype
    shape: tuple[int, ...]


class UnmappedTensors(StoredTensors):
    """The same tensors, copied out of their files; those can be closed in between, and opened again."""

    def __init__(self, folder: Path, stack: ExitStack, fp8: BlockFP8 | None = None):
        super().__init__(folder, stack, fp8)
        self.states = {folder / file: _state(os.stat(folder / file)) for file in self.files}
        self.places = {name: place for path in self.states for name, place in _places(path).items()}

    def dtype(self, name: str) -> torch.dtype:
        return self.places[name].dtype if name in self.places else torch.float32

    def _stored(self, name: str, index: int | None = None) -> Tensor:
        """Raises CheckpointError where the file has changed, is cut short, or is gone."""
        if name not in self.places:
            raise CheckpointError(f"{name} is in no number format of weights; leave out experts='disk'.")
        path, begin, dtype, shape = self.places[name]
        if index is not None:
            shape = shape[1:]
            begin += index * prod(shape) * dtype.itemsize
        found = _room(shape, dtype, begin)
        room: Any = found.flatten().view(torch.uint8).numpy()
        try:
            with path.open("rb") as file:
                file.seek(begin)
                whole = file.readinto(room) == room.nbytes
                same = _state(os.fstat(file.fileno())) == self.states[path]
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read any more ({error.strerror}), and this model's experts are in it; "
                "put it back, or load the model again."
            ) from error
        if not (whole and same):
            raise CheckpointError(
                f"{path} has changed since this model was loaded, and its experts are read from it; "
                "load the model again, and leave the files alone while it runs."
            )
        return found


class ExpertStore:
    """The experts of a model that stay in their files, and the last ones used. Its methods may be called in any thread.

    Attributes: `budget` (how many are kept), `total` (how many there are), `size` (bytes of one in memory), `asked`
    (times that one was needed), `read` (times that it was not in memory).
    """

    def __init__(self, tensors: UnmappedTensors, config: TextConfig, dtype: torch.dtype, device: torch.device | str):
        self.budget = self.total = self.asked = self.read = 0
        self.size = 3 * config.hidden_size * config.moe_intermediate_size * dtype.itemsize
        self._tensors, self._dtype, self._device = tensors, dtype, device
        self._experts = config.num_experts
        self._before = 0  # bytes that had been read when counting began
        self._parts: dict[str, dict[str, tuple[str, list[str]]]] = {}  # layer -> matrix -> its name and its tensors
        self._kept: OrderedDict[tuple[str, int], tuple[Tensor, Tensor]] = OrderedDict()  # the last used one last
        self._lock = Lock()

    def __repr__(self) -> str:
        held = f"{len(self._kept)} of {self.total} experts in memory, {in_words(self.bytes)} of {in_words(self.whole)}"
        if not self.asked:
            return f"{held}; room for {self.budget}, none asked for yet"
        return (
            f"{held}; room for {self.budget}, {self.hit_rate:.1%} of {self.asked:,} times the expert was there; "
            f"{in_words(self.bytes_read)} read"
        )

    def __deepcopy__(self, memo: object) -> "ExpertStore":
        return self  # a model's twin has the same weights

    @property
    def hit_rate(self) -> float:
        """How often an expert was in memory when it was needed; NaN before one was."""
        return 1 - self.read / self.asked if self.asked else float("nan")

    @property
    def bytes(self) -> int:
        """In memory now."""
        return len(self._kept) * self.size

    @property
    def whole(self) -> int:
        """Bytes that all experts would take in memory."""
        return self.total * self.size

    @property
    def bytes_read(self) -> int:
        """From the files, as they are stored there."""
        return self._tensors.bytes - self._before

    def keep(self, budget: int | str | None) -> None:
        """Keep up to so many experts from now on, or so many bytes of them ("4 GB"), or half of what memory is free.

        Raises:
            InputError: no number and no size, or less than one expert.
        """
        room = free(torch.device(self._device)) / 2 if budget is None else 0
        if isinstance(budget, str):
            room = in_bytes(budget)
        whole = isinstance(budget, Integral) and not isinstance(budget, bool)  # of any library
        count = int(budget) if whole else int(min(room, self.whole) // self.size)  # pyright: ignore[reportArgumentType]
        if count < 1:
            raise InputError(
                f"expert_budget={budget!r} holds no expert; pass how many to keep, or a size such as '4 GB': one takes "
                f"{in_words(self.size)}."
            )
        with self._lock:
            self.budget = min(count, self.total)
            self._make_room(0)

    def forget(self) -> None:
        """Let all experts go, and count anew."""
        with self._lock:
            self._kept.clear()
            self.asked = self.read = 0
            self._before = self._tensors.bytes

    def expert(self, layer: str, index: int) -> tuple[Tensor, Tensor]:
        """Both matrices of one expert, [2F, H] and [H, F].

        Raises:
            CheckpointError: the file has changed, is cut short, or is gone.
        """
        key = layer, index
        with self._lock:
            self.asked += 1
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            self._make_room(1)
            self.read += 1
            gate_up, down = (self._read(*self._parts[layer][part], index) for part in ("gate_up_proj", "down_proj"))
            self._kept[key] = gate_up, down
            return gate_up, down

    def _make_room(self, new: int) -> None:
        while len(self._kept) + new > self.budget:
            self._kept.popitem(last=False)

    def _read(self, official: str, sources: list[str], index: int) -> Tensor:
        """One matrix, as it lies in a loaded model; no inference tensor, so that it serves training, too."""
        with torch.inference_mode(False):
            found = self._tensors.read_expert(official, sources, index, self._dtype).to(self._dtype)
            place = self._tensors.places.get(official)
            if place is None or place.dtype != self._dtype:  # in a loaded model a stack of them begins at a line
                begin = index * found.nbytes
                if (begin - found.data_ptr()) % 64:
                    found = _room(found.shape, found.dtype, begin).copy_(found)
            return found.to(self._device)

    def take(self, model: nn.Module, name: str, official: str, sources: list[str]) -> None:
        """Leave one of our parameters, a stack of experts, in the files."""
        layer, _, part = name.rpartition(".")
        ffn: Any = model.get_submodule(layer)
        ffn.register_parameter(part, None)
        ffn.stored = partial(self.expert, layer)
        if layer not in self._parts:
            self.total += self._experts
        self._parts.setdefault(layer, {})[part] = official, sources

    def note(self, config: TextConfig) -> str:
        """For a report, of a model of this config."""
        needed = len(config.layer_types) * config.num_experts_per_tok
        few = " With room for fewer than that, nearly every one is read anew." if self.budget < needed else ""
        return (
            f"{self.total:,} experts ({in_words(self.whole)}) stay in the files; there is room for {self.budget:,} "
            f"({in_words(self.budget * self.size)}), and a token asks for {needed}.{few}"
        )


def is_on_disk(model: TextModel) -> bool:
    """Are a model's routed experts in files?"""
    return any(getattr(module, "stored", None) for module in model.modules())


def _room(shape: tuple[int, ...], dtype: torch.dtype, begin: int) -> Tensor:
    """An empty tensor that begins as far behind a line of 64 bytes as `begin` does.

    Products of the same matrices differ in their last bits with that (vector registers are 16 to 64 bytes wide), and a
    mapped tensor of the loaded model begins wherever it does in its file.
    """
    with torch.inference_mode(False):
        room = torch.empty(prod(shape) * dtype.itemsize + 64, dtype=torch.uint8)
        room = room[(begin - room.data_ptr()) % 64 :][: prod(shape) * dtype.itemsize]
        return torch.frombuffer(room.numpy(), dtype=dtype).view(shape)  # `room.view` takes no odd beginnings


def _state(found: os.stat_result) -> tuple[int, int]:
    """What changes when a file is written to."""
    return found.st_size, found.st_mtime_ns


def _places(path: Path) -> Mapping[str, Place]:
    """Of all tensors with a number format that weights have; safetensors has checked the header before."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {
        name: Place(path, 8 + length + each["data_offsets"][0], DTYPES[each["dtype"]], tuple(each["shape"]))
        for name, each in header.items()
        if name != "__metadata__" and each["dtype"] in DTYPES
    }
