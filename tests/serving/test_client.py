"""The client against a server that says what the test wants: every dialect, every way to fail, nothing left behind."""

import base64
import gc
import io
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image
from serving.scripted import Line, event, refuses, says, scripted

import qwen35_lab as lab
from qwen35_lab.serving.client import address
from qwen35_lab.serving.wire import as_wire

ADD = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"a": {"type": "integer"}}}}}
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def asked(*events: str, done: bool = True, **options) -> lab.serving.Reply:
    """The reply to one question, read to its end."""
    with scripted(says(*events, done=done)) as url:
        reply = lab.Client(url, "m", **options).chat_stream("Well?", [ADD])
        reply.pieces = list(reply)
    return reply


# ------------------------------------------------------------------------------------------- dialects


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_in_a_field_of_its_own_has_its_own_lane(name):
    reply = asked(
        event(role="assistant"), event(**{name: "\nI "}), event(**{name: "see.\n"}), event(content="\n\nYe"),
        event(content="s."), event("stop", USAGE),
    )  # fmt: skip
    assert [(piece.lane, piece.text) for piece in reply.pieces] == [
        ("reasoning", "I"), ("reasoning", " see."), ("content", "Ye"), ("content", "s."),
    ]  # fmt: skip
    assert (reply.answer.reasoning, reply.answer.content, reply.answer.finished) == ("I see.", "Yes.", "stop")
    assert reply.usage == lab.serving.Usage(5, 3) and len(reply.clock.arrivals) == 4


def test_both_fields_with_the_same_words_are_one_thought():
    """As in vLLM while it renamed the field."""
    reply = asked(event(reasoning="so", reasoning_content="so"), event("stop", content="Yes."))
    assert (reply.answer.reasoning, reply.answer.content) == ("so", "Yes.")


def test_a_thought_between_marks_in_the_content_has_its_own_lane():
    reply = asked(event(content="<thi"), event(content="nk>so</th"), event(content="ink>\n\nYes."), event("stop"))
    assert (reply.answer.reasoning, reply.answer.content, reply.notes) == ("so", "Yes.", [])


def test_a_server_that_thinks_aloud_is_understood_if_the_client_knows():
    events = (event(content="so "), event(content="it is\n</think>\n\nYes."), event("stop"))
    reply = asked(*events, aloud=True)
    assert [piece.lane for piece in reply.pieces] == ["reasoning", "reasoning", "content"]
    assert (reply.answer.reasoning, reply.answer.content) == ("so it is", "Yes.")


def test_a_server_that_thinks_aloud_unknown_to_the_client_is_repaired_and_said():
    reply = asked(event(content="so "), event(content="it is\n</think>\n\nYes."), event("stop"))
    assert [piece.lane for piece in reply.pieces] == ["content", "content"]
    assert (reply.answer.reasoning, reply.answer.content) == ("so it is", "Yes.")
    assert "--reasoning-parser qwen3" in reply.notes[0]


def test_an_answer_may_speak_of_the_marks():
    reply = asked(event(reasoning="so"), event("stop", content="It ends with </think> always."))
    assert reply.answer.content == "It ends with </think> always." and reply.notes == []


def test_a_call_in_pieces_is_put_together_by_its_index():
    def part(n: int, **function: str) -> dict:
        return {"index": n, "function": function}

    reply = asked(
        event(tool_calls=[{"id": "x", "type": "function", **part(0, name="add", arguments="")}]),
        event(tool_calls=[part(0, arguments='{"a"')]),
        event(tool_calls=[part(0, arguments=": 4}"), part(1, name="add", arguments='{"a": 5}')]),
        event("tool_calls"),
    )  # fmt: skip
    assert [call.arguments for call in reply.answer.tool_calls] == [{"a": 4}, {"a": 5}]
    assert [piece.call.arguments["a"] for piece in reply.pieces if piece.lane == "tool_call"] == [4, 5]
    assert reply.answer.finished == "stop"


def test_a_call_in_the_content_is_read_as_our_own_models_are():
    call = "<tool_call>\n<function=add>\n<parameter=a>\n4\n</parameter>\n</function>\n</tool_call>"
    reply = asked(event(content=call[:20]), event("stop", content=call[20:]))
    assert reply.answer.tool_calls == (lab.ToolCall("add", {"a": 4}),)


@pytest.mark.parametrize("arguments", ['{"a": ', "[4]", "four"])
def test_a_call_whose_arguments_are_no_json_is_said_to_be_none(arguments):
    reply = asked(event("tool_calls", tool_calls=[{"index": 0, "function": {"name": "add", "arguments": arguments}}]))
    assert reply.answer.tool_calls == () and "the call of add" in reply.answer.malformed[0]


def test_a_server_that_does_not_stream_is_read_all_the_same():
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "so"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": USAGE}
    with scripted(refuses(200, json.dumps(body))) as url:
        answer = lab.Client(url, "m").chat("Well?")
    assert (answer.reasoning, answer.content, answer.finished) == ("so", "Yes.", "length")


def test_the_last_word_may_be_missing():
    """transformers sends no [DONE]; that the answer is finished is enough."""
    assert asked(event(content="Yes."), event("stop"), done=False).answer.content == "Yes."


def test_empty_and_foreign_events_are_passed_over():
    reply = asked(": ping\n\n", 'data: {"choices": []}\n\n', event(content=None), event("stop", content="Yes."))
    assert reply.answer.content == "Yes."


# ------------------------------------------------------------------------------------------- what is sent


def sent(**options) -> dict:
    kept = []

    def script(line: Line) -> None:
        kept.append(line.body)
        says(event("stop", content="Yes."))(line)

    with scripted(script) as url:
        client = lab.Client(options.pop("where", url), "m", extra=options.pop("extra", None))
        client.url = url
        client.chat(options.pop("messages", "Well?"), **options)
    return kept[0]


def test_nothing_is_sent_that_was_not_asked_for():
    body = sent()
    assert body.keys() == {"model", "messages", "stream", "stream_options", "max_tokens"}
    assert body["messages"] == [{"role": "user", "content": "Well?"}] and body["stream"] is True


def test_settings_are_sent_under_their_own_names():
    body = sent(temperature=0.5, top_k=20, stop="\n", max_new_tokens=7, tools=[ADD], extra={"user": "x"})
    wanted = {"temperature": 0.5, "top_k": 20, "stop": ["\n"], "max_tokens": 7, "tools": [ADD], "user": "x"}
    assert {name: body[name] for name in wanted} == wanted


def test_thinking_is_said_in_the_servers_own_way():
    assert sent(thinking=False)["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent(where="ollama", thinking=False)["reasoning_effort"] == "none"
    assert "chat_template_kwargs" not in sent(where="ollama", thinking=True)


def test_a_picture_is_sent_as_it_is():
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    parts = [{"type": "text", "text": "See:"}, {"type": "image", "image": pixels}]
    (message,) = as_wire([{"role": "user", "content": parts}])
    kind, _, code = message["content"][1]["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))), pixels)
    (message,) = as_wire("See.", pixels)
    assert [part["type"] for part in message["content"]] == ["image_url", "text"]


def test_a_picture_that_has_an_address_keeps_it_and_its_place():
    pixels = np.zeros((4, 4, 3), np.uint8)
    far, near = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, {"type": "image"}
    messages = [{"role": "user", "content": [near, far]}, {"role": "user", "content": [far, near]}]
    sent = as_wire(messages, [pixels, pixels + 255])
    urls = [[part["image_url"]["url"][:12] for part in message["content"]] for message in sent]
    assert urls == [["data:image/p", "https://exam"], ["https://exam", "data:image/p"]]
    assert sent[0]["content"][0] != sent[1]["content"][1] and messages[0]["content"][0] is near


def test_calls_and_results_are_paired():
    call = lab.ToolCall("add", {"a": 4, "b": "ü"}).message
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [call, call]},
                {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]  # fmt: skip
    wire = as_wire(messages)
    assert [each["id"] for each in wire[1]["tool_calls"]] == [each["tool_call_id"] for each in wire[2:]]
    assert json.loads(wire[1]["tool_calls"][0]["function"]["arguments"]) == {"a": 4, "b": "ü"}
    assert "id" not in messages[1]["tool_calls"][0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda c: c.chat([]), "at least one"),
        (lambda c: c.chat("x", thinking="yes"), "pass True, False, or None"),
        (lambda c: c.chat("x", temprature=1), "did you mean 'temperature'"),
        (lambda c: c.chat([{"role": "tool", "content": "4"}]), "answers no call"),
        (
            lambda c: c.chat([{"role": "user", "content": [{"type": "video", "video": np.zeros((2, 4, 4, 3))}]}]),
            "videos",
        ),
        (lambda c: lab.Client("localhost"), "is no address"),
        (lambda c: lab.Client(""), "is no address"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_it_is_sent(call, words):
    with pytest.raises(lab.InputError, match=words):
        call(lab.Client("http://127.0.0.1:9", "m"))


@pytest.mark.parametrize(
    "where, url",
    [
        ("ollama", "http://localhost:11434/v1"),
        ("sglang", "http://localhost:30000/v1"),
        ("http://a:8000", "http://a:8000/v1"),
        ("http://a:8000/", "http://a:8000/v1"),
        ("http://a:8000/v1/", "http://a:8000/v1"),
        ("https://a.org/api/v3", "https://a.org/api/v3"),
        ("http://a:8000/v1/chat/completions", "http://a:8000/v1"),
    ],
)
def test_addresses(where, url):
    assert address(where)[0] == url
    assert (address(where)[1] is not None) == ("://" not in where)


def test_the_key_goes_to_this_server_and_into_no_description():
    kept = []

    def script(line: Line) -> None:
        kept.append(line.request)
        says(event("stop", content="Yes."))(line)

    with scripted(script) as url:
        client = lab.Client(url, "m", api_key="secret")
        client.chat("Well?")
    assert b"authorization: bearer secret" in kept[0].lower() and "secret" not in repr(client)


def test_the_only_model_is_taken_and_several_are_listed():
    def listed(*names: str):
        return refuses(200, json.dumps({"data": [{"id": name} for name in names]}))

    with scripted(listed("one"), says(event("stop", content="Yes."))) as url:
        client = lab.Client(url)
        assert client.chat("Well?").content == "Yes." and client.model == "one"
    for names, words in ((("one", "two"), "has one, two; pass model="), ((), "lists no model")):
        with scripted(listed(*names)) as url, pytest.raises(lab.ServerError, match=words):
            lab.Client(url).chat("Well?")


# ------------------------------------------------------------------------------------------- what goes wrong


def hangs_up_early(line: Line) -> None:
    line.head()
    line.send(event(content="Ye"))


def waits(line: Line) -> None:
    line.head()
    line.send(event(content="Ye"))
    assert line.hangs_up()


TROUBLES = {
    "dies in the middle": (hangs_up_early, "broke off in the middle"),
    "says nothing": (lambda line: None, "broke off in the middle"),
    "is silent": (waits, "has said nothing for 0.3 seconds"),
    "no model": (refuses(404, '{"error": {"message": "no model m"}}'), r"404: no model m\).*models"),
    "no field": (refuses(422, '{"detail": "Unexpected fields"}'), "refuses the request .422: Unexpected fields"),
    "no key": (refuses(401, '{"error": "no key"}'), "pass api_key"),
    "fails": (refuses(500, "Internal Server Error", "text/plain"), "failed .500: Internal Server Error.; its log"),
    "fails mutely": (refuses(503, ""), "failed .503: it does not say why"),
    "fails at length": (refuses(500, "x" * 9999), "xxx…"),
    "fails in the stream": (says('data: {"error": "out of memory"}\n\n'), "while it was answering .out of memory"),
    "a page": (refuses(200, "<html><p>Welcome</p>", "text/html"), "is no chat answer .<html>"),
    "other JSON": (refuses(200, '{"ok": true}'), "is no chat answer"),
    "no JSON": (says("data: {'choices': 1}\n\n"), "is no chat answer"),
    "nothing": (says(done=False), "holds no events"),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_trouble_is_one_sentence_that_says_what_to_do(trouble):
    script, words = TROUBLES[trouble]
    with scripted(script) as url, pytest.raises(lab.ServerError, match=words) as caught:
        lab.Client(url, "m", timeout=0.3).chat("Well?")
    said = str(caught.value)
    assert url in said and said.endswith(".") and "\n" not in said and len(said) < 420


def test_nobody_there():
    with scripted() as url:
        pass
    with pytest.raises(lab.ServerError, match="No server answers at"):
        lab.Client(url, "m").chat("Well?")
    with pytest.raises(lab.ServerError, match="No server answers at"):
        lab.Client(url).models()


def test_a_list_of_models_that_is_none():
    with scripted(refuses(200, "[]")) as url, pytest.raises(lab.ServerError, match="no chat answer"):
        lab.Client(url).models()


def test_what_came_before_the_end_is_kept():
    with scripted(hangs_up_early) as url:
        reply = lab.Client(url, "m").chat_stream("Well?")
        with pytest.raises(lab.ServerError):
            list(reply)
    assert reply.answer.content == "Ye" and reply.answer.finished is None


# ------------------------------------------------------------------------------------------- leaving early


def leaving(leave) -> tuple[bool, lab.serving.Reply]:
    """Whether the server sees that the client hangs up, when `leave(reply)` is done after the first piece."""
    seen = threading.Event()

    def script(line: Line) -> None:
        line.head()
        line.send(event(content="Ye"))
        if line.hangs_up():
            seen.set()

    before = threading.active_count()
    with scripted(script) as url:
        reply = lab.Client(url, "m").chat_stream("Well?")
        assert next(reply).text == "Ye"
        leave(reply)
        found = seen.wait(5)
    patience = time.monotonic() + 5  # for the thread that called `stop`
    while threading.active_count() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert threading.active_count() == before
    return found, reply


def test_closing_hangs_up():
    assert leaving(lambda reply: reply.close())[0]


def test_leaving_the_block_hangs_up():
    def leave(reply):
        with pytest.raises(ZeroDivisionError), reply:
            raise ZeroDivisionError

    assert leaving(leave)[0]


@pytest.mark.parametrize("read", [False, True])
def test_dropping_the_reply_hangs_up(read):
    seen = threading.Event()

    def script(line: Line) -> None:
        line.head()
        line.send(event(content="Ye"))
        if line.hangs_up():
            seen.set()

    with scripted(script) as url:
        reply = lab.Client(url, "m").chat_stream("Well?")
        if read:
            next(reply)
        del reply
        gc.collect()
        assert seen.wait(5)


def test_stop_from_another_thread_wakes_the_one_that_waits():
    def leave(reply):
        threading.Timer(0.2, reply.stop).start()
        assert list(reply) == []

    found, reply = leaving(leave)
    assert found and reply.stopped and reply.answer.content == "Ye" and reply.answer.finished is None


def test_stopping_twice_and_after_the_end_is_no_mistake():
    reply = asked(event("stop", content="Yes."))
    reply.stop()
    reply.close()
    reply.stop()
    assert reply.answer.content == "Yes."


def test_times_are_the_clocks():
    clock = lab.serving.Clock(arrivals=[0.5, 0.75, 1.5])
    assert (clock.first, clock.gaps, clock.rate(), clock.rate(5)) == (0.5, [0.25, 0.75], 2.0, 4.0)
    empty = lab.serving.Clock()
    assert (empty.first, empty.gaps, empty.rate()) == (None, [], None)
