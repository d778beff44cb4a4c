"""What the makers of a checkpoint advise: how to choose its next token, when it thinks and when not, and for what.

From the model cards (`data/family/sampling.csv`), which give no advice for base models; and, for any checkpoint, from
its own `generation_config.json`. Nothing here is used unless it is asked for: greedy stays the default.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CheckpointError, InputError
from .family import repositories
from .paths import data_path

SETTINGS = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "repetition_penalty")
FILE = "generation_config.json"


@dataclass(frozen=True)
class Preset:
    """One set of settings.

    Attributes: `use`, "general", "vision", "coding", "reasoning", or "file" for what the checkpoint's own file says;
    `thinking`, the mode it is for, None for both; `settings`, as `Sampling` takes them; `source`, `read` (year-month)
    and `note`, from where.
    """

    use: str
    thinking: bool | None
    settings: Mapping[str, float]
    source: str
    read: str = ""
    note: str = ""


class Presets(tuple[Preset, ...]):
    """All advice for one checkpoint. Print it."""

    def __repr__(self) -> str:
        modes = {True: "thinking", False: "not thinking", None: "in both modes"}
        rows = [(f"{modes[p.thinking]}, {p.use}", *(f"{p.settings.get(s, '-')}" for s in SETTINGS)) for p in self]
        table = [("preset", *SETTINGS), *rows]
        widths = [max(len(row[n]) for row in table) for n in range(len(table[0]))]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table]
        said = dict.fromkeys(f"{p.source}{f', {p.read}' if p.read else ''}" for p in self)
        return "\n".join([*lines, *said]) if self else "No advice is known for this checkpoint."

    def choose(self, use: str, thinking: bool, pictures: bool) -> dict[str, float]:
        """Settings for a prompt; where there are pictures, "general" means the row for them, if there is one.

        Raises:
            InputError: there is no such advice.
        """
        fitting = {p.use: p for p in self if p.thinking in (None, thinking)}
        if use == "general" and pictures and "vision" in fitting:
            use = "vision"
        if use in fitting:
            return dict(fitting[use].settings)
        if not self:
            raise InputError("No preset is known for this checkpoint; pass temperature, top_p and top_k by hand.")
        mode = "with" if thinking else "without"
        raise InputError(f"There is no preset {use!r} {mode} thinking; choose from {', '.join(map(repr, fitting))}.")


def find_presets(name: str, folder: Path | None = None) -> Presets:
    """The advice for a checkpoint.

    Args:
        name: of its repository or its folder; a folder that is called like an official one counts as a copy of it.
        folder: where its generation_config.json may lie.
    Raises:
        CheckpointError: that file is damaged.
    """
    known = repositories().get(f"Qwen/{name.rsplit('/', 1)[-1]}")
    found: list[Preset] = []
    if known and known.form != "base":
        with data_path("family", "sampling.csv").open(encoding="utf-8", newline="") as file:
            found = [_preset(row) for row in csv.DictReader(file) if known.model in row["models"].split()]
    if folder and (own := _of_file(folder / FILE)):
        found.append(own)
    return Presets(found)


def _preset(row: Mapping[str, str]) -> Preset:
    numbers = {name: int(row[name]) if name == "top_k" else float(row[name]) for name in SETTINGS}
    return Preset(row["use"], row["thinking"] == "yes", numbers, row["source"], row["read"], row["note"])


def _of_file(path: Path) -> Preset | None:
    """What the checkpoint's own file says, unless it says nothing or greedy."""
    if not path.is_file():
        return None
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        numbers = {name: said[name] for name in SETTINGS if isinstance(said.get(name), int | float)}
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise CheckpointError(f"{path} is damaged; delete it or download it again.") from error
    return Preset("file", None, numbers, FILE) if numbers and said.get("do_sample") is not False else None
