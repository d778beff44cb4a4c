"""The chat without a browser: what it sends there, what it hears from there, and its picture."""

import io
import json
import threading
import time

import pytest
from PIL import Image
from serving.scripted import Line, event, says, scripted

import qwen35_lab as lab
from qwen35_lab.serving import Turn
from qwen35_lab.views import chat
from qwen35_lab.views.chat import stats

USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
ANSWER = (event(reasoning="so"), event(content="Yes"), event("stop", USAGE, content="."))


def ask(widget, what: str, count: int, **more) -> None:
    """As the browser does."""
    told = {"count": count, "what": what, "backend": 0, "thinking": 0, **more}
    widget.ask = json.dumps(told)


def wait(happened) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_first_question_is_answered_before_it_is_shown():
    with scripted(says(*ANSWER)) as url:
        widget = chat({"far": lab.Client(url, "m")}, first="Well?", thinking=True)
    view = json.loads(widget.view)
    assert [turn["text"] for turn in view["turns"]] == ["Well?", "Yes."] and not view["busy"]
    assert view["turns"][1]["reasoning"] == "so" and "4 written" in view["turns"][1]["stats"]
    assert "(thinks: so) Yes." in widget.alt() and widget.thinking == 1
    assert widget.provenance().startswith("OTHER · m · http://127.0.0.1")


def test_what_the_browser_asks_is_done_in_a_thread_of_its_own():
    bodies = []

    def script(line: Line) -> None:
        bodies.append(line.body)
        says(*ANSWER)(line)

    with scripted(script) as url:
        widget = chat({"one": lab.Client("http://127.0.0.1:9", "x"), "far": lab.Client(url, "m")})
        ask(widget, "say", 1, text="Well?", image="", backend=1, thinking=2)
        wait(lambda: widget.turns and not widget.busy and json.loads(widget.view)["turns"][-1]["text"] == "Yes.")
        ask(widget, "say", 1, text="Heard twice?", image="")  # the same message once more
        assert len(widget.turns) == 2
    assert bodies[0]["chat_template_kwargs"] == {"enable_thinking": False} and widget.turns[1].by == "far"


def test_stop_is_heard_while_it_answers():
    begun = threading.Event()

    def endless(line: Line) -> None:
        line.head()
        line.send(event(content="Ye"))
        begun.set()
        assert line.hangs_up()

    with scripted(endless) as url:
        widget = chat({"far": lab.Client(url, "m")})
        ask(widget, "say", 1, text="Well?", image="")
        assert begun.wait(5)
        wait(lambda: widget.turns[-1].text == "Ye")
        ask(widget, "say", 2, text="Not now.", image="")
        with pytest.raises(lab.InputError, match="still being written"):
            widget.say("Nor now.")
        ask(widget, "stop", 3)
        wait(lambda: not widget.busy)
    assert widget.turns[-1].end == "stopped" and "stopped here" in json.loads(widget.view)["turns"][-1]["stats"]


def test_an_error_is_sent_and_can_be_tried_again_and_cleared():
    with scripted() as nobody:
        pass
    widget = chat({"far": lab.Client(nobody, "m")}, first="Well?")
    view = json.loads(widget.view)
    assert "No server answers" in view["error"] == widget.error and view["again"] and not view["dead"]
    with scripted(says(*ANSWER)) as url:
        widget._dialogue.backends["far"].url = url
        ask(widget, "again", 1)
        wait(
            lambda: not widget.busy and not widget.error and len(widget.turns) == 2 and widget.turns[-1].text == "Yes."
        )
    ask(widget, "clear", 2)
    assert json.loads(widget.view)["turns"] == []


def test_the_picture_shows_the_conversation_and_grows_with_it():
    with scripted(says(*ANSWER)) as url:
        widget = chat({"far": lab.Client(url, "m")})
        empty = widget.static()
        widget.say("Well?")
    before, after = (Image.open(io.BytesIO(png)) for png in (empty, widget.static()))
    assert after.height > before.height and len(after.convert("L").getcolors(256)) > 8
    widget._dialogue.turns[1].text = "long " * 2000
    assert Image.open(io.BytesIO(widget.static())).height < 4000


def test_what_is_known_of_an_answer_is_told_and_nothing_else():
    assert stats(Turn("assistant")) == ""
    turn = Turn("assistant", first=0.5, rate=31.25, tokens=(1900, 10), end="stopped")
    assert stats(turn) == "first token after 0.5 s · 31.2 tokens/s · 1,900 tokens read · 10 written · stopped here"


def test_it_is_a_page_without_kernel():
    with scripted(says(*ANSWER)) as url:
        page = chat({"far": lab.Client(url, "m")}, first="</script><b>Well?").html()
    assert "</script><b>" not in page and "Yes." in page
