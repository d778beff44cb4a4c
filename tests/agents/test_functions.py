"""Typed functions become tools: the schema that a model reads, and arguments, converted or refused in words."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen35_lab import InputError
from qwen35_lab.agents import Misfit, convert, describe, tool, world_tools
from qwen35_lab.inputs import as_schemas, parse_answer
from qwen35_lab.nano.world.tools import CALCULATOR, LOOKUP


@dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)


def move(
    name: str, to: Point, speed: float = 1.0, loud: bool = False, way: Literal["left", "right"] = "left",
    steps: int | None = None, parts: list[int] | None = None, extra: dict[str, float] | None = None,
) -> str:  # fmt: skip
    """Move a thing.

    It goes on to a second line.

    Args:
        name: which one,
            of all of them
        to (Point): where it goes
        speed: in metres per second: more is faster

    Returns:
        what happened
    """
    return f"{name} {to}"


def test_the_schema_tells_all_that_the_signature_does():
    made = tool(move)
    schema = made.schema
    assert made.name == "move" and made.description == "Move a thing. It goes on to a second line."
    assert schema["required"] == ["name", "to"]
    properties = schema["properties"]
    assert properties["name"] == {"type": "string", "description": "which one, of all of them"}
    assert properties["speed"] == {
        "type": "number", "description": "in metres per second: more is faster", "default": 1.0,
    }  # fmt: skip
    assert properties["way"] == {"type": "string", "enum": ["left", "right"], "default": "left"}
    assert properties["steps"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert properties["to"]["required"] == ["x"] and properties["to"]["additionalProperties"] is False
    assert properties["extra"]["anyOf"][0] == {"type": "object", "additionalProperties": {"type": "number"}}


def test_it_describes_as_transformers_does():
    def add(a: int, b: float, why: str, names: list[str], often: bool = True) -> float:
        """Add two numbers.

        Args:
            a: the first
            b: the second
            why: a reason
            names: of people
            often: or seldom
        """
        return a + b

    (theirs,), ours = as_schemas(add), tool(add).offer
    for name, told in theirs["function"]["parameters"]["properties"].items():
        assert told.items() <= ours["function"]["parameters"]["properties"][name].items()
    assert ours["function"]["parameters"]["required"] == theirs["function"]["parameters"]["required"]
    assert ours["function"]["description"] == theirs["function"]["description"].rstrip()


def test_the_nanos_tools_look_as_in_training():
    made = world_tools({"Mia": {"age": "31"}})
    assert (made["calculator"].offer, made["lookup"].offer) == (CALCULATOR, LOOKUP)
    assert made["lookup"](name="Mia", field="age") == "31"


def test_arguments_are_converted():
    read = tool(move).read({
        "name": 7, "to": '{"x": "3", "y": 4.0}', "speed": "2", "loud": "True", "steps": "null", "parts": "[1, 2]",
        "extra": {"a": 1},
    })  # fmt: skip
    assert read == {
        "name": "7", "to": Point(3, 4), "speed": 2.0, "loud": True, "steps": None, "parts": [1, 2], "extra": {"a": 1.0},
    }  # fmt: skip
    assert type(read["speed"]) is float and type(read["extra"]["a"]) is float


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"name": "a"}, "move needs to, which is missing"),
        ({}, "move needs name and to, which are missing"),
        ({"name": "a", "to": {"x": 1}, "colour": 1}, 'does not know "colour"; it takes only name, to, speed'),
        ({"name": "a", "to": {"x": 1.5}}, "to.x must be a whole number, not 1.5"),
        ({"name": "a", "to": {"x": True}}, "to.x must be a whole number, not true"),
        ({"name": "a", "to": {}}, "to needs x, which is missing"),
        ({"name": "a", "to": {"x": 1, "z": 1}}, 'to does not know "z"'),
        ({"name": "a", "to": {"x": 1, "tags": "one"}}, 'to.tags must be a list, not "one"'),
        ({"name": "a", "to": {"x": 1, "tags": [1, []]}}, "to.tags[1] must be a text, not []"),
        ({"name": "a", "to": {"x": 1}, "way": "up"}, 'way must be "left" or "right", not "up"'),
        ({"name": "a", "to": {"x": 1}, "speed": "fast"}, 'speed must be a number, not "fast"'),
        ({"name": "a", "to": {"x": 1}, "speed": "NaN"}, "speed must be a finite number"),
        ({"name": "a", "to": {"x": 1}, "speed": 10**400}, "speed must be a finite number"),
        ({"name": "a", "to": {"x": 1}, "loud": 1}, "loud must be true or false, not 1"),
        ({"name": "a", "to": {"x": 1}, "steps": "x"}, 'steps must be a whole number or null, not "x"'),
        ({"name": None, "to": {"x": 1}}, "name must be a text, not null"),
        ({"name": "a" * 500, "to": "b" * 500}, "…"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(arguments, told):
    with pytest.raises(Misfit) as caught:
        tool(move).read(arguments)
    assert told in str(caught.value) and len(str(caught.value)) < 250


VALUES = {
    str: st.text(), int: st.integers(), float: st.floats(allow_nan=False, allow_infinity=False), bool: st.booleans(),
    list[int]: st.lists(st.integers()), dict[str, bool]: st.dictionaries(st.text(), st.booleans()),
    Literal["a", 3, None]: st.sampled_from(["a", 3, None]), int | None: st.none() | st.integers(),
    str | int: st.text() | st.integers(), list[list[float]]: st.lists(st.lists(st.floats(-9, 9))),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES, ids=str)
def test_a_value_of_its_type_stays_as_it_is(kind):
    @given(VALUES[kind])
    def stays(value):
        found = convert(value, kind, "it")
        assert found == value and type(found) is type(value)

    stays()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "tags", "z"]), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["name", "to", "speed", "loud", "way", "steps", "parts", "extra"]), ANYTHING))
def test_whatever_a_model_sends_is_read_or_refused(arguments):
    try:
        read = tool(move).read(arguments)
    except Misfit:
        return
    assert isinstance(read["name"], str) and isinstance(read["to"], Point) and type(read["to"].x) is int


def no_docstring(a: int): ...


def no_type(a):
    """Do it."""


def of_any_number(*a: int):
    """Do it."""


def of_bytes(a: bytes):
    """Do it."""


def of_keys(a: dict[int, str]):
    """Do it."""


@pytest.mark.parametrize(
    "function, told",
    [
        (no_docstring, "no docstring"), (no_type, "annotate it"), (of_any_number, "write them out"),
        (of_bytes, "cannot take bytes"), (of_keys, "cannot take dict"), (lambda: 1, "cannot be called '<lambda>'"),
    ],
)  # fmt: skip
def test_a_function_that_is_no_tool_is_refused(function, told):
    with pytest.raises(InputError, match=told):
        tool(function)


@pytest.mark.parametrize(
    "settings, told",
    [({"needs": ["root"]}, "needs 'root'"), ({"seconds": 0}, "0 seconds"), ({"characters": 0}, "0 characters"),
     ({"name": "a b"}, "letters")],
)  # fmt: skip
def test_settings_that_are_none_are_refused(settings, told):
    with pytest.raises(InputError, match=told):
        tool(**settings)(move)


def test_any_takes_anything():
    assert describe(Any) == {} and convert({"a": [1]}, Any, "it") == {"a": [1]}


@given(st.text(min_size=1), st.integers(), st.booleans(), st.lists(st.text()))
def test_a_call_as_text_comes_back_as_values(name, x, loud, tags):
    """The parser gives values by the schema that the function has."""
    from qwen35_lab.agents.faults import write_call

    if any(mark in name for mark in ("<", "\r")) or name != name.strip():
        return
    point = {"x": x, "tags": [tag for tag in tags if "<" not in tag]}
    import json

    text = write_call("move", {"name": name, "to": json.dumps(point), "loud": json.dumps(loud)})
    (call,) = parse_answer(text, tools=[tool(move).offer]).tool_calls
    assert tool(move).read(call.arguments) == {"name": name, "to": Point(x, 0, point["tags"]), "loud": loud}
