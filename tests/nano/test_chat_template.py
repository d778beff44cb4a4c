"""The chat template has the family's structure: roles, markers, order, line breaks, which thoughts are kept.

The official templates were run on such conversations; what they print, but for the sentences, is written down here.
"""

import jinja2
import pytest

import qwen35_lab as lab
from qwen35_lab import nano
from qwen35_lab.nano import world

TOOL = {"type": "function", "function": {"name": "echo", "parameters": {"type": "object", "properties": {}}}}
EMPTY, OPEN = "<think>\n\n</think>\n\n", "<think>\n"
ANSWER = "<|im_start|>assistant\n"


def user(content):
    return {"role": "user", "content": content}


def assistant(content="", **more):
    return {"role": "assistant", "content": content, **more}


def called(**arguments):
    return {"type": "function", "function": {"name": "echo", "arguments": arguments}}


def written(tokenizer, messages, tools=None, prompt=True, **options) -> str:
    return tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=prompt, **options
    )  # fmt: skip


HELLO, HELLO_TEXT = [user("Good day.")], "<|im_start|>user\nGood day.<|im_end|>\n"


@pytest.mark.parametrize(
    "options, end", [({}, EMPTY), ({"enable_thinking": False}, EMPTY), ({"enable_thinking": True}, OPEN)]
)
def test_it_does_not_think_unless_it_is_told_to(tokenizer, options, end):
    assert written(tokenizer, HELLO, **options) == HELLO_TEXT + ANSWER + end
    assert written(tokenizer, HELLO, prompt=False, **options) == HELLO_TEXT


def test_a_system_message_comes_first(tokenizer):
    text = written(tokenizer, [{"role": "system", "content": " You are a fox. "}, *HELLO])
    assert text == "<|im_start|>system\nYou are a fox.<|im_end|>\n" + HELLO_TEXT + ANSWER + EMPTY


def test_tools_stand_in_the_system_turn_before_the_system_message(tokenizer):
    plain = written(tokenizer, HELLO, [TOOL, TOOL])
    head, offer, rest = plain.partition("\n\n<tools>\n")
    assert head.startswith("<|im_start|>system\n# Tools\n\n") and offer
    listed, _, rest = rest.partition("\n</tools>\n\n")
    line = '{"type": "function", "function": {"name": "echo", "parameters": {"type": "object", "properties": {}}}}'
    assert listed == f"{line}\n{line}"
    how, _, rest = rest.partition("\n\n<tool_call>\n<function=")
    assert how and "<" not in how
    form, _, rest = rest.partition("</function>\n</tool_call>\n\n<IMPORTANT>\n")
    assert form.count("<parameter=") == form.count("\n</parameter>\n") >= 1
    words, _, rest = rest.partition("\n</IMPORTANT>")
    assert words and rest == "<|im_end|>\n" + HELLO_TEXT + ANSWER + EMPTY
    with_system = written(tokenizer, [{"role": "system", "content": "You are a fox."}, *HELLO], [TOOL, TOOL])
    assert with_system == plain.replace("</IMPORTANT>", "</IMPORTANT>\n\nYou are a fox.")


def test_a_tool_s_answer_is_a_user_s_turn_and_the_thoughts_before_it_are_kept(tokenizer):
    messages = [
        user("Say a."),
        assistant(reasoning_content="I call.", tool_calls=[called(text="a")]),
        {"role": "tool", "content": "a"},
    ]
    _, text = written(tokenizer, messages, [TOOL]).split("</IMPORTANT><|im_end|>\n")
    assert text == (
        "<|im_start|>user\nSay a.<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nI call.\n</think>\n\n"
        "<tool_call>\n<function=echo>\n<parameter=text>\na\n</parameter>\n</function>\n</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>\na\n</tool_response><|im_end|>\n" + ANSWER + EMPTY
    )


def test_answers_of_several_tools_share_a_turn(tokenizer):
    messages = [
        user("Say a and b."),
        assistant("Both.", tool_calls=[called(text="a"), called(text="b", times=2, loud=True)]),
        {"role": "tool", "content": "a"},
        {"role": "tool", "content": "b"},
    ]
    text = written(tokenizer, messages, prompt=False)
    one = "<tool_call>\n<function=echo>\n<parameter=text>\n{}\n</parameter>\n{}</function>\n</tool_call>"
    more = "<parameter=times>\n2\n</parameter>\n<parameter=loud>\ntrue\n</parameter>\n"
    assert text == (
        "<|im_start|>user\nSay a and b.<|im_end|>\n"
        f"<|im_start|>assistant\n{EMPTY}Both.\n\n{one.format('a', '')}\n{one.format('b', more)}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\na\n</tool_response>\n<tool_response>\nb\n</tool_response><|im_end|>\n"
    )


def test_older_thoughts_are_dropped_and_the_last_one_is_kept(tokenizer):
    messages = [
        user("One?"), assistant("1", reasoning_content="Hm."), user("Two?"), assistant("2", reasoning_content="Ah."),
    ]  # fmt: skip
    assert written(tokenizer, messages, prompt=False) == (
        "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n<think>\nAh.\n</think>\n\n2<|im_end|>\n"
    )


def test_thoughts_inside_a_content_are_found(tokenizer):
    inside = [user("One?"), assistant("<think>\nHm.\n</think>\n\n1")]
    apart = [user("One?"), assistant("1", reasoning_content="Hm.")]
    assert written(tokenizer, inside) == written(tokenizer, apart)
    assert "Hm." not in written(tokenizer, [*inside, user("Two?")])


def test_a_tool_s_answer_as_a_user_s_text_asks_nothing(tokenizer):
    messages = [
        user("Say a."), assistant("A.", reasoning_content="Hm."), user("<tool_response>\na\n</tool_response>"),
    ]  # fmt: skip
    assert "Hm." in written(tokenizer, messages)


SEEN = "<|vision_start|><|{}_pad|><|vision_end|>"


def test_pictures_and_films_are_placeholders_where_they_stand(tokenizer):
    parts = [{"type": "text", "text": "See "}, {"type": "image"}, {"type": "image_url", "image_url": "x"}]
    parts += [{"type": "video"}, {"type": "text", "text": " and say."}]
    image, video = SEEN.format("image"), SEEN.format("video")
    text = written(tokenizer, [user(parts)], prompt=False)
    assert text == f"<|im_start|>user\nSee {image}{image}{video} and say.<|im_end|>\n"
    text = written(
        tokenizer, [user(parts), assistant("I do."), user([{"type": "image"}])], prompt=False, add_vision_id=True
    )
    assert f"See Picture 1: {image}Picture 2: {image}Video 1: {video} and say." in text
    assert text.endswith(f"user\nPicture 3: {image}<|im_end|>\n")


@pytest.mark.parametrize(
    "messages, message",
    [
        ([{"role": "system", "content": "x"}], "no message of a user"),
        ([user("x"), {"role": "system", "content": "x"}], "system message must come first"),
        ([user("x"), {"role": "robot", "content": "x"}], "role of a message is robot"),
        ([user([{"type": "smell"}])], "neither text nor picture"),
        ([user(7)], "neither a text nor a list"),
        ([{"role": "system", "content": [{"type": "image"}]}, *HELLO], "system message holds a picture"),
    ],
)
def test_what_it_cannot_write_is_refused(tokenizer, messages, message):
    with pytest.raises((jinja2.TemplateError, ValueError, IndexError), match=message):
        written(tokenizer, messages)


@pytest.mark.parametrize("kind", world.KINDS)
def test_the_same_template_in_python(tokenizer, kind):
    for n in range(40):
        sample = world.draw(kind, 3, n)
        tools = list(sample.tools) or None
        said = nano.pieces(sample.messages, sample.tools, thinking=sample.thinking)
        assert "".join(piece.text for piece in said) == written(tokenizer, sample.messages, tools, prompt=False)
        for question in sample.questions:
            for thinking in (False, True):
                said = nano.pieces(sample.prompt(question), sample.tools, thinking=thinking, prompt=True)
                text = written(tokenizer, sample.prompt(question), tools, enable_thinking=thinking)
                assert "".join(piece.text for piece in said) == text


def test_a_system_message_in_python(tokenizer):
    messages = [{"role": "system", "content": "You are a fox."}, *HELLO]
    for tools in ((), (TOOL,)):
        said = "".join(piece.text for piece in nano.pieces(messages, tools))
        assert said == written(tokenizer, messages, list(tools) or None, prompt=False)
    with pytest.raises(lab.InputError, match="no message of a user"):
        nano.pieces(messages[:1])
    with pytest.raises(lab.InputError, match="system message comes first"):
        nano.pieces([*HELLO, messages[0]])
