"""Where numbers come from: every trace, table and figure says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

import torch


def versions() -> dict[str, str]:
    """Of what computes: this package, torch and Python."""
    try:
        ours = version("qwen35-lab")
    except PackageNotFoundError:  # run from a checkout that is not installed
        ours = "not installed"
    return {"qwen35-lab": ours, "torch": torch.__version__, "python": python_version()}


@dataclass(frozen=True)
class Provenance:
    """Which weights, in which form, run with what, and what was changed while they ran."""

    kind: str  # REAL: official weights; TINY: a small model of ours; RANDOM: untrained; OTHER: anybody's checkpoint
    name: str
    revision: str | None
    dtype: str
    device: str
    seed: int | None = None  # of random weights, or of a training
    edits: tuple[str, ...] = ()  # in words
    sampling: str = ""  # of a generation: how its tokens were chosen, in words
    versions: Mapping[str, str] = field(default_factory=versions, compare=False)

    def __str__(self) -> str:
        revision = f" @ {self.revision[:8]}" if self.revision else ""
        seed = "" if self.seed is None else f", seed {self.seed}"
        edited = f" · edited: {'; '.join(self.edits)}" if len(self.edits) < 3 else f" · {len(self.edits)} edits"
        changed = edited if self.edits else ""
        chosen = f" · {self.sampling}" if self.sampling else ""
        return f"{self.kind} · {self.name}{revision}{seed} · {self.dtype} · {self.device}{chosen}{changed}"
