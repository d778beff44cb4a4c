"""The chat in a real browser: as a page alone, and in JupyterLab against a live local server that is killed."""

import re
from pathlib import Path

import pytest
from browser.access import barriers
from browser.talk import Talk
from serving.scripted import event, says, scripted

import qwen35_lab as lab
from qwen35_lab.views import chat

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ANSWER = (event(reasoning="I think so."), event("stop", content="Yes,\nit is <b>so</b>."))
SEEN = Path(__file__).resolve().parents[2] / "artefacts" / "browser" / "chat"
CELLS = (
    """
import qwen35_lab as lab
server = lab.serve("nano")
print("pid", server.pid)
""",
    """
talk = lab.views.chat({"local server": server, "this process": lab.load("nano")}, max_new_tokens=400)
talk
""",
)


def widget(**options):
    with scripted(says(*ANSWER)) as url:
        made = chat({"far": lab.Client(url, "m")}, first="Is it so?", **options)
    made._dialogue.turns[1].prompt = "<|im_start|>user\nIs it so?<|im_end|>\n"
    made._publish()
    return made


def test_both_lanes_and_the_prompt_are_there_without_a_kernel(open_page):
    page = open_page(widget())
    assert page.locator(".q35-assistant .q35-inner").inner_text() == "I think so."
    assert page.locator(".q35-assistant .q35-said").inner_text() == "Yes,\nit is <b>so</b>."
    assert page.locator(".q35-user .q35-said").inner_text() == "Is it so?"
    page.locator("summary").click()
    assert page.locator(".q35-prompt").inner_text().startswith("<|im_start|>user")
    assert "no kernel" in page.locator(".q35-status").inner_text()
    assert page.locator("textarea").is_disabled() and page.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(open_page, scheme):
    page = open_page(widget(), color_scheme=scheme)
    page.locator("summary").click()
    found = [barrier for barrier in barriers(page) if not barrier.startswith("color-contrast")]
    assert found == []  # its greys are the system's own here, and JupyterLab's in a notebook


@pytest.mark.parametrize("width", [360, 480, 900])
def test_nothing_sticks_out_on_narrow_screens(open_page, width):
    page = open_page(widget(), width, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width and page.errors == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_live_server_answers_is_stopped_dies_and_comes_back(sample):
    talk = Talk(sample(*CELLS), SEEN)
    lab, page, log, area = talk.lab, talk.page, talk.log, talk.area

    def answered(n: int) -> bool:
        turns = page.locator(".q35-assistant .q35-stats").all_inner_texts()
        return len(turns) == n and bool(turns[-1]) and talk.status.inner_text() == ""

    # asked by keyboard, with thoughts
    talk.choose("thinking", "on")
    talk.ask("Which is larger, 463 or 229?")
    assert lab.soon(lambda: answered(1)), log.inner_text()
    assert page.locator(".q35-assistant .q35-inner").first.inner_text() and "tokens/s" in log.inner_text()
    assert re.search(r"\d+ tokens read · \d+ written", log.inner_text())
    page.locator("summary").click()
    assert page.locator(".q35-prompt").inner_text().rstrip().endswith("<think>")
    talk.shoot("answered")

    # no key reaches JupyterLab: neither letters nor the line break
    area.fill("d")
    for key in ("d", "d", "x", "Shift+Enter", "a"):
        area.press(key)
    assert area.input_value() == "dddx\na" and page.locator(".jp-CodeCell").count() == len(CELLS)

    # stopped in the middle
    talk.choose("thinking", "off")
    area.fill("Tell a story about a frog and a map.")
    page.get_by_role("button", name="Send").click()
    stop = page.get_by_role("button", name="Stop")
    assert lab.soon(lambda: page.locator(".q35-assistant .q35-said").last.inner_text())
    stop.evaluate("button => button.click()")  # which does nothing if the story has just ended
    assert lab.soon(lambda: answered(2)), log.inner_text()

    # killed, and restarted: the answer that broke off is not taken for a new one
    talk.loses_its_server("Which is larger, 4 or 9?")
    assert lab.soon(lambda: answered(3)), log.inner_text()
    assert talk.problem.is_hidden() and "broken off" not in log.inner_text()

    # the model in this process, in the same conversation; then all anew
    talk.choose("backend", "this process")
    talk.ask("Which is larger, 40 or 90?")
    assert lab.soon(lambda: answered(4)), log.inner_text()
    assert page.locator(".q35-by").last.inner_text() == "this process"
    talk.shoot_in_the_dark()
    page.get_by_role("button", name="Start over").click()
    assert lab.soon(lambda: page.locator(".q35-turn").count() == 0)
    assert lab.errors() == []
