"""The rules of the house: what may import what, what is written twice, and what must not be written at all."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "qwen35_lab"

# Imports point one way: a module may import from its own line and from the lines above it, never from below.
# A file or folder of the package that is not named here fails a test: decide where it belongs and add it.
LAYERS = [
    {"errors", "heap", "paths", "files", "reader", "interrupt", "memory", "provenance", "quiet"},
    {"formats", "quantise", "fp8", "config"},
    {"family", "published", "prices"},
    {"model"},
    {
        "checkpoint",
        "config_json",
        "expert_store",
        "hub",
        "inputs",
        "locate",
        "names",
        "spread",
        "tensors",
        "weight_only",
        "weight_products",
    },
    {"generate", "speculative", "presets", "prompts", "speak", "talk"},
    {"trace", "trace_file", "capture", "passes", "selection", "routers", "edits", "estimate", "watch", "qwen"},
    {"training", "recipe", "muon", "nano", "recall", "examples", "serving", "finetune"},
    {"agents"},
    {"analysis", "claims"},
    {"views"},
    {"exercises", "jobs", "doctor", "cli", "__init__", "__main__"},
]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}

# The architecture is written to be read on its own.
MODEL_MAY_IMPORT = {"qwen35_lab.config", "qwen35_lab.errors", "qwen35_lab.model", "torch", "einops"}
ON_A_GPU = {"fla"}  # used where somebody has installed it

# ------------------------------------------------------------------------- imports point one way


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a file imports, at the top or inside functions, relative or not."""
    package = path.parent.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = [*base, node.module] if node.module else [*base]
            yield from ((node.lineno, ".".join([*module, alias.name])) for alias in node.names)


def part_of_package(dotted: str) -> str | None:
    """`qwen35_lab.model.text.Model` -> `model`. A name that is no module comes from the package's `__init__`."""
    first, *rest = dotted.split(".")
    if first != PACKAGE.name:
        return None
    is_module = rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file())
    return rest[0] if is_module else "__init__"


def own_part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_part_of_the_package_has_its_layer():
    unknown = {own_part(path) for path in source_files()} - HEIGHT.keys()
    assert not unknown, f"declare the layer of {sorted(unknown)} in LAYERS, at the top of {__file__}"


def test_imports_point_one_way():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}, which is in a later layer"
        for path in source_files()
        for line, name in imports(path)
        if (part := part_of_package(name)) and HEIGHT.get(part, 0) > HEIGHT.get(own_part(path), 0)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_model_needs_only_torch_and_einops():
    def allowed(name: str) -> bool:
        return name.split(".")[0] in sys.stdlib_module_names | ON_A_GPU or any(
            f"{name}.".startswith(f"{prefix}.") for prefix in MODEL_MAY_IMPORT
        )

    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in source_files()
        if own_part(path) == "model"
        for line, name in imports(path)
        if not allowed(name)
    ]
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------------------- said once, said right


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_conda_gets_the_same_requirements_and_python():
    """environment.yml installs the project itself, so that the list of requirements exists once."""
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    python = next(Requirement(entry) for entry in conda if entry.startswith("python"))
    floor = [str(bound) for bound in python.specifier if bound.operator == ">="]
    assert floor == [project()["requires-python"]]
    assert {Requirement(entry).name for entry in conda} == {"python", "pip"}
    assert pip == {"pip": ["--constraint constraints.txt", "--editable .[suite]"]}


def test_every_requirement_has_a_tested_version():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    tested = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    required = project()["dependencies"] + project()["optional-dependencies"]["test"]
    for requirement in map(Requirement, required):
        version = tested.get(canonicalize_name(requirement.name))
        assert version, f"constraints.txt names no version of {requirement.name}"
        assert version in requirement.specifier, f"constraints.txt has {version}, against {requirement}"


def required_distributions() -> set[str]:
    """What `pip install -e '.[test]'` brings: the requirements, and theirs."""
    found: set[str] = set()
    todo = [Requirement(r) for r in project()["dependencies"] + project()["optional-dependencies"]["test"]]
    while todo:
        name = canonicalize_name((requirement := todo.pop()).name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        with suppress(PackageNotFoundError):
            todo += map(Requirement, metadata.requires(name) or ())
    return found


def test_what_is_imported_is_required():
    """Something that happens to be installed here is missing elsewhere."""
    ours = {path.stem for folder in ("tests", "tools") for path in (ROOT / folder).rglob("*")} | {PACKAGE.name, "tools"}
    required, brings = required_distributions(), metadata.packages_distributions()
    wrong = set()
    for path in (path for folder in ("qwen35_lab", "tests", "tools") for path in (ROOT / folder).rglob("*.py")):
        for line, dotted in imports(path):
            name = dotted.split(".")[0]
            known = {canonicalize_name(distribution) for distribution in brings.get(name, ())}
            if not known & required and name not in sys.stdlib_module_names | ours | ON_A_GPU:
                wrong.add(f"{path.relative_to(ROOT)}:{line} imports {name}, which pyproject.toml does not require")
    assert not wrong, "\n".join(sorted(wrong))


def test_the_console_script_exists():
    module, function = project()["scripts"]["qwen35-lab"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_make_lab_opens_the_start_page():
    """What the browser tests start is what `make lab` starts."""
    command = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m jupyterlab --config tools/jupyter/lab_config.py" in command


# ------------------------------------------------------------------------- what is in the files


@pytest.mark.parametrize("page", ["README.md", "notebooks/index.md"])
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_the_start_page_links_every_notebook():
    page = (ROOT / "notebooks/index.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "notebooks").glob("*.ipynb") if f"]({path.name})" not in page] == []


def files_in_git() -> list[Path]:
    """Tracked files, and new ones that git does not ignore: a mistake should show before it is committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


MACHINE = re.compile(
    r"""(?<![\w.~:/])/(?:home|Users|root|work|mnt)/\w    # a path on somebody's machine
      | \b(?:pythonhosted|npmjs|pypi)\.org\b             # registries go by their clients' defaults
      | \b(?:deb|security)\.debian\.org\b | \barchive\.ubuntu\.com\b
    """,
    re.VERBOSE,
)


def test_no_file_names_a_machine_or_a_registry():
    found = []
    for path in files_in_git():
        text = path.read_bytes()
        if b"\0" in text:  # not text
            continue
        for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
            if match := MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line, caught",
    [
        ("see /home" + "/ann/x", True),
        ('open("/' + 'work/main")', True),
        ("https://files.pythonhosted" + ".org/x", True),
        ("https://example.org/home/ann", False),
        ("tests/work/x, ~" + "/" + "work/x", False),
    ],
)
def test_the_search_for_machine_paths_sees(line, caught):
    assert bool(MACHINE.search(line)) == caught


# ------------------------------------------------------------------------- the tests themselves


@pytest.mark.xdist_group("together")
def test_tests_of_a_group_keep_to_one_worker(request):
    """pytest-xdist tells groups by the ends of their names; without, each worker runs every notebook for itself."""
    grouped = hasattr(request.config, "workerinput") and request.config.getvalue("loadgroup")
    assert request.node.nodeid.endswith("@together") == grouped


# ------------------------------------------------------------------------- the wheel


@pytest.mark.slow
def test_a_wheel_works_without_the_repository(tmp_path):
    """`pip install .` or a git address: the data travel inside the package and are found there."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")

    data = {str(path.relative_to(ROOT)) for path in files_in_git() if path.is_relative_to(ROOT / "data")}
    assert data, "there is no data to ship"
    assert {f"qwen35_lab/{name}" for name in data} <= names
    package = {str(path.relative_to(ROOT)) for path in files_in_git() if path.is_relative_to(PACKAGE)}
    assert package <= names and any(not name.endswith(".py") for name in package)
    assert not {name for name in names if name.startswith(("tests/", "notebooks/", "tools/")) or "golden" in name}

    code = "import qwen35_lab as lab; print(lab.__file__); lab.family()"
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert str(tmp_path) in result.stdout
