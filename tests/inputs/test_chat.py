"""Conversations are written by the checkpoint's own template, pictures and all, and answered in lanes.

The nano's template has the family's structure, which tests/nano/test_chat_template.py holds against the official ones.
"""

import copy
from typing import Any, Literal

import numpy as np
import pytest
import torch
from inputs.seeing import VISION, frames, picture
from PIL import Image
from small import DENSE

import qwen35_lab as lab
from qwen35_lab import nano
from qwen35_lab.inputs import as_schemas, write_chat

ANSWER, OPEN, EMPTY = "<|im_start|>assistant\n", "<think>\n", "<think>\n\n</think>\n\n"
IMAGE, VIDEO = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
HELLO = [{"role": "user", "content": "Good day."}]
HELLO_TEXT = "<|im_start|>user\nGood day.<|im_end|>\n"


def area(width: int, height: float = 1.0, unit: Literal["m", "km"] = "m", marks: list[str] | None = None) -> float:
    """The area of a field.

    Args:
        width: from left to right
        height: from bottom to top
        unit: of both
        marks: to put on it
    """
    raise AssertionError("a tool is described, never run")


AREA = {
    "type": "function",
    "function": {
        "name": "area", "description": "The area of a field.",
        "parameters": {
            "type": "object",
            "properties": {
                "width": {"type": "integer", "description": "from left to right"},
                "height": {"type": "number", "description": "from bottom to top"},
                "unit": {"type": "string", "enum": ["m", "km"], "description": "of both"},
                "marks": {"type": "array", "items": {"type": "string"}, "nullable": True},
            },
            "required": ["width"],
        },
        "return": {"type": "number"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return nano.train_tokenizer(size=400, samples=5)


@pytest.fixture(scope="module")
def qwen(tokenizer) -> lab.Qwen:
    """The nano's tokenizer and template, random weights, and eyes."""
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in (
        ("image_token", "<|image_pad|>"), ("video_token", "<|video_pad|>"),
        ("vision_start_token", "<|vision_start|>"), ("vision_end_token", "<|vision_end|>"),
    )}  # fmt: skip
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    text = DENSE | {"vocab_size": len(tokenizer), "mtp_num_hidden_layers": 1, "eos_token_id": end}
    raw = {"model_type": "qwen3_5", "text_config": text, "vision_config": VISION, "tie_word_embeddings": True} | ids
    qwen = lab.from_config(raw, seed=1)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in qwen.model.parameters():
            if parameter.ndim > 1:
                noise = torch.randn(parameter.shape, generator=draw)
                parameter.copy_(noise * (1.0 if parameter.ndim > 2 else parameter.shape[-1] ** -0.5))
    qwen.tokenizer = tokenizer
    return qwen


def says(qwen: lab.Qwen, answer: str, monkeypatch: pytest.MonkeyPatch, end: str = "<|im_end|>") -> list[Any]:
    """The model will answer this, whatever it is asked; returns where the ids that it is given are put down."""
    asked: list[Any] = []
    ids = qwen.tokenizer(answer + end)["input_ids"]

    def decode(ids_given, pictures, new, sampling, speculative):
        asked.append((ids_given, pictures))
        return (torch.tensor([n]) for n in ids[:new])

    monkeypatch.setattr(qwen, "_decode", decode)
    return asked


# ------------------------------------------------------------------------- written


@pytest.mark.parametrize(("thinking", "end"), [(None, EMPTY), (False, EMPTY), (True, OPEN)])
def test_the_small_models_think_when_told_to(qwen, thinking, end):
    assert qwen.chat_prompt(HELLO, thinking=thinking) == HELLO_TEXT + ANSWER + end
    assert qwen.chat_prompt("Good day.", thinking=thinking) == HELLO_TEXT + ANSWER + end
    assert write_chat(qwen.tokenizer, HELLO, thinking=thinking).thinking == (end == OPEN)


@pytest.mark.parametrize(("thinking", "end"), [(None, OPEN), (False, EMPTY), (True, OPEN)])
def test_the_large_ones_think_unless_told_not_to(qwen, thinking, end):
    """The two official templates differ in this line; nothing asked for is nothing passed."""
    large, template = qwen.twin(), nano.template()
    small_line = "enable_thinking is not defined or enable_thinking is not true"
    assert template.count(small_line) == 1
    large.tokenizer = _with_template(
        qwen, template.replace(small_line, "enable_thinking is defined and enable_thinking is false")
    )
    assert large.chat_prompt(HELLO, thinking=thinking) == HELLO_TEXT + ANSWER + end


def _with_template(qwen: lab.Qwen, template: str | None) -> Any:
    tokenizer = copy.deepcopy(qwen.tokenizer)
    tokenizer.chat_template = template
    return tokenizer


def test_a_round_of_tools(qwen):
    """Roles, markers, order and line breaks as the official templates print them."""
    messages: list[Any] = [
        {"role": "system", "content": "You are a farmer."},
        {"role": "user", "content": "How large?"},
    ]
    head, offer, rest = qwen.chat_prompt(messages, [area], thinking=True).partition("\n\n<tools>\n")
    schema, _, rest = rest.partition("\n</tools>\n\n")
    assert head.startswith("<|im_start|>system\n# Tools\n\n") and offer and schema.startswith('{"type": "function", ')
    assert rest.endswith(
        "\n</IMPORTANT>\n\nYou are a farmer.<|im_end|>\n<|im_start|>user\nHow large?<|im_end|>\n" + ANSWER + OPEN
    )
    said = "<tool_call>\n<function=area>\n<parameter=width>\n3\n</parameter>\n</function>\n</tool_call>"
    messages.append(lab.parse_answer(f"A tool.\n</think>\n\n{said}", thinking=True, tools=[AREA]).message)
    messages.append({"role": "tool", "content": "3.0"})
    assert qwen.chat_prompt(messages, [area], thinking=True).split("How large?<|im_end|>\n")[1] == (
        f"{ANSWER}<think>\nA tool.\n</think>\n\n{said}<|im_end|>\n"
        f"<|im_start|>user\n<tool_response>\n3.0\n</tool_response><|im_end|>\n{ANSWER}{OPEN}"
    )
    messages += [{"role": "assistant", "content": "Three."}, *HELLO]
    assert "A tool." not in qwen.chat_prompt(messages, [area])


def test_functions_become_schemas():
    (schema,) = as_schemas([area])
    assert schema["function"].items() >= {k: v for k, v in AREA["function"].items() if k != "parameters"}.items()
    assert schema["function"]["parameters"]["required"] == ["width"]
    for name, wanted in AREA["function"]["parameters"]["properties"].items():
        assert schema["function"]["parameters"]["properties"][name].items() >= wanted.items()
    assert as_schemas(area) == as_schemas((area,)) == [schema] and as_schemas(None) == []
    assert as_schemas(AREA) == as_schemas([AREA["function"]]) == [AREA]


def test_arguments_as_json_text_are_arguments(qwen):
    def asked(arguments):
        calls = [{"type": "function", "id": "1", "function": {"name": "area", "arguments": arguments}}]
        return qwen.chat_prompt([*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}])

    assert asked('{"width": 3, "unit": "m"}') == asked({"width": 3, "unit": "m"})
    with pytest.raises(lab.InputError, match=r"arguments of a tool call are '\[3'"):
        asked("[3")


def asking(call: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def part(kind: str, value: Any = None) -> dict[str, Any]:
    return {"type": kind} if value is None else {"type": kind, kind: value}


def test_pictures_stand_where_their_parts_do(qwen, tmp_path):
    path = tmp_path / "a.png"
    picture(40, 60).save(path)
    film = frames(4, 32, 48)
    content = [
        {"type": "text", "text": "See "}, part("image", path), part("image_url", {"url": str(path)}),
        part("video", film), {"type": "text", "text": " and "}, part("image", np.asarray(picture(32, 32))),
    ]  # fmt: skip
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "So?"}, *HELLO]
    before = repr(messages)
    chat = write_chat(qwen.tokenizer, messages)
    assert repr(messages) == before
    assert chat.text.startswith(f"<|im_start|>user\nSee {IMAGE}{IMAGE}{VIDEO} and {IMAGE}<|im_end|>\n")
    assert chat.images is not None and [np.asarray(i).shape for i in chat.images] == [(40, 60, 3)] * 2 + [(32, 32, 3)]
    assert chat.videos is not None and [len(each) for each in chat.videos] == [4]
    again = qwen.processor(text=chat.text, images=chat.images, videos=chat.videos, return_tensors="pt")
    assert torch.equal(qwen.encode(messages), again["input_ids"])


def test_pictures_given_apart_fill_the_empty_places_in_order(qwen):
    a, b, c = (picture(32, 32 + 8 * n, n) for n in range(3))
    content = [part("image"), {"type": "text", "text": "and"}, part("image", b), part("image")]
    chat = write_chat(qwen.tokenizer, [{"role": "user", "content": content}], images=[a, c])
    assert chat.images is not None and [i.size for i in chat.images] == [i.size for i in (a, b, c)]
    same = [part("image")] * 2
    chat = write_chat(qwen.tokenizer, [{"role": "user", "content": same}], images=[a, c])
    assert chat.images is not None and [i.size for i in chat.images] == [a.size, c.size]
    with pytest.raises(lab.InputError, match="2 parts of the messages name no image of their own, and 1 are given"):
        write_chat(qwen.tokenizer, [{"role": "user", "content": content}], images=a)
    with pytest.raises(lab.InputError, match="and 0 are given"):
        qwen.chat([{"role": "user", "content": content}])


def test_a_part_says_how_many_frames_there_are_in_a_second(qwen):
    """Else the times in the text would be those of 24 a second, and most frames would be passed over."""
    film = frames(8, 32, 48)
    parts = [part("video", film) | {"fps": 2}, {"type": "text", "text": "Which way?"}]
    messages = [{"role": "user", "content": parts}]
    chat = write_chat(qwen.tokenizer, messages)
    expected = qwen.processor(text=chat.text, videos=[film], video_metadata=[{"fps": 2}], return_tensors="pt")
    assert torch.equal(qwen.encode(messages), expected["input_ids"])
    assert len(expected["video_grid_thw"]) == 1 and int(expected["video_grid_thw"][0, 0]) == 4
    assert "<0.2 seconds>" in qwen.tokenizer.decode(expected["input_ids"][0])
    bare = [{"role": "user", "content": "Which way?"}]
    for given in ({"video": film, "fps": 2}, [{"video": list(film), "fps": 2.0}]):
        assert torch.equal(qwen.encode(bare, videos=given), expected["input_ids"])
        assert torch.equal(qwen.encode(chat.text, videos=given), expected["input_ids"])
    assert not torch.equal(qwen.encode(chat.text, videos=film), expected["input_ids"])
    with pytest.raises(lab.InputError, match="positive numbers"):
        qwen.encode(chat.text, videos={"video": film, "fps": 0})
    with pytest.raises(lab.InputError, match="2 videos and the metadata of 1"):
        qwen.encode(chat.text, videos={"video": [film[None], film], "fps": 2})


def test_pictures_without_places_begin_the_user_s_last_message(qwen):
    messages = [*HELLO, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Which?"}]
    own = [part("image", picture(32, 32)), {"type": "text", "text": "Hm."}]
    text = qwen.chat_prompt([{"role": "user", "content": own}, *messages], images=[picture(32, 40)] * 2)
    assert f"user\n{IMAGE}Hm.<|im_end|>" in text and f"user\n{IMAGE}{IMAGE}Which?<|im_end|>" in text
    clips = list(frames(4, 32, 48)), frames(5, 32, 48)
    text = qwen.chat_prompt(messages, images=picture(32, 40), videos=list(clips))
    assert text.endswith(f"user\n{IMAGE}{VIDEO}{VIDEO}Which?<|im_end|>\n{ANSWER}{EMPTY}") and HELLO_TEXT in text
    assert write_chat(qwen.tokenizer, messages, videos=["a.mp4", "b.mp4"]).videos == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("messages", "how", "reason"),
    [
        ([], {}, "Messages are a list of"),
        ("", {"images": 7}, "An image is a path"),
        (["Hi"], {}, "Messages are a list of"),
        ([{"role": "system", "content": "x"}], {}, "refuses these messages .*no message of a user"),
        ([*HELLO, {"role": "system", "content": "x"}], {}, "must come first"),
        ([{"role": "robot", "content": "x"}, *HELLO], {}, "role of a message is robot"),
        ([{"role": "user", "content": 7}], {}, "neither a text nor a list"),
        ([{"role": "user", "contents": "x"}], {}, "role 'user' has no content; add it"),
        ([{"role": "user", "content": ["An image?"]}], {}, "A part of a message is 'An image"),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], {}, "A part of a message is .*'text': None"),
        ([{"role": "user", "content": [{"type": "text"}]}], {}, "A part of a message is {'type': 'text'}; write"),
        ([*HELLO, asking({"arguments": {}})], {}, "A tool call names no function"),
        ([*HELLO, asking("area")], {}, "A tool call names no function"),
        ([*HELLO, asking({"function": None})], {}, "A tool call names no function"),
        ([*HELLO, {"role": "assistant", "content": "", "tool_calls": {"a": 1}}], {}, "tool_calls .* are a list"),
        ([{"role": "user", "content": [part("image_url", {"url": "https://a.b/c.png"})]}], {}, "nothing is fetched"),
        ([{"role": "user", "content": f"Is {IMAGE} a picture?"}], {}, "1 image placeholders, but no image is passed"),
        ([{"content": "x"}], {}, "refuses these messages"),
        ([{"role": "assistant", "content": "x"}], {"images": Image.new("RGB", (32, 32))}, "no user's message"),
        ([{"role": "user", "content": [part("image", [Image.new("RGB", (9, 9))] * 2)]}], {}, "holds 2 images"),
        ([{"role": "user", "content": [part("image", "no.png")]}], {}, "no.png cannot be read"),
        (HELLO, {"thinking": "yes"}, "thinking is 'yes'"),
        (HELLO, {"tools": "area"}, "tools is 'area'"),
        (HELLO, {"tools": [7]}, "a JSON schema or a function, not a int"),
        (HELLO, {"tools": [{"type": "function"}]}, "A tool has no name"),
        (HELLO, {"tools": [lambda width: width]}, "A tool cannot be described .*no docstring.*give it a docstring"),
        (HELLO, {"heat": 1}, "no setting 'heat'"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(qwen, messages, how, reason):
    with pytest.raises(lab.InputError, match=reason) as caught:
        qwen.chat(messages, max_new_tokens=1, **how)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_checkpoint_without_a_template_has_no_chat(qwen):
    bare = qwen.twin()
    bare.tokenizer = _with_template(qwen, None)
    with pytest.raises(lab.InputError, match="no chat template"):
        bare.chat(HELLO)


# ------------------------------------------------------------------------- answered

SAID = (
    "Width é.\n</think>\n\nI ask.\n\n<tool_call>\n<function=area>\n<parameter=width>\n3\n</parameter>\n"
    '<parameter=marks>\n["ä", "\\n"]\n</parameter>\n</function>\n</tool_call>'
)


def test_an_answer_comes_in_its_lanes(qwen, monkeypatch):
    asked = says(qwen, SAID, monkeypatch)
    answer = qwen.chat(HELLO, [area], thinking=True)
    assert answer == lab.Answer(
        "Width é.", "I ask.", (lab.ToolCall("area", {"width": 3, "marks": ["ä", "\n"]}),), SAID, finished="stop"
    )
    assert qwen.tokenizer.decode(asked[0][0][0]) == qwen.chat_prompt(HELLO, [area], thinking=True)
    messages = [*HELLO, answer.message]
    written = qwen.tokenizer.apply_chat_template(messages, tools=as_schemas(area), tokenize=False)
    assert written == qwen.chat_prompt(HELLO, [area], thinking=True) + SAID + "<|im_end|>\n"


def test_it_streams_what_is_certain_token_by_token(qwen, monkeypatch):
    says(qwen, SAID, monkeypatch)
    stream = qwen.chat_stream(HELLO, [area], thinking=True)
    first = next(stream)
    assert first.lane == "reasoning" and "Width".startswith(first.text) and stream.answer.reasoning == first.text
    assert stream.answer.finished is None and stream.prompt.endswith(OPEN)
    pieces = [first, *stream]
    assert len(pieces) > 4 and stream.answer.finished == "stop"
    lanes = {lane: "".join(p.text for p in pieces if p.lane == lane) for lane in ("reasoning", "content", "tool_call")}
    assert lanes == {"reasoning": "Width é.", "content": "I ask.", "tool_call": SAID[SAID.index("<tool_call>") :]}


@pytest.mark.parametrize(
    ("how", "end", "finished", "content"),
    [
        ({}, "<|im_end|>", "stop", "One, two."),
        ({}, "<|endoftext|>", "stop", "One, two."),
        ({}, "", "length", "One, two."),
        ({"max_new_tokens": 0}, "<|im_end|>", "length", ""),
        ({"stop": ", t"}, "<|im_end|>", "stop", "One"),
    ],
)
def test_why_it_ended(qwen, monkeypatch, how, end, finished, content):
    says(qwen, "One, two.", monkeypatch, end)
    answer = qwen.chat(HELLO, **how)
    assert (answer.finished, answer.content, answer.text) == (finished, content, content)


@pytest.mark.parametrize("thinking", [None, True])
def test_a_model_reads_a_chat_with_a_picture(qwen, thinking):
    """From end to end: the tokens are those that the same prompt and pictures give elsewhere."""
    image, film = picture(40, 60), frames(4, 32, 48)
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is "}, part("image", image)]}]
    answer = qwen.chat(messages, thinking=thinking, max_new_tokens=12, videos=film)
    prompt = qwen.chat_prompt(messages, thinking=thinking, videos=film)
    assert prompt.count(IMAGE) == prompt.count(VIDEO) == 1
    assert answer.text == qwen.generate(prompt, 12, images=image, videos=film) != ""
    assert answer == lab.parse_answer(answer.text, thinking=bool(thinking), finished=answer.finished)
    other = [{"role": "user", "content": [{"type": "text", "text": "What is "}, part("image", picture(40, 60, 7))]}]
    assert qwen.chat(other, thinking=thinking, max_new_tokens=12, videos=film).text != answer.text
    assert qwen.chat(messages, thinking=thinking, max_new_tokens=12, videos=film, speculative=3) == answer
    warm = {"temperature": 1.5, "max_new_tokens": 12}
    assert qwen.chat(HELLO, seed=1, **warm) == qwen.chat(HELLO, seed=1, **warm) != qwen.chat(HELLO, seed=2, **warm)


def test_generate_and_trace_take_the_same_messages(qwen):
    messages = [{"role": "user", "content": [part("image", picture(40, 60)), {"type": "text", "text": "What?"}]}]
    text = qwen.generate(qwen.chat_prompt(messages), 8, images=picture(40, 60))
    assert qwen.generate(messages, 8) == "".join(qwen.stream(messages, 8)) == text != ""
    assert qwen.generate(messages, 8, stop=text[2]) == text[: text.index(text[2])]
    trace = qwen.trace(messages, "logits")
    again = qwen.trace(qwen.chat_prompt(messages), "logits", images=picture(40, 60))
    assert trace.tokens == again.tokens and torch.equal(trace["logits"], again["logits"])
