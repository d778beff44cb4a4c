"""The runs that every notebook must survive: as it stands, and with the nano where it stands with another model."""

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
        model = papermill.inspect_notebook(str(path)).get("model")
        if model and "nano" not in model["default"]:
            yield f"{path.stem}-nano", path, {"model": "nano"}


def write(path: Path, parameters: Parameters, folder: Path) -> str:
    """A copy of the notebook in a folder, with a cell that sets the parameters behind the one that has them."""
    notebook = nbformat.read(path, as_version=4)
    if parameters:
        notebook = parameterize_notebook(load_notebook_node(str(path)), parameters)
    nbformat.write(notebook, folder / path.name)
    return str(folder / path.name)
