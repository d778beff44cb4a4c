"""The machine on which somebody else's server will run, and whether a model fits its GPUs."""

from dataclasses import dataclass

import torch

from .. import memory

GB = 2**30  # as memory is sold
ROOM = 2e9  # bytes of every GPU for activations and graphs; assumed
SHARE = 0.9  # of a GPU that vLLM takes unless told otherwise
WAYS = (1, 2, 4, 8)  # numbers of GPUs over which heads and experts can be dealt out evenly


@dataclass(frozen=True)
class Machine:
    """GPUs with so many GB each, as they are sold, which are 2^30 bytes; and memory beside them."""

    gpus: int
    gpu_gb: float
    ram_gb: float

    @classmethod
    def here(cls) -> "Machine":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        each = min((torch.cuda.get_device_properties(n).total_memory for n in range(gpus)), default=0)
        return cls(gpus, each / GB, memory.total() / GB)

    def __str__(self) -> str:
        return f"{self.gpus} × {self.gpu_gb:.0f} GB" if self.gpus else f"no GPU, {self.ram_gb:.0f} GB of memory"

    @property
    def largest(self) -> float:
        """Bytes of all GPUs together, or of the memory beside them, whichever are more."""
        return max(self.gpus * self.gpu_gb, self.ram_gb) * GB

    def split(self, size: float) -> tuple[int, bool | None]:
        """Over how many GPUs so many bytes go, as few as it takes, and whether they fit; None without a GPU."""
        if not self.gpus:
            return 1, None
        ways = [n for n in WAYS if n <= self.gpus]
        found = next((n for n in ways if size / n <= SHARE * self.gpu_gb * GB - ROOM), None)
        return found or ways[-1], found is not None
