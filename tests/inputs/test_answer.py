"""Answers are read into their lanes, however they are cut, and whatever they hold; calls come back as they were."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qwen35_lab as lab
from qwen35_lab import nano
from qwen35_lab.inputs.calls import NoCall, read_call, read_value


def call(name="add", **arguments):
    values = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{values}</function>\n</tool_call>"


def tool(name="add", **properties):
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


INTEGERS = [tool(a={"type": "integer"}, b={"type": "integer"})]


def lanes(text: str, **how: Any):
    answer = lab.parse_answer(text, **how)
    assert answer.text == text
    return answer.reasoning, answer.content, [(each.name, each.arguments) for each in answer.tool_calls]


# ------------------------------------------------------------------------- lanes


@pytest.mark.parametrize(
    ("text", "thinking", "expected"),
    [
        ("Seven.", False, ("", "Seven.", [])),
        ("Three and four.\n</think>\n\nSeven.", True, ("Three and four.", "Seven.", [])),
        ("<think>\nThree and four.\n</think>\n\nSeven.", False, ("Three and four.", "Seven.", [])),
        ("<think>\nThree and four.\n</think>\n\nSeven.", True, ("Three and four.", "Seven.", [])),
        ("\n</think>\n\nSeven.", True, ("", "Seven.", [])),
        ("Three and", True, ("Three and", "", [])),
        (f"I could say {call(a=1)}", True, (f"I could say {call(a=1)}", "", [])),
        ("Write <think> and </think>.", False, ("", "Write <think> and </think>.", [])),
        ("No.\n</think>\n\nA </think> B", True, ("No.", "A </think> B", [])),
        ("  a  b \n\n c  ", False, ("", "a  b \n\n c", [])),
        ("", True, ("", "", [])),
    ],
)
def test_thoughts_end_at_their_tag_and_open_only_at_the_beginning(text, thinking, expected):
    assert lanes(text, thinking=thinking) == expected


def test_calls_stand_behind_content_and_between_it():
    one, two = call(a=1, b=2), call("sub", a=3)
    text = f"Hm.\n</think>\n\nI add.\n\n{one}\n{two}\nThen I see.\n\n{one}"
    calls = [("add", {"a": 1, "b": 2}), ("sub", {"a": "3"}), ("add", {"a": 1, "b": 2})]
    assert lanes(text, thinking=True, tools=INTEGERS) == ("Hm.", "I add.\n\nThen I see.", calls)
    assert lanes(one, tools=INTEGERS) == ("", "", calls[:1])
    assert lanes(f"{one} Done.", tools=INTEGERS) == ("", "Done.", calls[:1])


def test_a_call_without_parameters_and_one_in_a_single_line():
    assert lanes(call()) == ("", "", [("add", {})])
    line = "<tool_call><function=add><parameter=a>1</parameter><parameter=b>2</parameter></function></tool_call>"
    assert lanes(line, tools=INTEGERS) == ("", "", [("add", {"a": 1, "b": 2})])


@pytest.mark.parametrize(
    "value",
    [
        "</parameter>", "</function>", "</tool_call>", "<parameter=b>", "</think>", "<tool_call>", "", "\n", "\n\na\n",
        "</parameter>\n</function>\nprint()", "</parameter>\n<parameter=", "x</tool_call>\n<tool_call>y", " a ", "1",
        call(a=1).removesuffix("</tool_call>"), "</parameter></parameter>", "&lt;\\n",
    ],
)  # fmt: skip
def test_a_value_may_look_like_the_end_of_its_call(value):
    text = f"Now.\n\n{call(a=value, b='2')}\n{call(a=value)}"
    assert lanes(text) == ("", "Now.", [("add", {"a": value, "b": "2"}), ("add", {"a": value})])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>', "not followed by <function=NAME>"),
        ("<tool_call>\n</tool_call>", "not followed by <function=NAME>"),
        ("<tool_call>", "not closed"),
        (call(a=1).removesuffix("\n</tool_call>"), "not closed"),
        (call(a=1)[:40], "not closed"),
        (call(a=1).replace("\n</parameter>", ""), "not closed"),
        (call(a=1).replace("<parameter=a>", "a ="), "add holds something that is no parameter"),
        (call(a=1).replace("</function>\n", "</function>\nDone."), "not closed"),
        (call(a="one"), "a is 'one', which is not of type integer"),
        (call(a=1.5), "a is '1.5', which is not of type integer"),
        (call(a="[" * 100_000), r"a is '\[{39}…', which is not of type integer"),
        (call(a="9" * 10_000), "a is '9{39}…', which is not of type integer"),
        (call(a=1).replace("</function>", "<parameter=a>\n2\n</parameter>\n</function>"), "add gives a twice"),
    ],
)
def test_what_is_no_call_is_content_with_a_reason(text, reason):
    answer = lab.parse_answer(f"So:\n\n{text}\n", tools=INTEGERS)
    assert answer.content == f"So:\n\n{text}" and answer.tool_calls == ()
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(*answer.malformed)


def test_what_follows_a_malformed_call_is_read():
    bad = "<tool_call>\nadd(1, 2)\n</tool_call>"
    answer = lab.parse_answer(f"{bad}\n{call(a=1)}\nWell.", tools=INTEGERS)
    assert answer.content == f"{bad}\n\nWell." and [each.arguments for each in answer.tool_calls] == [{"a": 1}]


def test_the_message_of_an_answer():
    text = f"Hm.\n</think>\n\nI add.\n\n{call(a=1)}"
    assert lab.parse_answer(text, thinking=True, tools=INTEGERS).message == {
        "role": "assistant", "content": "I add.", "reasoning_content": "Hm.",
        "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}],
    }  # fmt: skip
    assert lab.parse_answer("Yes.").message == {"role": "assistant", "content": "Yes.", "reasoning_content": ""}


# ------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("7", {"type": "string"}, "7"),
        (" 7\n", {"type": "string"}, " 7\n"),
        ("7", None, "7"),
        ("7", {"description": "any"}, "7"),
        ("7", {"type": "what"}, "7"),
        ("7", {"type": "integer"}, 7),
        ("7.0", {"type": "integer"}, 7),
        ("7", {"type": "number"}, 7),
        ("1e-07", {"type": "number"}, 1e-7),
        ("true", {"type": "boolean"}, True),
        ("False", {"type": "boolean"}, False),  # as the official template writes it
        ("None", {"type": "string", "nullable": True}, None),
        ("null", {"type": ["string", "null"]}, None),
        ("nothing", {"type": ["string", "null"]}, "nothing"),
        ("[1, [true, null]]", {"type": "array"}, [1, [True, None]]),
        ('{"é": {"a": "1"}}', {"type": "object"}, {"é": {"a": "1"}}),
        ("5", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, 5),
        ("five", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "five"),
        ("2", {"enum": ["1", 2]}, 2),
        ("1", {"enum": ["1", 2]}, "1"),
        ("true", {"const": True}, True),
        ("NaN", {"type": ["number", "string"]}, "NaN"),  # no JSON, and no tool could be sent it
        ("1", {"type": 5}, "1"),  # a schema that is out of form says nothing
        ("1", {"type": [{"type": "integer"}, "integer"]}, 1),
        ("1", {"anyOf": None, "oneOf": 7, "enum": 7}, "1"),
        ("1", {"anyOf": ["integer"]}, "1"),
    ],
)
def test_a_value_has_the_type_of_its_schema(text, schema, value):
    found = read_value(text, "a", schema)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("true", "integer"),
        ("1", "boolean"),
        ("[1]", "object"),
        ("{}", "array"),
        ("", "number"),
        ("0", "null"),
        ("NaN", "number"),
        ('{"a": -Infinity}', "object"),
    ],
)
def test_a_value_of_another_type_is_refused(text, kind):
    with pytest.raises(NoCall, match=kind):
        read_value(text, "a", {"type": kind})


@pytest.mark.parametrize("parameters", [None, 5, {}, {"properties": None}, {"properties": [1]}])
def test_no_call_is_lost_over_a_schema_that_is_out_of_form(parameters):
    tools = [{"type": "function", "function": {"name": "add", "parameters": parameters}}]
    assert lab.parse_answer(call(a=1), tools=tools).tool_calls == (lab.ToolCall("add", {"a": "1"}),)


def test_a_text_that_goes_on_behind_the_call_is_not_one():
    with pytest.raises(NoCall, match="goes on after its end"):
        read_call(call(a=1) + "</tool_call>")


# ------------------------------------------------------------------------- round trip

NAMES = st.text(st.characters(codec="utf-8", exclude_characters=">\r\n"), min_size=1).filter(lambda s: s.strip() == s)
MARKS = (
    "</parameter>",
    "<parameter=a>",
    "</function>",
    "</tool_call>",
    "<tool_call>",
    "</think>",
    "\n",
    " ",
    "é",
    "語",
)
TEXTS = st.text(st.characters(codec="utf-8")) | st.lists(st.sampled_from(MARKS), max_size=8).map("".join)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
VALUES = {
    "string": TEXTS,
    "integer": st.integers(),
    "number": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "null": st.none(),
    "array": st.lists(NESTED, max_size=4),
    "object": st.dictionaries(TEXTS, NESTED, max_size=4),
}


def ends(value: Any) -> bool:
    """Whether it holds what nobody could tell from its own end."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    tight = "".join(text.split())
    return "</parameter><parameter=" in tight or "</parameter></function></tool_call>" in tight


PARAMETER = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))
CALL = st.tuples(NAMES, st.dictionaries(NAMES, PARAMETER.filter(lambda pair: not ends(pair[1])), max_size=4))


@pytest.fixture(scope="module")
def writer():
    """What runs the nano's chat template."""
    return nano.train_tokenizer(size=300, samples=1)


@settings(max_examples=500, deadline=None)
@given(call=CALL, content=st.sampled_from(["", "I call."]), thought=st.sampled_from(["", "Hm.\nYes."]))
def test_calls_that_the_template_writes_come_back(writer, call, content, thought):
    name, parameters = call
    arguments = {key: value for key, (_, value) in parameters.items()}
    tools = [tool(name, **{key: {"type": kind} for key, (kind, _) in parameters.items()})]
    said = {"role": "assistant", "content": content, "reasoning_content": thought, "tool_calls": [
        {"type": "function", "function": {"name": name, "arguments": arguments}}
    ] * 2}  # fmt: skip
    text = writer.apply_chat_template([{"role": "user", "content": "Do."}, said], tokenize=False)
    turn = text.split("<|im_start|>assistant\n<think>\n", 1)[1].removesuffix("<|im_end|>\n")
    answer = lab.parse_answer(turn, thinking=True, tools=tools)
    assert answer.malformed == () and answer.message == said
    for each in answer.tool_calls:
        assert repr(each.arguments) == repr(arguments)  # 1 is not True nor 1.0


# ------------------------------------------------------------------------- cut anywhere

PARTS = (
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<function=add>", "</function>", "<parameter=a>",
    "</parameter>", "<", "</", "\n", " ", "1", "é", "a", call(a=1), call(a="</parameter>"), "\n\n", "<tool_", "call>",
)  # fmt: skip
SAID = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=14).map("".join) | st.text()


@settings(max_examples=600, deadline=None)
@given(text=SAID, thinking=st.booleans(), data=st.data())
def test_however_it_is_cut_the_answer_is_the_same(text, thinking, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8))) if data.draw(st.booleans()) else None
    cuts = range(len(text)) if cuts is None else cuts  # every character on its own
    parser, pieces = lab.AnswerParser(thinking=thinking, tools=INTEGERS), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        pieces += parser.push(text[start:end])
    pieces += parser.close()
    answer, whole = parser.answer("stop"), lab.parse_answer(text, thinking=thinking, tools=INTEGERS)
    assert answer == whole
    for lane, said in (("reasoning", whole.reasoning), ("content", whole.content)):
        assert "".join(piece.text for piece in pieces if piece.lane == lane) == said == said.strip()
    assert [piece.call for piece in pieces if piece.lane == "tool_call"] == list(whole.tool_calls)
    assert [piece.reason for piece in pieces if piece.reason] == list(whole.malformed)


@settings(max_examples=300, deadline=None)
@given(text=SAID, thinking=st.booleans())
def test_nothing_that_is_said_is_lost(text, thinking):
    """But white space, and the tags of a thought."""
    parser = lab.AnswerParser(thinking=thinking, tools=INTEGERS)
    pieces = "".join("".join(piece.text for piece in (*parser.push(text), *parser.close())).split())
    tight = "".join(text.split())
    begun = tight.removeprefix("<think>")
    if thinking or begun != tight:
        begun = begun.replace("</think>", "", 1)
    assert pieces == begun


def test_text_is_passed_on_as_soon_as_it_is_certain():
    parser = lab.AnswerParser(thinking=True)
    said = [
        (piece.lane, piece.text)
        for chunk in ("Hm", " m", "\n</th", "ink>\n\nA ", "b<", "c")
        for piece in parser.push(chunk)
    ]
    assert said == [
        ("reasoning", "Hm"), ("reasoning", " m"), ("content", "A"), ("content", " b"), ("content", "<c"),
    ]  # fmt: skip
    assert parser.answer().content == "A b<c" and parser.answer().finished is None
