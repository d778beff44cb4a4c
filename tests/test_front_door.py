"""The front door: what `import qwen35_lab` offers, and that nobody waits for what nobody has asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import qwen35_lab as lab

ROOT = Path(__file__).resolve().parents[1]

# The package must stay quick to load, and work where these are missing or broken.
HEAVY = [
    "transformers",
    "torchao",
    "plotly",
    "ipywidgets",
    "anywidget",
    "IPython",
    "PIL",
    "huggingface_hub",
    "papermill",
    "dask",
    "peft",
]


def loaded_by(code: str, names: list[str]) -> list[str]:
    """Which of these a new Python has imported when it has run the code."""
    code += f"\nimport sys; print(*[name for name in {names} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("code", ["import qwen35_lab", "from qwen35_lab.cli import main; main(['taps', '-h'])"])
def test_neither_an_import_nor_the_command_line_waits_for_pytorch(code):
    code = f"try:\n    {code}\nexcept SystemExit:\n    pass"
    assert loaded_by(code, [*HEAVY, "torch", "numpy"]) == [], "import these inside the functions that need them"


def test_what_the_front_door_offers_leaves_the_heavy_libraries_alone():
    """But for what draws, and for exercises, which draw."""
    quick = [name for name in lab.__all__ if lab._HOME.get(name, name) not in ("views", "exercises")]
    code = f"import qwen35_lab as lab\nfor name in {quick}: getattr(lab, name)"
    assert loaded_by(code, [*HEAVY, "torch"]) == ["torch"], "import these inside the functions that need them"
    assert set(loaded_by("import qwen35_lab as lab; lab.views", HEAVY)) >= {"plotly", "anywidget"}


def test_the_front_door_is_written_twice_and_says_the_same():
    """For people and their editors as imports, for Python as a table of what is imported when it is asked for."""
    (block,) = (
        node for node in ast.parse(Path(lab.__file__).read_text(encoding="utf-8")).body if isinstance(node, ast.If)
    )
    told = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        told |= {alias.name: node.module or alias.name for alias in node.names}
    rooms = {name for name, module in told.items() if name == module and name not in lab._HOME}
    assert told == lab._HOME | {name: name for name in rooms}
    assert set(told) == set(lab.__all__)
    assert all(getattr(lab, name) is getattr(importlib.import_module(f"qwen35_lab.{home}"), name)
               for name, home in lab._HOME.items())  # fmt: skip


def test_a_function_keeps_its_name_though_a_module_has_it_too():
    importlib.import_module("qwen35_lab.family.table")
    assert callable(lab.family) and callable(lab.doctor)
    assert lab.model.build and not hasattr(lab, "no_such_room") and not hasattr(lab, "__main__")
