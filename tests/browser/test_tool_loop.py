"""The tool loop in JupyterLab, against a live local server that is killed in between."""

from pathlib import Path

import pytest
from browser.talk import Talk

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

SEEN = Path(__file__).resolve().parents[2] / "artefacts" / "browser" / "tool-loop"
CELLS = (
    """
import qwen35_lab as lab
server = lab.serve("nano")
print("pid", server.pid)
""",
    """
tools = lab.agents.world_tools({"Mia": {"age": "31", "city": "Oslo"}}).values()
talk = lab.views.chat({"local server": server, "this process": lab.load("nano")}, tools=tools)
talk
""",
)


def test_it_calls_answers_dies_and_comes_back(sample):
    talk = Talk(sample(*CELLS), SEEN)
    lab, page, log = talk.lab, talk.page, talk.log

    def roles() -> list[str]:
        kinds = page.locator(".q35-turn").evaluate_all("turns => turns.map(turn => turn.classList[1])")
        return [kind.removeprefix("q35-") for kind in kinds]

    def answered(n: int) -> bool:
        """n questions: each with a call, what the tool said, and an answer."""
        done = roles() == ["user", "assistant", "tool", "assistant"] * n
        return done and bool(page.locator(".q35-stats").last.inner_text()) and talk.status.inner_text() == ""

    talk.ask("How old is Mia?")
    assert lab.soon(lambda: answered(1)), log.inner_text()
    said = page.locator(".q35-turn .q35-said").all_inner_texts()
    assert said == ["How old is Mia?", "lookup(name='Mia', field='age')", "31", "31"]
    assert page.locator(".q35-tool .q35-by").inner_text() == "lookup"
    page.locator("summary").click()
    assert "<tool_response>" in page.locator(".q35-prompt").inner_text()
    talk.shoot("answered")

    talk.loses_its_server("Where does Mia live?")
    assert lab.soon(lambda: answered(2)), log.inner_text()
    assert talk.problem.is_hidden() and page.locator(".q35-said").last.inner_text() == "Oslo"
    talk.shoot_in_the_dark()

    talk.choose("backend", "this process")
    talk.ask("How old is Mia?")
    assert lab.soon(lambda: answered(3)), log.inner_text()
    assert lab.errors() == []
