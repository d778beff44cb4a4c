"""All notebooks are built alike, so that a reader finds in each what the last one had, and in the same place."""

import re
from pathlib import Path

import launch
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
SECTIONS = range(4, 8)
SETUP_LINES = 8
MIN_CLAIMS = 5


def faults(notebook: nbformat.NotebookNode, number: str) -> list[str]:
    """What is missing or out of place; `number` is that of the notebook, such as `02`."""
    cells = [cell for cell in notebook.cells if not launch.installs(cell)]
    prose = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    return [
        *opening(cells, number),
        *sections(prose),
        *exercises(cells, number),
        *(f"no {what}" for what, pattern in {
            "check yourself, with the predictions from the top": r"## Check yourself\n+.*predictions",
            "**What we did not show.**": r"\*\*What we did not show\.\*\*",
            "**References.**": r"\*\*References\.\*\*",
            "wrong turn: a cell that fails on purpose, and says so before": r"on purpose",
            "**Diagnosis.** of the wrong turn": r"\*\*Diagnosis\.\*\*",
        }.items() if not re.search(pattern, prose)),
        *([] if code.count("lab.claim(") >= MIN_CLAIMS else [f"fewer than {MIN_CLAIMS} claims"]),
    ]  # fmt: skip


def opening(cells: list[nbformat.NotebookNode], number: str) -> list[str]:
    """Title, kind of numbers, minutes and aims; predictions; parameters; a short setup with the one import."""
    title, predict, parameters, setup = cells[:4]
    imports = re.findall(r"^.*\b(?:from|import) qwen35_lab.*$", "\n".join(c.source for c in cells), re.M)
    asked = {
        f"the title, `# {number} · …`": title.source.startswith(f"# {number} · "),
        "where its numbers come from": re.search("`(TINY|REAL|RANDOM|PUBLISHED)`", title.source),
        "the minutes it takes": re.search(r"\d+ minutes", title.source),
        "**What you will be able to do**, in three points": re.search(
            r"\*\*What you will be able to do\*\*\n\n(- [^\n]+\n([^-\n][^\n]*\n)*){3}", title.source
        ),
        "predictions in the second cell": predict.source.startswith("> **Predict"),
        "parameters in the third": "parameters" in parameters.metadata.get("tags", []),
        f"a setup of at most {SETUP_LINES} lines in the fourth": setup.cell_type == "code"
        and 0 < sum(bool(line.strip()) for line in setup.source.splitlines()) <= SETUP_LINES,
        "`import qwen35_lab as lab` in it, and no other import of the package": "import qwen35_lab as lab"
        in setup.source.splitlines()
        and imports == ["import qwen35_lab as lab"],
    }
    return [f"no {what}" for what, found in asked.items() if not found]


def sections(prose: str) -> list[str]:
    """`## 1 · Words in` and so on, each beginning with a question."""
    found = re.findall(r"^## (\d+) · .*\n+(.*(?:\n.+)*)", prose, re.M)
    numbers = [int(number) for number, _ in found]
    if len(found) not in SECTIONS or numbers != list(range(1, len(found) + 1)):
        return [f"the sections are {numbers}, not 1 to something in {SECTIONS}"]
    return [f"section {number} does not ask anything" for number, text in found if "?" not in text]


def exercises(cells: list[nbformat.NotebookNode], number: str) -> list[str]:
    """Each: the task `**02.1 · …**` with a folded hint, a cell to write in, and a folded solution."""
    tagged = [
        (n, tag) for n, c in enumerate(cells) for tag in ("exercise", "solution") if tag in c.metadata.get("tags", [])
    ]
    stubs = [n for n, tag in tagged if tag == "exercise"]
    if not stubs or [tag for _, tag in tagged] != ["exercise", "solution"] * len(stubs):
        return ["cells tagged `exercise` and `solution` do not come in pairs"]
    found = []
    for k, n in enumerate(stubs, start=1):
        task, solution = cells[n - 1].source, cells[n + 1]
        if f"**{number}.{k} · " not in task:
            found.append(f"no title **{number}.{k} · …** above its exercise")
        if not re.search(r"<details><summary>Hint", task):
            found.append(f"no hint for exercise {number}.{k}")
        if not solution.metadata.get("jupyter", {}).get("source_hidden"):
            found.append(f"the solution of {number}.{k} is not folded")
        if f'lab.check("{number}.{k}"' not in cells[n].source:
            found.append(f"exercise {number}.{k} does not end with its checker, lab.check")
        if f'lab.check_solution("{number}.{k}"' not in solution.source or "lab.check(" in solution.source:
            found.append(f"the solution of {number}.{k} is not judged by lab.check_solution, its checker")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_has_every_part_in_its_place(path):
    assert faults(nbformat.read(path, as_version=4), path.stem[:2]) == []


# ------------------------------------------------------------------------- do these checks see anything?

PARTS = {
    "# 02 · ": "the title", "`": "where its numbers", " minutes": "the minutes", "\n- ": "able to do",
    "> **Predict": "predictions in", "import qwen35_lab as lab": "import of the package", "## 3 · ": "the sections are",
    "lab.claim(": "claims", "<summary>Hint": "no hint", '"02.2"': "its checker", "**02.1 · ": "no title",
    "## Check yourself": "check yourself", "on purpose": "wrong turn", "**Diagnosis.**": "Diagnosis",
    "**What we did not show.**": "What we did not", "**References.**": "References",
}  # fmt: skip


@pytest.fixture
def whole():
    return nbformat.read(next(path for path in NOTEBOOKS if path.stem.startswith("02")), as_version=4)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(whole, part):
    for cell in whole.cells:
        cell.source = cell.source.replace(part, "")
    assert any(PARTS[part] in fault for fault in faults(whole, "02"))


@pytest.mark.parametrize("tag", ["parameters", "exercise", "solution"])
def test_a_missing_tag_is_named(whole, tag):
    next(cell for cell in whole.cells if tag in cell.metadata.get("tags", [])).metadata["tags"] = []
    assert any(tag in fault for fault in faults(whole, "02"))


def test_a_long_setup_an_open_solution_and_a_second_import_are_named(whole):
    next(cell for cell in whole.cells if "import qwen35_lab as lab" in cell.source).source += "\nx = 1" * SETUP_LINES
    next(cell for cell in whole.cells if "solution" in cell.metadata.get("tags", [])).metadata["jupyter"] = {}
    whole.cells[-2].source += "\nfrom qwen35_lab import model"
    named = " ".join(faults(whole, "02"))
    assert "a setup of at most" in named and "not folded" in named and "no other import" in named
