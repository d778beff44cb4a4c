"""A conversation goes on: after a stop, an error, the death of a server, a change of who answers."""

import threading

import pytest
from PIL import Image
from serving.scripted import Line, event, says, scripted

import qwen35_lab as lab
from qwen35_lab.paths import data_path
from qwen35_lab.serving import Dialogue
from qwen35_lab.serving.wire import data_url

USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
ANSWER = (event(reasoning="so"), event(content="Yes"), event("stop", USAGE, content="."))


@pytest.fixture(scope="module")
def nano():
    return lab.load("nano")


def test_questions_and_answers_become_turns_and_messages():
    kept, seen = [], []

    def script(line: Line) -> None:
        kept.append(line.body["messages"])
        says(*ANSWER)(line)

    with scripted(script, script) as url:
        talk = Dialogue({"far": lab.Client(url, "m")})
        talk.changed = lambda: seen.append(talk.turns[-1].text)
        assert talk.say("Well?") and talk.say("Sure?")
    asked, answer = talk.turns[:2]
    assert (asked.role, asked.text, answer.by, answer.reasoning, answer.text) == ("user", "Well?", "far", "so", "Yes.")
    assert (answer.tokens, answer.end) == ((5, 4), "") and answer.first is not None and not talk.busy
    assert [message["content"] for message in kept[1]] == ["Well?", "Yes.", "Sure?"]
    assert "Yes" in seen and "Yes." in seen  # it was shown while it came


def test_stop_keeps_what_came_and_the_conversation_goes_on():
    begun = threading.Event()

    def endless(line: Line) -> None:
        line.head()
        line.send(event(content="Ye"))
        begun.set()
        assert line.hangs_up()

    with scripted(endless, says(*ANSWER)) as url:
        talk = Dialogue({"far": lab.Client(url, "m")})
        worker = threading.Thread(target=talk.say, args=("Well?",))
        worker.start()
        assert begun.wait(5) and talk.busy and not talk.say("Not now.")
        while talk.turns[-1].text != "Ye":
            pass
        talk.clear()  # refused while it is busy
        talk.stop()
        worker.join(5)
        assert not worker.is_alive() and not talk.error
        assert (talk.turns[-1].text, talk.turns[-1].end) == ("Ye", "stopped")
        assert talk.say("And now?") and talk.turns[-1].text == "Yes."
    assert [message["content"] for message in talk.messages] == ["Well?", "Ye", "And now?", "Yes."]


def test_a_broken_answer_is_said_and_can_be_asked_again():
    def dies(line: Line) -> None:
        line.head()
        line.send(event(content="Ye"))

    with scripted(dies, says(*ANSWER)) as url:
        talk = Dialogue({"far": lab.Client(url, "m")})
        talk.say("Well?")
        assert "broke off in the middle" in talk.error and talk.turns[-1].end == "broken" and talk.state()["again"]
        assert talk.messages == []
        assert talk.again() and not talk.error and not talk.state()["again"]
    assert [turn.text for turn in talk.turns] == ["Well?", "Yes."] and len(talk.messages) == 2


class Dead(lab.serving.LocalServer):
    """A local server that has ended, and comes back behind an address."""

    def __init__(self, url: str):
        self.folder, self.device, self.up, self.fails = data_path("nano"), "cpu", False, False
        self.client = lab.Client(url, "m")

    alive = property(lambda self: self.up)
    sees = False

    def restart(self, seconds: float = 1) -> None:
        if self.fails:
            raise lab.ServerError("It does not start.")
        self.up = True


def test_a_dead_local_server_is_named_and_restarted():
    with scripted() as nobody:
        server = Dead(nobody)
    talk = Dialogue({"mine": server})
    talk.say("Well?")
    assert "The local server “mine” has ended; restart it" in talk.error and talk.dead
    server.fails = True
    assert not talk.again() and talk.error == "It does not start." and talk.dead and not talk.doing
    server.fails = False
    with scripted(says(*ANSWER)) as url:
        server.client = lab.Client(url, "m")
        idle = []
        talk.changed = lambda: idle.append(not talk.busy and not talk.doing)
        assert talk.again() and not talk.error and not talk.dead
        assert idle[-1] and not any(idle[:-1])  # from the restart to the answer nobody else is let in
    assert [turn.text for turn in talk.turns] == ["Well?", "Yes."]
    assert talk.provenance() == "TINY · nano · transformers serve · cpu" and not talk.sees()


def test_the_model_in_this_process_answers_too(nano):
    talk = Dialogue({"here": nano}, max_new_tokens=12)
    talk.thinking = True
    assert talk.say("Which is larger, 463 or 229?")
    right = nano.chat("Which is larger, 463 or 229?", thinking=True, max_new_tokens=12)
    answer = talk.turns[-1]
    assert (answer.text, answer.reasoning) == (right.content, right.reasoning)
    assert answer.prompt == nano.chat_prompt("Which is larger, 463 or 229?", thinking=True)
    assert answer.tokens[0] == len(nano.encode(answer.prompt)[0]) and 0 < answer.tokens[1] <= 12
    assert talk.sees() and talk.provenance() == str(nano.provenance)


def test_it_can_be_stopped_as_well(nano):
    talk = Dialogue({"here": nano}, max_new_tokens=200)
    talk.changed = lambda: talk.stop() if talk.turns and len(talk.turns[-1].text) > 20 else None
    talk.say("Tell a story about a frog and a map.")
    assert talk.turns[-1].end == "stopped" and 20 < len(talk.turns[-1].text) < 80


def test_backends_take_turns_in_one_conversation(nano):
    with scripted(says(*ANSWER)) as url:
        talk = Dialogue({"here": nano, "far": lab.Client(url, "m")}, max_new_tokens=8)
        talk.say("Which is larger, 463 or 229?")
        talk.backend = "far"
        talk.say("Sure?")
    assert [turn.by for turn in talk.turns if turn.role == "assistant"] == ["here", "far"]


def test_a_picture_is_shown_to_those_who_see(nano):
    picture = data_url(Image.new("RGB", (32, 32), "blue"))
    talk = Dialogue({"here": nano}, max_new_tokens=8)
    talk.say("What colour is it?", picture)
    assert not talk.error and "<|image_pad|>" in talk.turns[-1].prompt and talk.turns[0].image == picture
    talk.say("What colour is it?", "data:image/png;base64,AAAA")
    assert "cannot be read" in talk.error
    with scripted() as nobody:
        server = Dead(nobody)
    talk = Dialogue({"mine": server})
    talk.say("See.", picture)
    assert "has no eyes" in talk.error and talk.turns == []


def test_an_error_that_nobody_expected_is_shown_and_not_lost(nano, monkeypatch):
    talk = Dialogue({"here": nano}, max_new_tokens=8)
    monkeypatch.setattr(talk.backends["here"], "chat_stream", lambda *_, **__: 1 / 0)
    assert talk.say("Well?") and talk.error == "ZeroDivisionError: division by zero" and not talk.busy
    talk.clear()
    assert (talk.turns, talk.error) == ([], "")


@pytest.mark.parametrize("backends, words", [({}, "nobody to talk to"), ({"a": "b"}, "'a' is a str")])
def test_nobody_to_talk_to(backends, words):
    with pytest.raises(lab.InputError, match=words):
        Dialogue(backends)
