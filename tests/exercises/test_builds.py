"""Builds of a notebook: what is cut, what is filled in, and what does not fit."""

import json

import nbnorm
import pytest

from qwen35_lab.errors import InputError
from qwen35_lab.exercises.builds import build, filled, solved, student

STUB = 'import math\n\n\ndef f(x, *, eps=1):  # y\n    return None  # your turn\n\n\nlab.check("01.1", f)'
SOLUTION = 'def solution(x, *, eps=1):\n    # the solution\n    return solution and "solution"\n'
SOLUTION += '\n\nlab.check_solution("01.1", solution)'


def code(source, id="c", *tags):
    return {"cell_type": "code", "id": id, "metadata": {"tags": list(tags)}, "source": source, "outputs": []}


def notebook(*cells, intro="Each has a cell, a\nhint, and a folded solution: click its three dots. A wrong answer"):
    return {"cells": [{"cell_type": "markdown", "metadata": {}, "source": intro}, *cells], "metadata": {}}


PAIR = code(STUB, "stub", "exercise"), code(SOLUTION, "solved", "solution")


def sources(made):
    return ["".join(cell["source"]) for cell in made["cells"]]


def test_a_function_is_filled_in_under_its_own_name():
    assert filled(STUB, SOLUTION) == (
        'import math\n\n\ndef f(x, *, eps=1):\n    # the solution\n    return f and "solution"\n'
        '\n\nlab.check_solution("01.1", f)\n'
    )


@pytest.mark.parametrize(
    "stub, solution, whole",
    [
        ('answer = ...  # a name\nlab.check("01.1", answer, given=a)',
         'n = 3\nlab.check_solution("01.1", f"x{n}", given=a)',
         'n = 3\nanswer = f"x{n}"\nlab.check_solution("01.1", answer, given=a)\n'),
        ('given = [1]\na = ...\nb = ...\nprint(given)\nlab.check("01.1", (a, b))',
         'both = 1, 2\nlab.check_solution("01.1", both)',
         'given = [1]\nboth = 1, 2\na, b = both\nprint(given)\nlab.check_solution("01.1", (a, b))\n'),
        ('answer = ...\nlab.check("01.1", answer)', 'answer = 1\nlab.check_solution("01.1", answer)',
         'answer = 1\nlab.check_solution("01.1", answer)\n'),
        ('answer = ...\nlab.check("01.1", answer)', 'lab.check_solution("01.1", 1\n+ 2)',
         'answer = (1\n+ 2)\nlab.check_solution("01.1", answer)\n'),
        ('@cache\ndef f(x):\n    return None\n\n\nlab.check("01.1", f)',
         'f = len\nverdict = lab.check("01.1", f)\nassert verdict, verdict\nverdict',
         'f = len\n\n\nlab.check_solution("01.1", f)\n'),
    ],
)  # fmt: skip
def test_an_answer_is_filled_in_whatever_it_is(stub, solution, whole):
    assert filled(stub, solution) == whole


@pytest.mark.parametrize(
    "stub, solution, words",
    [
        (STUB, SOLUTION.replace("01.1", "01.2"), "stub of 01.1 is followed by the solution of 01.2"),
        (STUB, SOLUTION.replace("eps=1", "eps=2"), r"takes \(x, \*, eps=2\), its stub \(x, \*, eps=1\)"),
        (STUB, "x = 1", "No checker is called"),
        ('lab.check("01.1", answer)', SOLUTION, "leaves nothing to fill in"),
        ('answer = ...\nlab.check("01.1", set(answer))', SOLUTION, "judges `set"),
    ],
)
def test_what_does_not_fit_is_refused(stub, solution, words):
    with pytest.raises(InputError, match=words):
        filled(stub, solution)


def test_the_two_builds_share_all_but_the_exercises():
    cells = [code("import qwen35_lab as lab", "setup"), *PAIR, code("print(1)", "end")]
    handed_out, whole = sources(student(notebook(*cells))), sources(solved(notebook(*cells)))
    assert handed_out == ["Each has a cell, and a hint. A wrong answer", cells[0]["source"], STUB, "print(1)"]
    assert whole[0] == "Each has a cell, a hint, and its stub filled in. A wrong answer"
    assert whole[2] == filled(STUB, SOLUTION).strip("\n") and [whole[1], whole[3]] == [handed_out[1], handed_out[3]]


@pytest.mark.parametrize("later", ["print(solution(3))", "x = [solution for _ in range(3)]"])
def test_a_cell_that_needs_a_solution_is_named(later):
    with pytest.raises(InputError, match="cell `late` has no `solution`, which only a solution defines"):
        student(notebook(*PAIR, code(later, "late")))


def test_a_name_that_is_defined_elsewhere_is_none_of_the_solution():
    student(
        notebook(
            code("n = 1", "first"), *PAIR[:1], code(f"n = 2\n{SOLUTION}", "s", "solution"), code("print(n)", "late")
        )
    )


@pytest.mark.parametrize("intro", ["Click its three dots.", "There is a folded solution."])
@pytest.mark.parametrize("kind", [student, solved])
def test_other_words_about_folded_solutions_are_refused(intro, kind):
    with pytest.raises(InputError, match="word it as in the other notebooks"):
        kind(notebook(*PAIR, intro=intro))


def test_a_stub_without_a_solution_is_refused():
    with pytest.raises(InputError, match="`stub` has no solution"):
        solved(notebook(PAIR[0]))


@pytest.fixture
def path(tmp_path):
    (tmp_path / "from").mkdir()
    path = tmp_path / "from" / "01_a.ipynb"
    path.write_text(nbnorm.dumps(nbnorm.normalise(notebook(*PAIR))), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["student", "solution"])
def test_a_file_is_written_in_normal_form_and_never_over_somebodys_work(path, tmp_path, kind):
    (target,) = build(kind, [path], tmp_path / "to")
    text = target.read_text(encoding="utf-8")
    assert text == nbnorm.dumps(nbnorm.normalise(json.loads(text)))
    target.write_text("my work", encoding="utf-8")
    with pytest.raises(InputError, match="may have been worked on"):
        build(kind, [path], tmp_path / "to")
    assert target.read_text(encoding="utf-8") == "my work"
    build(kind, [path], tmp_path / "to", overwrite=True)
    assert target.read_text(encoding="utf-8") == text


def test_a_notebook_is_not_built_over_itself(path):
    with pytest.raises(InputError, match="is the notebook itself"):
        build("student", [path], path.parent, overwrite=True)


def test_nothing_is_written_where_one_notebook_cannot_be_built(path, tmp_path):
    broken = path.with_name("02_b.ipynb")
    for content, words in (
        ("{", "no Jupyter notebook|not a Jupyter notebook"),
        (json.dumps(notebook(PAIR[0])), "02_b.ipynb: "),
    ):
        broken.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            build("solution", [path, broken], tmp_path / "to")
    with pytest.raises(InputError, match="cannot be read"):
        build("solution", [path, path.with_name("03.ipynb")], tmp_path / "to")
    assert not (tmp_path / "to").exists()
