"""The solution build passes every exercise; both builds can be made.

That a stub is told politely that it is not right is asked where a notebook runs as it stands, in a browser. All cells
of the student build run there, and no name that the folded solutions between them define is read by one of them.
"""

import ast
import re

import nbformat
import pytest
from notebooks.running import NOTEBOOKS, read

from qwen35_lab.exercises.builds import BUILDS
from qwen35_lab.exercises.source import dumps, load

LONGEST = 200  # characters of a polite sentence


def exercises(notebook: nbformat.NotebookNode, tag: str = "exercise") -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def verdict(cell: nbformat.NotebookNode) -> str:
    """The one verdict that a cell shows, as text."""
    found = [output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
    assert len(found) == 1, f"{cell.id} ends without a verdict"
    return found[0]


def impolite(cell: nbformat.NotebookNode) -> str:
    """What is wrong with how a stub is told that it is not right; empty if nothing is."""
    said, shown = verdict(cell), str(cell.outputs)
    if not re.match(r"✗ \d\d\.\d+  \S", said):
        return f"{cell.id}: no ✗ with the exercise and a sentence: {said}"
    if "Traceback" in shown or re.search(r"\b[A-Z]\w*(Error|Exception|Warning)\b", said):
        return f"{cell.id}: an error instead of a sentence: {said}"
    return "" if said.endswith(".") and len(said) <= LONGEST else f"{cell.id}: not one short sentence: {said}"


@pytest.mark.timeout(900)
def test_the_solution_build_passes_every_exercise(filled_in):
    assert exercises(filled_in)
    assert [said for cell in exercises(filled_in) if not (said := verdict(cell)).startswith("✓ ")] == []


def names(tree: ast.AST, kind: type) -> set[str]:
    """What is read there (`ast.Load`), or given a value (`ast.Store`)."""
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, kind)}
    return found | (defined if kind is ast.Store else set())


def taken_from_solutions(notebook: nbformat.NotebookNode) -> set[str]:
    """Names that a folded solution gives a value, outside its functions, and a cell reads that gives them none."""
    given, read_later = set(), set()
    for cell in notebook.cells:
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", []):
            for statement in ast.parse(cell.source).body:
                inside = isinstance(statement, ast.FunctionDef | ast.ClassDef)
                given |= {statement.name} if inside else names(statement, ast.Store)
        elif cell.cell_type == "code":
            tree = ast.parse(cell.source)
            read_later |= given & names(tree, ast.Load) - names(tree, ast.Store)
    return read_later


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_student_build_is_what_runs_between_the_folded_solutions(path):
    assert taken_from_solutions(read(path)) == set()


@pytest.mark.parametrize("kind", BUILDS)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_build_is_a_valid_notebook_with_every_exercise_and_no_folded_solution(path, kind):
    made = nbformat.reads(dumps(BUILDS[kind](load(path))), as_version=4)
    nbformat.validate(made)
    assert len(exercises(made)) == len(exercises(read(path))) > 0
    assert "folded solution" not in str(made.cells)
    assert all("solution" not in cell.metadata.get("tags", []) for cell in made.cells)
    hints = [sum("<summary>Hint" in cell.source for cell in each.cells) for each in (made, read(path))]
    assert hints[0] == hints[1]


# ------------------------------------------------------------------------- do these checks see anything?


def cell(said: str, *more: nbformat.NotebookNode) -> nbformat.NotebookNode:
    shown = nbformat.v4.new_output("execute_result", {"text/plain": said})
    return nbformat.v4.new_code_cell("x", id="stub", outputs=[*more, shown], metadata={"tags": ["exercise"]})


@pytest.mark.parametrize(
    "said, words",
    [
        ("✗ 02.1  It returns nothing yet: end the function with `return`.", ""),
        ("✓ 02.1  Right.", "no ✗"),
        ("✗ 02.1  It raises KeyError: 'x', at `f[x]`.", "an error instead"),
        ("✗ 02.1  Not", "not one short sentence"),
        ("✗ 02.1  " + 99 * "No. ", "not one short sentence"),
    ],
)
def test_an_impolite_no_is_seen(said, words):
    assert words in impolite(cell(said)) and bool(words) == bool(impolite(cell(said)))


def test_a_name_that_a_solution_changes_under_another_cell_is_seen():
    cells = [nbformat.v4.new_code_cell(source) for source in ("n = 1", "n = 2\ndef f(x):\n    m = x", "m = 3", "n + m")]
    cells[1].metadata["tags"] = ["solution"]
    assert taken_from_solutions(nbformat.v4.new_notebook(cells=cells)) == {"n"}


def test_a_traceback_beside_a_verdict_is_seen():
    printed = nbformat.v4.new_output("stream", name="stderr", text="Traceback (most recent call last)")
    assert "an error instead" in impolite(cell("✗ 02.1  Not yet.", printed))
