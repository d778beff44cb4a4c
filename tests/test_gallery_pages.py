"""The reference says what our docstrings say, and as they mean it: code as code, one line for each error."""

import ast
import re

import pytest
from bs4 import BeautifulSoup
from gallery import reference
from gallery.prose import render
from torch import nn


def is_code(line: str) -> bool:
    """A line that calls something or gives it a name, and can be nothing but Python."""
    try:
        statements = ast.parse(line.strip()).body
    except SyntaxError:
        return False
    kinds = [node.value if isinstance(node, ast.Expr) else node for node in statements]
    return any(isinstance(kind, ast.Call | ast.Assign) for kind in kinds)


def faults(html: str) -> list[str]:
    """Code that is set as prose, and errors that share a line."""
    page = BeautifulSoup(html, "html.parser")
    found = [line for p in page.select("p") for line in p.get_text().splitlines() if is_code(line)]
    items = [li.get_text() for li in page.select("li")]
    return found + [item for item in items if re.search(r"\. \w+Error: |[.;] [a-z_]+: ", item)]


@pytest.mark.parametrize("room", reference.ROOMS)
def test_code_is_set_as_code_and_every_error_has_its_line(room):
    assert faults(reference.page(room, set())[0]) == []


@pytest.mark.parametrize(
    "docstring",
    ["Do it.\n\nmade = make(1)  # a thing\nmade.use()", "Use it:\n\nwith open(x) as file:\n    read(file, 2)",
     "Do it.\n\nRaises:\n    InputError: no. ConfigError: no, either.", "Args:\n    p: one. q: another."],
)  # fmt: skip
def test_code_as_prose_and_two_in_one_line_are_seen(docstring):
    assert faults(reference.markdown(docstring))


def test_what_torch_says_of_its_modules_is_not_said_of_ours():
    class Ours(nn.Module):
        def forward(self, x):
            return x

    assert nn.Module.__doc__ and reference.entry("Ours", Ours).html == "" == reference.documentation(Ours.forward)


@pytest.mark.parametrize("room", reference.ROOMS)
def test_everything_has_something_to_say(room):
    silent = [each.name for each in reference.entries(room) if each.kind != "value" and not each.html]
    assert silent == []


def test_a_short_cell_stays_in_one_line_and_a_long_one_is_no_column_of_single_words():
    page = BeautifulSoup(render(f"| a | b |\n|---|--:|\n| ≈ inexact | {'word ' * 20}|"), "html.parser")
    short, long = page.select("td")
    assert short["class"] == ["short"] and long["class"] == ["long"] and long["style"] == "text-align:right"
