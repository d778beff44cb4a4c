"""The shipped configs by name: the eight Qwen3.5 models and their nine predecessors."""

import csv
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import ModelConfig
from ..errors import ConfigError
from ..paths import data_path
from .predecessors import PredecessorConfig
from .shapes import Config

OFFICIAL = (
    "Qwen3.5-0.8B",
    "Qwen3.5-2B",
    "Qwen3.5-4B",
    "Qwen3.5-9B",
    "Qwen3.5-27B",
    "Qwen3.5-35B-A3B",
    "Qwen3.5-122B-A10B",
    "Qwen3.5-397B-A17B",
)
PREDECESSORS = (
    "Qwen3-0.6B",
    "Qwen3-1.7B",
    "Qwen3-4B",
    "Qwen3-8B",
    "Qwen3-14B",
    "Qwen3-32B",
    "Qwen3-30B-A3B",
    "Qwen3-235B-A22B",
    "Qwen3-Next-80B-A3B",
)


@dataclass(frozen=True)
class Published:
    """What was published about a model beside its config, with the source (`data/family/published.csv`)."""

    model: str
    generation: str  # Qwen3, Qwen3-Next or Qwen3.5
    released: str  # year-month-day
    parameters: int | None  # total stated with the weights; None where none was noted
    revision: str  # commit of the Hub repository, if noted
    read: str  # year-month in which the row was read
    source: str


def full_name(name: str, among: Sequence[str] = OFFICIAL) -> str:
    """`0.8B`, `Qwen3.5-0.8B` or `Qwen/Qwen3.5-0.8B` -> `Qwen3.5-0.8B`; a name that is none of them is refused."""
    short = _short(name)
    known = {_short(full): full for full in among}
    if short in known:
        return known[short]
    close = [known[other] for other in known if short and other.startswith(short)]
    close = close or [known[other] for other in difflib.get_close_matches(short, known)]
    advice = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(among)}."
    raise ConfigError(f"There is no shipped config named {str(name)!r}; {advice}")


def load_config(name: str) -> ModelConfig:
    """The official config of one of the eight, by a name that `full_name` takes."""
    if predecessor := next((known for known in PREDECESSORS if _short(known) == _short(name)), None):
        raise ConfigError(
            f"{predecessor} is a predecessor, which this package counts but does not build; "
            f"choose from {', '.join(OFFICIAL)}, or use load_predecessor({predecessor!r})."
        )
    return ModelConfig.from_file(data_path("family", f"{full_name(name)}.json"))


def load_predecessor(name: str) -> PredecessorConfig:
    """The sizes of one of the nine Qwen3 models, for counting."""
    path = data_path("family", f"{full_name(name, PREDECESSORS)}.json")
    return PredecessorConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))


def load_any(name: str) -> Config:
    """`load_config` or `load_predecessor`, whichever knows the name."""
    full = full_name(name, OFFICIAL + PREDECESSORS)
    return load_config(full) if full in OFFICIAL else load_predecessor(full)


def published() -> dict[str, Published]:
    """Model name -> what was published about it, for all seventeen."""
    with data_path("family", "published.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["model"]: Published(
            model=row["model"],
            generation=row["generation"],
            released=row["released"],
            parameters=int(row["published_parameters"]) if row["published_parameters"] else None,
            revision=row["revision"],
            read=row["read"],
            source=row["source"],
        )
        for row in rows
    }


def _short(name: str) -> str:
    return str(name).strip().lower().removeprefix("qwen/").removeprefix("qwen3.5-")
