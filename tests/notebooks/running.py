"""Notebooks run from top to bottom, without a network: with their stubs filled in, and with other models."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from variants import AS_IT_IS, Parameters, variants, write

from qwen35_lab.exercises.builds import solved

HERE = Path(__file__).resolve().parent
NOTEBOOKS = sorted((HERE.parents[1] / "notebooks").glob("*.ipynb"))


def read(path: Path | str) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def offline() -> dict[str, str]:
    """The environment of a machine that is not connected: see offline/sitecustomize.py."""
    path = os.pathsep.join(filter(None, [str(HERE / "offline"), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def run(path: Path, folder: Path, parameters: Parameters = AS_IT_IS, patience: int = 400) -> nbformat.NotebookNode:
    """Execute a copy of the notebook with nbmake, offline; returns it with outputs and widget state.

    A kernel and its client can lose sight of each other, and then wait for ever (once in some hundred runs): so after
    `patience` seconds it begins anew, once.
    """
    copy = write(path, parameters, folder)
    plugins = ["-p", "nbmake.pytest_plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "--nbmake", "--overwrite", copy]
    env = offline() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # all others would only take a second to import
    options: dict = {"cwd": folder, "env": env, "capture_output": True, "text": True}
    try:
        result = subprocess.run(command, timeout=patience, **options)
    except subprocess.TimeoutExpired:
        result = subprocess.run(command, timeout=patience, **options)
    if result.returncode:
        pytest.fail(f"{path.name}:\n{result.stdout[-8000:]}{result.stderr[-2000:]}", pytrace=False)
    return read(copy)


def runs() -> Iterator[tuple[str, Path, Parameters]]:
    """(name, notebook, parameters): every notebook with its stubs filled in, and with another model as it stands.

    In a browser all of them run as they stand, with stubs and folded solutions: see browser/test_in_browser.py.
    """
    for name, path, parameters in variants(NOTEBOOKS):
        yield name if parameters else f"{name}-solved", path, parameters


def executed(path: Path, parameters: Parameters, folder: Path) -> nbformat.NotebookNode:
    """One of these runs, with its outputs."""
    if not parameters:
        source = folder / "source"
        source.mkdir()
        (source / path.name).write_text(json.dumps(solved(json.loads(path.read_text("utf-8")))), encoding="utf-8")
        path = source / path.name
    return run(path, folder, parameters)
