"""The runs that every notebook must survive: as it stands, with the nano where it stands with another model, and with
experts on disk where they may be there."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import nbformat
import papermill
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

Parameters = Mapping[str, str]
AS_IT_IS: Parameters = {}


def variants(notebooks: Iterable[Path]) -> Iterator[tuple[str, Path, Parameters]]:
    """(name, notebook, parameters)"""
    for path in notebooks:
        yield path.stem, path, AS_IT_IS
        asked = papermill.inspect_notebook(str(path))
        if "model" in asked and "nano" not in asked["model"]["default"]:
            yield f"{path.stem}-nano", path, {"model": "nano"}
        if "experts" in asked:
            yield f"{path.stem}-disk", path, {"experts": "disk"}


def write(path: Path, parameters: Parameters, folder: Path) -> str:
    """A copy of the notebook in a folder, with a cell that sets the parameters behind the one that has them."""
    notebook = nbformat.read(path, as_version=4)
    if parameters:
        notebook = parameterize_notebook(load_notebook_node(str(path)), parameters)
    nbformat.write(notebook, folder / path.name)
    return str(folder / path.name)
