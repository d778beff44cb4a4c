"""The tool loop in JupyterLab, against a live local server that is killed in between."""

import os
import re
import signal
from pathlib import Path

import pytest

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
    lab = sample(*CELLS)
    page, log = lab.page, lab.page.locator(".q35-log")
    lab.patience = 120
    pid = int(re.search(r"pid (\d+)", page.locator(".jp-OutputArea-output").first.inner_text())[1])
    area, status = page.get_by_role("textbox", name="your question"), page.locator(".q35-status")
    problem = page.locator(".q35-problem")

    def roles() -> list[str]:
        kinds = page.locator(".q35-turn").evaluate_all("turns => turns.map(turn => turn.classList[1])")
        return [kind.removeprefix("q35-") for kind in kinds]

    def answered(n: int) -> bool:
        """n questions: each with a call, what the tool said, and an answer."""
        done = roles() == ["user", "assistant", "tool", "assistant"] * n
        return done and bool(page.locator(".q35-stats").last.inner_text()) and status.inner_text() == ""

    area.fill("How old is Mia?")
    area.press("Enter")
    assert lab.soon(lambda: answered(1)), log.inner_text()
    said = page.locator(".q35-turn .q35-said").all_inner_texts()
    assert said == ["How old is Mia?", "lookup(name='Mia', field='age')", "31", "31"]
    assert page.locator(".q35-tool .q35-by").inner_text() == "lookup"
    page.locator("summary").click()
    assert "<tool_response>" in page.locator(".q35-prompt").inner_text()
    SEEN.mkdir(parents=True, exist_ok=True)
    page.locator(".q35-chat").screenshot(path=SEEN / "answered.png")

    os.kill(pid, signal.SIGKILL)
    area.fill("Where does Mia live?")
    area.press("Enter")
    assert lab.soon(problem.is_visible), log.inner_text()
    assert "The local server “local server” has ended; restart it" in problem.inner_text()
    page.locator(".q35-chat").screenshot(path=SEEN / "dead.png")
    problem.get_by_role("button", name="Restart the server and ask again").click()
    assert lab.soon(lambda: answered(2)), log.inner_text()
    assert problem.is_hidden() and page.locator(".q35-said").last.inner_text() == "Oslo"
    lab.theme("Dark")
    page.locator(".q35-chat").screenshot(path=SEEN / "dark.png")
    lab.theme("Light")

    page.get_by_role("combobox", name="backend").select_option(label="this process")
    area.fill("How old is Mia?")
    area.press("Enter")
    assert lab.soon(lambda: answered(3)), log.inner_text()
    assert lab.errors() == []
