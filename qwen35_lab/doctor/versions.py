"""Which versions are installed, against what this package asks for and what it is tested with."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from platform import python_version

from packaging.requirements import Requirement
from packaging.version import Version

from ..paths import data_path
from .report import Finding

LOOKED_AT = ("torch", "transformers", "plotly", "anywidget", "ipywidgets", "jupyterlab")
PYTHONS = ("3.11", "3.12", "3.13")
NOT_FOR_COLAB = ("jupyterlab", "papermill")  # the front end is Colab's, and there is no terminal to run jobs from
TOPIC = "versions"


def look() -> Iterator[Finding]:
    yield _python(python_version())
    asked, tested = required(), tested_versions()
    for name in LOOKED_AT:
        yield judge(name, installed(name), asked.get(name), tested.get(name))


def ready() -> str:
    """One line for the cell that installs in Colab: that all is there for all notebooks, or what to type."""
    asked = [each for name, each in required("suite").items() if name not in NOT_FOR_COLAB]
    lacking = [each for each in asked if judge(each.name, installed(each.name), each, None).state == "problem"]
    if lacking:
        names = " ".join(f"'{each.name}{each.specifier}'" for each in lacking)
        return f"Colab has changed: %pip install --no-deps {names} in a new cell, then restart the session."
    return f"qwen35_lab {installed('qwen35-lab')} is ready, with PyTorch {installed('torch')}."


def judge(name: str, found: str | None, asked: Requirement | None, tested: str | None) -> Finding:
    """One library: missing or too old is a problem, a newer series than the tested one a note."""
    value = {"installed": found, "required": str(asked.specifier) if asked else None, "tested": tested}
    fix = f'pip install -U "{asked}"' if asked else f"pip install -U {name}"
    if found is None:
        return Finding(TOPIC, name, "problem", "It is not installed, and notebooks need it.", fix, value)
    if asked and not asked.specifier.contains(found, prereleases=True):
        return Finding(TOPIC, name, "problem", f"{found} is installed, and {asked.specifier} is needed.", fix, value)
    if tested and Version(found).major > Version(tested).major:
        says = f"{found} is installed, a newer series than {tested}, which is tested; most likely it works."
        return Finding(TOPIC, name, "note", says, f'If something breaks: pip install "{name}=={tested}"', value)
    return Finding(TOPIC, name, "fine", f"{found}" + (f"; tested with {tested}." if tested else "."), value=value)


def _python(found: str) -> Finding:
    series = ".".join(found.split(".")[:2])
    value = {"installed": found, "supported": list(PYTHONS)}
    if series in PYTHONS:
        return Finding(TOPIC, "Python", "fine", f"{found}; {PYTHONS[0]} to {PYTHONS[-1]} are supported.", value=value)
    state = "problem" if Version(series) < Version(PYTHONS[0]) else "note"
    says = f"{found} is outside what is tested, {PYTHONS[0]} to {PYTHONS[-1]}."
    return Finding(TOPIC, "Python", state, says, f"Make an environment with Python {PYTHONS[0]}.", value)


def installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def required(extra: str = "") -> dict[str, Requirement]:
    """Name -> what this package asks for, with an extra or without; empty in a checkout that is not installed."""
    lines = (metadata.requires("qwen35-lab") or []) if installed("qwen35-lab") else []
    found = [each for each in map(Requirement, lines) if not each.marker or each.marker.evaluate({"extra": extra})]
    return {each.name: each for each in found}


def tested_versions() -> dict[str, str]:
    """Name -> version, from constraints.txt: beside data/ in a checkout, in it in a wheel; empty without the file."""
    for folder in (data_path(), data_path().parent):
        if (path := Path(folder, "constraints.txt")).is_file():
            return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.M))
    return {}
