"""Where the notebooks are, and which one is meant.

They are no part of the installed package: in a checkout they lie beside it, elsewhere somebody says where.
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from . import parameters
from .parameters import Parameter

ALL = "all"


@dataclass(frozen=True)
class Notebook:
    """A notebook before it runs: its name (03_delta_rule), its file's text, and what it can be given."""

    name: str
    text: str
    parameters: dict[str, Parameter]

    @property
    def cells(self) -> int:
        return len(json.loads(self.text)["cells"])


def find(names: list[str], folder: Path | None = None) -> list[Notebook]:
    """Notebooks by number (03), name (03_delta_rule) or path; `all` is every one of the folder.

    Args:
        folder: where they are; by default the checkout's notebooks/, else ./notebooks, else the current folder.
    Raises:
        InputError: there is no such notebook, or it cannot be read.
    """
    paths: list[Path] = []
    for name in names:
        if name == ALL:
            paths += _all(folder)
        elif name.endswith(".ipynb"):
            paths.append(Path(name))
        else:
            paths.append(_by_name(name, _all(folder)))
    return [load(path) for path in dict.fromkeys(paths)]


def load(path: Path) -> Notebook:
    """Read a notebook, and the cell that has its parameters."""
    try:
        text = path.read_text(encoding="utf-8")
        cells = json.loads(text)["cells"]
        sources = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])]
        found = parameters.read(sources[0]) if sources else {}
    except OSError as error:
        raise InputError(f"{path} could not be read ({error.strerror}); pass a notebook that exists.") from error
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from error
        raise InputError(f"{path} is no Jupyter notebook, or its parameters are no Python; open it there.") from error
    return Notebook(path.stem, text, found)


def _all(folder: Path | None) -> list[Path]:
    beside = Path(__file__).resolve().parents[2] / "notebooks"
    places = [folder] if folder else [beside, Path("notebooks"), Path()]
    for place in places:
        if found := sorted(place.glob("*.ipynb")):
            return found
    where = folder or "this folder or its notebooks/"
    raise InputError(f"There are no notebooks in {where}; pass --notebooks with those of a copy of the project.")


def _by_name(name: str, paths: list[Path]) -> Path:
    stems = {path.stem: path for path in paths}
    meant = [stem for stem in stems if stem == name or stem.startswith(f"{name.zfill(2)}_")]
    if len(meant) == 1:
        return stems[meant[0]]
    near = difflib.get_close_matches(name, stems, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(stems)}."
    if meant:
        remedy = f"say which of {', '.join(meant)}."
    raise InputError(f"{name!r} is no notebook in {paths[0].parent}; {remedy}")
