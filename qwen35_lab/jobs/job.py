"""One run of one notebook: what makes it this run and no other."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from .. import __version__
from ..paths import data_path
from .find import Notebook

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, eq=False)
class Job:
    """A notebook and the parameters that were set for it; the others keep their defaults."""

    notebook: Notebook
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """All of them, in the notebook's order."""
        return {name: self.given.get(name, p.default) for name, p in self.notebook.parameters.items()}

    @property
    def file(self) -> str:
        """The name of its executed copy, another one for every other set of values."""
        if not self.given:
            return f"{self.notebook.name}.ipynb"
        order = [*self.notebook.parameters, *self.given]
        words = "-".join(f"{name}={_word(self.given[name])}" for name in sorted(self.given, key=order.index))
        key = _digest(json.dumps(dict(self.given), sort_keys=True))[:6]
        return f"{self.notebook.name}-{words[:60]}-{key}.ipynb"

    def __str__(self) -> str:
        return " ".join([self.notebook.name, *(f"{name}={show(value)}" for name, value in self.given.items())])

    @cached_property
    def fingerprint(self) -> str:
        """Changes when anything does that the result depends on: cells, parameters, files they name, the package."""
        cells = [[c["cell_type"], "".join(c["source"])] for c in json.loads(self.notebook.text)["cells"]]
        files = [stamp(Path(v)) for v in self.parameters.values() if isinstance(v, str) and v and len(v) < 1000]
        return _digest(json.dumps([cells, self.parameters, files, code_stamp(), data_stamp()]))


def grid(notebook: Notebook, values: Mapping[str, list[Any]]) -> list[Job]:
    """A job for every combination of values; the last parameter varies fastest."""
    return [Job(notebook, dict(zip(values, chosen, strict=True))) for chosen in itertools.product(*values.values())]


def check_models(jobs: Iterable[Job], *, elsewhere: bool = False) -> None:
    """Look up what `model` names, as `qwen35_lab.load` would, unless it may be on the Hub.

    Args:
        elsewhere: they run on other machines, whose folders nobody here can see.
    Raises:
        CheckpointError: it is neither shipped nor a folder.
    """
    from ..locate import find_folder

    for model in {str(job.given["model"]) for job in jobs if "model" in job.given}:
        hub = model.count("/") == 1 and not model.startswith((".", "/", "~"))
        if not ("/" in model if elsewhere else hub):
            find_folder(model, None)


def show(value: Any) -> str:
    """A parameter's value in a line: long texts are cut."""
    text = str(value).replace("\n", " ")
    return text if len(text) <= 24 else text[:23] + "…"


@cache
def code_stamp() -> str:
    """Of the installed package: its version and all its code."""
    return _digest(__version__.encode() + b"".join(path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))))


@cache
def data_stamp() -> list[Any]:
    """Of the data that it ships."""
    return stamp(data_path())


def stamp(path: Path) -> list[Any]:
    """Names, sizes and times of a file, or of those in a folder and its folders; empty if there is nothing."""
    try:
        inside = [*path.glob("*"), *path.glob("*/*")] if path.is_dir() else [path]
        files = sorted(p for p in inside if p.is_file())
        return [[p.relative_to(path).as_posix(), p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    except (OSError, ValueError):  # a text that is no path
        return []


def _word(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "_", str(value))


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
