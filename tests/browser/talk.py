"""A chat in JupyterLab, as a person meets it: asks, waits, and sees its server die."""

import os
import re
import signal
from pathlib import Path

from browser.driver import Lab


class Talk:
    """The chat of a notebook whose first cell prints `pid N` of the local server.

    Args:
        shots: the folder for screenshots.
    """

    def __init__(self, lab: Lab, shots: Path):
        lab.patience = 120
        self.lab, self.page, self.shots = lab, lab.page, shots
        self.log, self.status = self.page.locator(".q35-log"), self.page.locator(".q35-status")
        self.problem = self.page.locator(".q35-problem")
        self.area = self.page.get_by_role("textbox", name="your question")
        shots.mkdir(parents=True, exist_ok=True)

    def ask(self, text: str) -> None:
        self.area.fill(text)
        self.area.press("Enter")

    def choose(self, what: str, label: str) -> None:
        self.page.get_by_role("combobox", name=what).select_option(label=label)

    def shoot(self, name: str) -> None:
        self.page.locator(".q35-chat").screenshot(path=self.shots / f"{name}.png")

    def shoot_in_the_dark(self) -> None:
        self.lab.theme("Dark")
        self.shoot("dark")
        self.lab.theme("Light")

    def loses_its_server(self, question: str) -> None:
        """The server is killed; a question shows it, plainly, and a button starts it anew and asks again."""
        said = self.page.locator(".jp-OutputArea-output").first.inner_text()
        os.kill(int(re.search(r"pid (\d+)", said)[1]), signal.SIGKILL)
        self.ask(question)
        assert self.lab.soon(self.problem.is_visible), self.log.inner_text()
        assert "The local server “local server” has ended; restart it" in self.problem.inner_text()
        self.shoot("dead")
        self.problem.get_by_role("button", name="Restart the server and ask again").click()
        assert self.problem.is_hidden() and self.status.inner_text()  # at once
