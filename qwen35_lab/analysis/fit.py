"""Will it fit? What a model takes to read a text and to write on, term by term, from its config alone.

* **weights**: the checkpoint in a precision, with what stays in 16 and 32 bits (family/stored.py): exact for our files.
* **keys and values, states, inputs of the convolutions**: exact, of a cache that holds `context` tokens (family/sizes).
* **room to grow**: buffers of keys and values have room for some tokens more than the text, and DeltaNet states exist
  twice while a pass makes new ones (estimate.py, from model/cache.py). An answer of more than 2,048 tokens makes the
  buffers grow by half, which is not in it.
* **activations**: the most that one part of the model has alive at once while it reads a piece of 2,048 tokens, with
  the mask that the piece wants on a GPU (estimate.py). Approximate, and of our PyTorch code: fused kernels take less.
* **runtime**: Python and PyTorch on a CPU, measured; the CUDA context and its libraries for each GPU, assumed.

Approximate as a whole: allocators round up and leave holes. Tests, and tests/benchmarks/fit_bench.py, compare it with
what runs took. Low-bit weights are taken to be multiplied as they are, without a copy in 16 bits. With `experts="disk"`
the routed experts are left out, but for room for those that one token asks for, the least that is of use.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import cast
from ..config import ModelConfig
from ..errors import InputError
from ..estimate import TraceSize, estimate
from ..family import OFFICIAL, load_config
from ..family.sizes import BITS
from ..family.stored import CACHE, TEXT, WEIGHTS, loaded_bytes, routed_bytes
from ..memory import in_words
from ..model import TextModel, build
from .devices import Device, find
from .recorded import counted

PRECISIONS = ("bfloat16", "fp8", "int8", "int4")
CONTEXTS = (4_096, 32_768, 262_144)
RUNTIME = {"cpu": 0.4e9, "cuda": 0.8e9}  # bytes; the first measured (fit_bench.py), the second assumed
TERMS = (*WEIGHTS, *CACHE, "room to grow", "activations", "runtime")


@dataclass(frozen=True, repr=False)
class Footprint:
    """What a model takes, by term, against what a device has. True if it fits."""

    model: str
    dtype: str
    context: int  # tokens of each text
    batch: int
    device: Device
    terms: Mapping[str, int]  # name of the term, one of TERMS -> bytes
    native: int  # tokens for which the model was trained
    experts: str = "memory"  # where the routed ones are: or "disk"

    @property
    def total(self) -> int:
        return sum(self.terms.values())

    @property
    def left(self) -> float:
        """Bytes that stay free; below 0 it does not fit."""
        return self.device.bytes - self.total

    @property
    def fits(self) -> bool:
        return self.left >= 0

    def __bool__(self) -> bool:
        return self.fits

    def to_dict(self) -> dict[str, Any]:
        """For JSON: bytes, unrounded."""
        return {
            "model": self.model, "dtype": self.dtype, "context": self.context, "batch": self.batch,
            "experts": self.experts, "device": self.device.name, "device_bytes": self.device.bytes,
            "terms": dict(self.terms), "total_bytes": self.total, "fits": self.fits,
        }  # fmt: skip

    def __repr__(self) -> str:
        lines = [f"{name:>16}  {in_words(size):>8}" for name, size in self.terms.items() if size]
        lines += [f"{'together':>16}  {in_words(self.total):>8}", self.verdict()]
        return "\n".join([self.heading(), *lines])

    def heading(self) -> str:
        texts = "a text" if self.batch == 1 else f"{self.batch} texts"
        beyond = f", beyond the {self.native:,} it was trained for" if self.context > self.native else ""
        stay = ", its experts on disk" if self.experts == "disk" else ""
        return f"{self.model} in {self.dtype}{stay}, {texts} of {self.context:,} tokens{beyond}"

    def verdict(self) -> str:
        told = f"{in_words(self.left)} to spare" if self.fits else f"{in_words(-self.left)} too much"
        return f"{'fits' if self.fits else 'does not fit'}: {self.device.words}, {told}"


def will_it_fit(
    model: ModelConfig | str | os.PathLike[str], dtype: str = "bfloat16", context: int = 4_096, batch: int = 1, *,
    device: Device | str | torch.device | None = None, bytes: float | None = None, patches: int = 0,
    experts: str = "memory",
) -> Footprint:  # fmt: skip
    """Whether a model fits a device, before anything is downloaded or built.

    Args:
        model: one of the eight by name, a file or folder with a config.json, or a ModelConfig.
        dtype: of the weights: "float32", "bfloat16", "float16", "fp8", "int8" or "int4". Activations and cache have it
            too, or bfloat16 where it has fewer than 16 bits.
        context: tokens of each text, read in pieces as `generate` does, all of them in the cache.
        device: a name of `analysis.DEVICES`, a `Device`, or "cpu", "cuda", "auto" of this machine, with what is free
            there now; the CPU if not given.
        bytes: the size of a GPU in its place.
        patches: of the pictures that are read at once (see `analysis.pictures`).
        experts: "disk" if the routed ones stay in their files, as `lab.load(…, experts="disk")` leaves them.
    Raises:
        InputError: a count, a dtype, a device or a size that is none, or experts that cannot stay on disk.
        ConfigError: no such model, or another family.
    """
    config, name = _config(model)
    if dtype not in BITS:
        raise InputError(f"The dtype {dtype!r} is not known; use one of {', '.join(BITS)}.")
    tokens, texts, patches = counted(context, "context", 1), counted(batch, "batch", 1), counted(patches, "patches")
    if patches and config.vision is None:
        raise InputError(f"{name} has no vision tower; leave out `patches`.")
    place, wide = find(device, bytes), dtype if BITS[dtype] >= 16 else "bfloat16"
    cache, peak = working(config, tokens, wide).cache, working(config, tokens, wide, patches).peak
    terms = loaded_bytes(config, dtype, tokens, texts)
    for part, size in _stay(config, dtype, experts).items():
        terms[part] -= size
    terms |= {
        "room to grow": max(0, texts * cache - sum(terms[part] for part in CACHE)),
        "activations": texts * (peak - cache), "runtime": round(place.count * RUNTIME[place.kind]),
    }  # fmt: skip
    return Footprint(name, dtype, tokens, texts, place, terms, config.text.max_position_embeddings, experts)


def _stay(config: ModelConfig, dtype: str, experts: str) -> dict[str, int]:
    """Bytes of each part that stay on disk: all routed experts but as many as a token asks for."""
    if experts == "memory":
        return {}
    if experts != "disk":
        raise InputError(f"Experts cannot be in {experts!r}; use experts='memory' or 'disk'.")
    if BITS[dtype] < 16:
        raise InputError(f"Experts on disk are kept in 16 bits or more, not in {dtype}; pass another dtype.")
    routed, text = routed_bytes(config, dtype), config.text
    return routed | {TEXT: routed[TEXT] - routed[TEXT] * text.num_experts_per_tok // text.num_experts}


@lru_cache(maxsize=1024)
def working(config: ModelConfig, tokens: int, dtype: str, patches: int = 0) -> TraceSize:
    """What reading so many tokens takes beside the weights: `cache`, with its room to grow, and `peak` on top of it."""
    cells = patches // config.vision.spatial_merge_size**2 if config.vision else 0
    return estimate(_skeleton(config, dtype), (), tokens, new=1, patches=patches, cells=cells)


def longest(
    model: ModelConfig | str, dtype: str = "bfloat16", *, device: Device | str | torch.device | None = None,
    bytes: float | None = None, contexts: tuple[int, ...] = CONTEXTS, batch: int = 1,
) -> int:  # fmt: skip
    """The longest of these contexts that fits, 0 if none does. Arguments as of `will_it_fit`."""
    place = find(device, bytes)
    fits = [n for n in sorted(contexts) if will_it_fit(model, dtype, n, batch, device=place)]
    return fits[-1] if fits else 0


@lru_cache(maxsize=32)
def _skeleton(config: ModelConfig, dtype: str) -> TextModel:
    """The model as shapes without numbers."""
    with torch.device("meta"):
        return cast(build(config), getattr(torch, dtype))


def _config(model: Any) -> tuple[ModelConfig, str]:
    if isinstance(model, ModelConfig):
        return model, "a model"
    if not isinstance(model, str | os.PathLike):
        raise InputError(f"A {type(model).__name__} is no model; pass a name, a folder, or a ModelConfig.")
    if Path(model).exists():
        return ModelConfig.from_file(Path(model)), Path(model).resolve().name
    config = load_config(str(model))
    return config, next(name for name in OFFICIAL if load_config(name) == config)
