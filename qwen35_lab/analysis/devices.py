"""How much memory well-known machines have, and what an article says they are enough for.

A maker's "24 GB" of memory chips are 24 x 2**30 bytes, which is what is counted here: the generous reading, since
drivers keep a part for themselves. Sizes: the makers' data sheets, as noted with the claims of data/claims.csv.
"""

from dataclasses import dataclass

import torch

from .. import memory
from ..errors import InputError
from ..family import OFFICIAL
from ..locate import find_device

GB = 2**30  # as memory is sold


@dataclass(frozen=True)
class Device:
    """A place where a model can lie."""

    name: str
    bytes: float
    kind: str = "cuda"  # "cuda", or "cpu" where the memory is the machine's own
    count: int = 1  # of processors that share the model

    @property
    def words(self) -> str:
        return f"{self.name}, {memory.in_words(self.bytes)}"


def _gpu(name: str, gb: int, count: int = 1) -> Device:
    return Device(f"{count} × {name}" if count > 1 else name, gb * GB * count, "cuda", count)


DEVICES = {
    device.name: device
    for device in (
        _gpu("GTX 1660", 6), _gpu("RTX 3060", 12), _gpu("RTX 4080", 16), _gpu("RTX 3090", 24), _gpu("RTX 4090", 24, 2),
        _gpu("A100 40 GB", 40), _gpu("A100 80 GB", 80), _gpu("A100 80 GB", 80, 4), _gpu("H100", 80, 8),
        _gpu("H200", 141, 8), *(Device(f"{gb} GB of RAM", gb * GB, "cpu") for gb in (8, 16, 32, 64, 128)),
    )
}  # fmt: skip

# The column "What you'd run it on" of the article's table, as far as it names machines with a known memory. A Raspberry
# Pi, a laptop and a Mac are taken at the RAM that the same row gives.
RUNS_ON = {
    "Qwen3.5-0.8B": ("8 GB of RAM",),
    "Qwen3.5-2B": ("GTX 1660", "8 GB of RAM"),
    "Qwen3.5-4B": ("RTX 3060", "16 GB of RAM"),
    "Qwen3.5-9B": ("RTX 3090", "RTX 4080", "16 GB of RAM"),
    "Qwen3.5-27B": ("A100 40 GB", "2 × RTX 4090"),
    "Qwen3.5-35B-A3B": ("A100 80 GB",),
    "Qwen3.5-122B-A10B": ("4 × A100 80 GB", "64 GB of RAM"),
    "Qwen3.5-397B-A17B": ("128 GB of RAM",),
}


@dataclass(frozen=True)
class Row:
    """A row of the article's table of hardware."""

    model: str
    gb: dict[str, float]  # precision -> gigabytes, as the article says
    devices: tuple[str, ...]  # names in DEVICES


def article_rows() -> tuple[Row, ...]:
    """The article's table of hardware; its numbers are those of the ledger, data/claims.csv."""
    from ..claims import article_claim  # which recounts with this package

    return tuple(
        Row(name, {dtype: float(article_claim(f"{id}-{short(name)}").said)
                   for id, dtype in (("bf16", "bfloat16"), ("int4", "int4"))}, RUNS_ON[name])
        for name in OFFICIAL
    )  # fmt: skip


def short(name: str) -> str:
    """Qwen3.5-35B-A3B -> 35b, as the ledger's ids have it."""
    return name.removeprefix("Qwen3.5-").split("-")[0].lower()


def find(device: Device | str | torch.device | None, size: float | None) -> Device:
    """A device, itself or by its name in the list, one of this machine with what it has free now, or so many bytes.

    Raises:
        InputError: both are given, no such device, or a size that is none.
    """
    if size is not None:
        if device is not None:
            raise InputError("Pass `device` or `bytes`, one of the two.")
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < float("inf"):
            raise InputError(f"`bytes` is {size!r}; pass a number of bytes above 0, such as 24e9.")
        return Device("a device", size)
    if isinstance(device, Device):
        return device
    if isinstance(device, str) and device in DEVICES:
        return DEVICES[device]
    try:
        found = find_device("cpu" if device is None else device)
    except InputError as error:
        known = ", ".join(DEVICES)
        raise InputError(f"There is no device {str(device)!r} here, and none of that name known: {known}.") from error
    kind = "cuda" if found.type == "cuda" else "cpu"
    return Device(f"free here now ({found})", memory.free(found), kind)
