"""What a notebook can be given is written in its first code cell, and held to before anything runs."""

import json
from pathlib import Path

import papermill
import pytest

import qwen35_lab as lab
from qwen35_lab.jobs.find import find, load
from qwen35_lab.jobs.parameters import TYPES, Parameter, read, settle, split, table

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
CELL = """
context_length: int = 4096  # tokens, 1 to 1,048,576
rate: float = 1e-3  # of learning, above 0
dtype: str = "float32"  # of the weights, one of float32, bfloat16 or float64; seven digits
prompt: str = "a = 1  # b"  # says a = 1, takes 2 to 3 minutes
thinking: bool = False  # aloud
sizes: list[int] = [1, 2]  # of chunks, at least 1
"""
KNOWN = read(CELL)


def test_name_type_default_and_help_are_what_the_cell_says():
    assert list(KNOWN) == ["context_length", "rate", "dtype", "prompt", "thinking", "sizes"]
    assert KNOWN["context_length"] == Parameter("context_length", "int", 4096, "tokens, 1 to 1,048,576")
    assert KNOWN["prompt"].default == "a = 1  # b" and KNOWN["prompt"].help.startswith("says a = 1")
    assert KNOWN["sizes"].type == "list[int]" and KNOWN["sizes"].default == [1, 2]


def test_without_a_type_the_default_has_one():
    assert {name: p.type for name, p in read("a = 1\nb = 2.0\nc = [1.5]\nd = ''\ne = True\nimport os").items()} == {
        "a": "int", "b": "float", "c": "list[float]", "d": "str", "e": "bool"
    }  # fmt: skip


@pytest.mark.parametrize(
    "source, said",
    [("x = 2**18", "is computed"), ("x: dict = {}", "declared as dict"), ("x = []", "declared as list")],
)
def test_a_default_that_no_command_line_can_set_is_refused(source, said):
    with pytest.raises(lab.InputError, match=said):
        read(source)


VALUES = [
    ("context_length", "131072", 131072),
    ("context_length", "1", 1),
    ("rate", "0.5", 0.5),
    ("dtype", "float64", "float64"),
    ("prompt", "one, two", "one, two"),
    ("prompt", "", ""),
    ("thinking", "True", True),
    ("thinking", "no", False),
    ("sizes", "1, 7", [1, 7]),
    ("sizes", "[3]", [3]),
]


@pytest.mark.parametrize("name, text, value", VALUES)
def test_a_value_gets_its_type(name, text, value):
    (found,) = settle(KNOWN, [(name, text)], "99_test")[name]
    assert found == value and type(found) is type(value)


REFUSED = [
    ("context_lenght", "1", r"99_test has no parameter 'context_lenght'; did you mean 'context_length'\?"),
    ("zzz", "1", "there are context_length, rate, dtype"),
    ("context_length", "many", "context_length is 'many'; pass a whole number from 1 to 1,048,576"),
    ("context_length", "1.5", "whole number"),
    ("context_length", "0", "context_length is 0; pass a whole number from 1 to"),
    ("context_length", "1048577", "from 1 to 1,048,576"),
    ("rate", "0", "rate is 0.0; pass a number above 0"),
    ("rate", "nan", "number above 0"),
    ("rate", "inf", "number above 0"),
    ("dtype", "bfloat", r"dtype is 'bfloat'; pass one of float32, bfloat16, float64; did you mean 'bfloat16'\?"),
    ("dtype", "int8", "one of float32, bfloat16, float64"),
    ("thinking", "perhaps", "true or false"),
    ("sizes", "1,0", "sizes is 0; pass a whole number of at least 1"),
    ("sizes", "1,x", "sizes is 'x'"),
]


@pytest.mark.parametrize("name, text, said", REFUSED)
def test_what_does_not_fit_is_refused_in_a_sentence(name, text, said):
    with pytest.raises(lab.InputError, match=said):
        settle(KNOWN, [(name, text)], "99_test")


def test_a_sweep_has_several_values_and_a_run_has_one():
    given = [("context_length", "1024, 4096,1024"), ("sizes", "1,2"), ("sizes", "3"), ("prompt", '"a, b",c')]
    found = settle(KNOWN, given, "99_test", several=True)
    assert found == {"context_length": [1024, 4096], "sizes": [[1, 2], [3]], "prompt": ["a, b", "c"]}
    with pytest.raises(lab.InputError, match="sweep"):
        settle(KNOWN, [("rate", "1"), ("rate", "2")], "99_test")
    with pytest.raises(lab.InputError, match="whole number"):
        settle(KNOWN, [("context_length", "1,2")], "99_test")
    assert split("") == []


def test_the_list_names_everything():
    shown = repr(table(KNOWN, "99_test"))
    assert all(word in shown for word in (*KNOWN, "list[int]", "4096", "1 to 1,048,576", "-p NAME VALUE"))


# ------------------------------------------------------------------------- the notebooks that there are


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_of_a_notebook_is_documented(path):
    """Declared, explained, and with a default that its own help allows; papermill reads the same."""
    found = load(path).parameters
    by_papermill = papermill.inspect_notebook(str(path))
    assert found and list(found) == list(by_papermill)
    cell = next(
        c for c in json.loads(path.read_text("utf-8"))["cells"] if "parameters" in c["metadata"].get("tags", [])
    )
    for name, parameter in found.items():
        assert f"{name}: {parameter.type} = " in "".join(cell["source"]), "declare its type"
        assert parameter.element in TYPES
        assert len(parameter.help.split()) >= 2, "say behind it what it is"
        parameter.check(parameter.default)
        assert by_papermill[name]["inferred_type_name"] == parameter.type
        assert by_papermill[name]["help"] == parameter.help


# ------------------------------------------------------------------------- which notebook is meant


def notebook(path: Path, cell: str = "x: int = 1  # a number") -> Path:
    cells = [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": [cell], "outputs": []}]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_notebooks_are_found_by_number_name_and_path(tmp_path):
    first, other = notebook(tmp_path / "03_rule.ipynb"), notebook(tmp_path / "11_claims.ipynb")
    for name in ("03", "3", "03_rule", str(first)):
        assert [found.name for found in find([name], tmp_path)] == ["03_rule"]
    assert [found.name for found in find(["11", "all"], tmp_path)] == ["11_claims", "03_rule"]
    assert find([str(other)])[0].parameters["x"].default == 1


def test_the_checkout_has_its_own():
    assert [found.name for found in find(["all"])] == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize(
    "name, said",
    [("04", "'04' is no notebook"), ("03_rules", r"did you mean '03_rule'\?"), ("gone.ipynb", "could not be read")],
)
def test_a_notebook_that_is_not_there_is_said_to_be_missing(name, said, tmp_path, monkeypatch):
    notebook(tmp_path / "03_rule.ipynb")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lab.InputError, match=said):
        find([name], tmp_path)


def test_two_of_one_number_must_be_told_apart(tmp_path):
    notebook(tmp_path / "03_rule.ipynb")
    notebook(tmp_path / "03_other.ipynb")
    with pytest.raises(lab.InputError, match="say which of 03_other, 03_rule"):
        find(["03"], tmp_path)


def test_a_folder_without_notebooks_is_said_to_be_empty(tmp_path):
    with pytest.raises(lab.InputError, match="--notebooks"):
        find(["03"], tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [{}]}', "nonsense"])
def test_what_is_no_notebook_is_refused(text, tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(lab.InputError, match="is no Jupyter notebook"):
        find([str(path)])


def test_parameters_that_are_no_python_are_refused(tmp_path):
    with pytest.raises(lab.InputError, match="no Python"):
        find([str(notebook(tmp_path / "a.ipynb", "x = = 1"))])
    with pytest.raises(lab.InputError, match=r"a\.ipynb: The default of the parameter 'x' is computed"):
        find([str(notebook(tmp_path / "a.ipynb", "x = f()"))])
