"""The exercises of a notebook, as its cells hold them.

A task in Markdown, `**02.1 · The norm.** …`, with a hint; a cell tagged `exercise` with a stub to fill in, whose last
line is `lab.check("02.1", answer)`; a folded cell tagged `solution`, which holds the one solution there is and judges
it with `lab.check_solution("02.1", solution)`.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

Cell = dict[str, Any]
Notebook = dict[str, Any]
TITLE = re.compile(r"^# (?P<number>\d\d) · (?P<title>.+)$", re.MULTILINE)
TASK = re.compile(r"\*\*(?P<number>\d\d\.\d+) · (?P<title>[^*]+?)\.?\*\*")


@dataclass(frozen=True)
class Lesson:
    """What a notebook is called, and its exercises by number with their titles."""

    number: str
    title: str
    exercises: dict[str, str]


def load(path: Path) -> Notebook:
    """A notebook as the dictionary that its file holds.

    Raises:
        InputError: there is no such file, or it is no notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert all("cell_type" in cell and "source" in cell for cell in notebook["cells"])
        return notebook
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); pass the path of a notebook.") from error
    except (ValueError, KeyError, TypeError, AssertionError):
        raise InputError(f"{path} is not a Jupyter notebook of format 4; save it once in JupyterLab.") from None


def dumps(notebook: Notebook) -> str:
    """The text of a notebook's file, as JupyterLab writes it."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def text(cell: Cell) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def with_text(cell: Cell, source: str) -> Cell:
    return {**cell, "source": source.strip("\n").splitlines(keepends=True)}


def is_code(cell: Cell) -> bool:
    return cell["cell_type"] == "code"


def tagged(cell: Cell, tag: str) -> bool:
    return tag in cell.get("metadata", {}).get("tags", ())


def name(cell: Cell) -> str:
    """How an error names a cell."""
    return f"cell `{cell.get('id', text(cell)[:30])}`"


def lessons(folder: Path) -> list[Lesson]:
    """The lessons in a folder, in order; files that are none are passed over."""
    found = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        try:
            prose = "\n\n".join(text(cell) for cell in load(path)["cells"] if not is_code(cell))
        except InputError:
            continue
        if headline := TITLE.search(prose):
            tasks = {task["number"]: re.sub(r"\s+", " ", task["title"]) for task in TASK.finditer(prose)}
            found.append(Lesson(headline["number"], headline["title"], tasks))
    return found


def course() -> list[Lesson]:
    """The lessons beside the one that is running, or else those of a checkout; none for a package without notebooks."""
    return lessons(Path.cwd()) or lessons(Path(__file__).resolve().parents[2] / "notebooks")
