"""Keep notebooks in one normal form, so that a one-line edit is a one-line diff.

    python tools/nbnorm.py --check      # says which notebooks differ; exit status 1 if any does
    python tools/nbnorm.py --write      # rewrites them

Removed: outputs, execution counts, widget state, and metadata that editors add. Kept: sources, cell ids, tags.
The layout is the one that JupyterLab itself writes (indent 1, sorted keys), so that saving there adds no noise.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# `execution` holds nbmake's time limit, `jupyter` whether a source starts folded (in Colab `cellView`), `nbmake` its
# mocked values.
NOTEBOOK_METADATA = {"execution"}
CELL_METADATA = {"tags", "jupyter", "cellView", "nbmake"}


def normalise(notebook: dict) -> dict:
    """The same notebook with nothing in it but what a person wrote."""
    kept = {key: value for key, value in notebook["metadata"].items() if key in NOTEBOOK_METADATA}
    return {
        "cells": [normalise_cell(cell) for cell in notebook["cells"]],
        "metadata": kept | {"kernelspec": KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def normalise_cell(cell: dict) -> dict:
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    clean = {
        "cell_type": cell["cell_type"],
        "metadata": {key: value for key, value in cell["metadata"].items() if key in CELL_METADATA},
        "source": source.strip("\n").splitlines(keepends=True),
    }
    if "id" in cell:
        clean["id"] = cell["id"]
    if cell["cell_type"] == "code":
        clean |= {"outputs": [], "execution_count": None}
    if "attachments" in cell:
        clean["attachments"] = cell["attachments"]
    return clean


def dumps(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="only say which notebooks differ")
    mode.add_argument("--write", action="store_true", help="rewrite them")
    parser.add_argument("paths", nargs="*", type=Path, help="default: all in notebooks/")
    options = parser.parse_args(argv)

    different = []
    for path in options.paths or sorted((ROOT / "notebooks").glob("**/*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        before = path.read_text(encoding="utf-8")
        after = dumps(normalise(json.loads(before)))
        if before != after:
            different.append(path)
            if options.write:
                path.write_text(after, encoding="utf-8", newline="\n")

    for path in different:
        print(f"{path}: {'rewritten' if options.write else 'not in normal form; run tools/nbnorm.py --write'}")
    return 1 if options.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
