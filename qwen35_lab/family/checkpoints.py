"""The published checkpoints by the names of their repositories (`data/family/checkpoints.csv`)."""

import csv
from dataclasses import dataclass

from ..paths import data_path


@dataclass(frozen=True)
class Repository:
    """One of the family's repositories on the Hub."""

    name: str  # "Qwen/Qwen3.5-0.8B-Base"
    model: str  # one of OFFICIAL, whose config it has
    form: str  # post-trained, base, fp8 or gptq-int4
    thinks: bool | None  # what the chat template does when nothing is asked; None for a base model
    read: str  # year-month in which the row was read
    source: str


def repositories() -> dict[str, Repository]:
    """Name -> what it holds, for all twenty-one."""
    with data_path("family", "checkpoints.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    thinks = {"yes": True, "no": False, "": None}
    return {
        row["repository"]: Repository(
            row["repository"], row["model"], row["form"], thinks[row["thinks"]], row["read"], row["source"]
        )
        for row in rows
    }
