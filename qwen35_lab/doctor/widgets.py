"""Whether widgets can reach a browser from here: a kernel, a front end, and the extensions it needs."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from .report import Finding

TOPIC = "widgets"
EXTENSIONS = {"anywidget": "anywidget", "ipywidgets": "@jupyter-widgets/jupyterlab-manager"}  # name -> folder


def look() -> Iterator[Finding]:
    place = where(os.environ, set(sys.modules))
    yield front_end(place)
    for name, folder in EXTENSIONS.items():
        yield extension(name, folder, place)


def has_kernel() -> bool:
    """Whether this process is a Jupyter kernel, which a browser can talk to."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    return getattr(shell, "kernel", None) is not None


def where(variables: Mapping[str, str], modules: set[str]) -> str:
    """ "Colab", "VS Code", "Jupyter", or "" where there is no kernel."""
    if "google.colab" in modules or "COLAB_RELEASE_TAG" in variables:
        return "Colab"
    if not has_kernel():
        return ""
    return "VS Code" if any(name.startswith("VSCODE_") for name in variables) else "Jupyter"


def front_end(place: str) -> Finding:
    if not place:
        says = "No kernel: this is a script or a terminal, where widgets show as words and pictures only."
        return Finding(TOPIC, "front end", "fine", says, value={"front_end": None, "kernel": False})
    told = {
        "Colab": "Colab, which loads widget code from its own servers; state travels as text for its sake.",
        "VS Code": "VS Code, which brings its own widget support and may ask to fetch anywidget once.",
        "Jupyter": "A Jupyter kernel.",
    }
    return Finding(TOPIC, "front end", "fine", told[place], value={"front_end": place, "kernel": True})


def extension(name: str, folder: str, place: str) -> Finding:
    """JupyterLab's half of a widget library; it has to be where the server runs."""
    found = _installed(folder)
    value = {"installed": found is not None, "version": found}
    if place in ("Colab", "VS Code"):
        return Finding(TOPIC, f"{name} extension", "fine", f"Not needed: {place} brings its own.", value=value)
    if found is None:
        says = "JupyterLab has no such extension in this environment: widgets would show as a line of text."
        fix = f"pip install --force-reinstall {name} where JupyterLab is installed, then reload the page."
        return Finding(TOPIC, f"{name} extension", "problem" if place else "note", says, fix, value)
    says = f"{found}, in this environment; a JupyterLab that runs in another one needs it there."
    return Finding(TOPIC, f"{name} extension", "fine", says, value=value)


def _installed(folder: str) -> str | None:
    """The version of a labextension that JupyterLab would find, or None."""
    from jupyter_core.paths import jupyter_path

    for root in jupyter_path("labextensions"):
        if (about := Path(root, folder, "package.json")).is_file():
            return str(json.loads(about.read_text(encoding="utf-8")).get("version", "unknown"))
    return None
