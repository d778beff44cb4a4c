"""Start JupyterLab on this machine and drive it in a browser, the way a reader would.

JupyterLab's own application object, which it offers with `expose_app_in_browser`, is asked instead of the page
wherever that is possible: it knows when a kernel is ready and when the last cell has run, a page only looks so.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0  # in containers; both programs ask to be told
CHROMIUM_ARGUMENTS = ["--disable-gpu", *(["--no-sandbox"] if AS_ROOT else [])]
WIDTH, HEIGHT = 1300, 1000
SERVER_SECONDS = 120
PAGE_MS = 120_000
RUN_MS = 300_000
SOON_SECONDS = 60  # only what never happens takes that long
# An element that may stay without effect on the picture says so with data-q35-quiet.
SLIDER = "input[type=range]:not([data-q35-quiet]), [role=slider]:not(input)"
BUTTON = ":is(button, [role=button]):not([data-q35-quiet], .modebar-btn)"  # the last are plotly's own
# What JupyterLab and Chromium say without any fault of ours.
NOISE = {
    r"net::ERR_ABORTED": "the page was left, or a picture replaced, while it loaded",
    r"WebSocket is closed before the connection is established": "the page was left while it loaded",
    r"warning: Plugin @jupyterlab/\S+ (\(.* dependants\) took|is taking)": "JupyterLab's own start, on a busy machine",
}
# anywidget says this of every widget that has not begun after two seconds; on a busy machine many begin later.
LATE = "[anywidget] Failed to initialize model."


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    folder: Path


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Server]:
    """JupyterLab as `make lab` starts it, on copies of the notebooks: what runs here is not saved in the repository."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    # Draw every cell, also those that are scrolled out of sight, and save what the widgets know.
    for name, value in {
        "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
        "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
    }.items():
        settings = folder / "settings" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(value))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *[sys.executable, "-m", "jupyterlab", "--config", str(ROOT / "tools/jupyter/lab_config.py")],
        *["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"],
        *[f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"],
        *["--LabApp.expose_app_in_browser=True", *(["--allow-root"] if AS_ROOT else [])],
    ]
    state = {name: str(folder / name) for name in ("config", "data", "settings", "workspaces")}
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": state["config"],
        "JUPYTER_DATA_DIR": state["data"],
        "JUPYTERLAB_SETTINGS_DIR": state["settings"],
        "JUPYTERLAB_WORKSPACES_DIR": state["workspaces"],
    }
    log_path = folder / "server.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)
        try:
            server = Server(f"http://127.0.0.1:{port}", token, folder)
            wait_until_it_answers(server, process, log_path)
            yield server
        finally:
            process.terminate()  # it ends its kernels first
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_it_answers(server: Server, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{server.url}/api?token={server.token}", timeout=1).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


class Tab:
    """One browser tab, and all that goes wrong in it.

    Requests to anywhere but `home` are refused and noted in `outside`; `faults` has failing requests of ours, what is
    thrown, and what the console says as a warning or an error.
    """

    def __init__(self, browser: Browser, home: str):
        self.home = home.removeprefix("http")
        self.patience = SOON_SECONDS
        self.outside: list[str] = []
        self.faults: list[str] = []
        self.late: list[str] = []
        self.context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        self.context.set_default_timeout(PAGE_MS)
        self.context.route(lambda url: not self.is_ours(url), self.refuse)
        self.context.add_init_script(path=ROOT / "tests/browser/page.js")
        self.page = self.context.new_page()
        self.listen(self.page)

    def is_ours(self, url: str) -> bool:
        return url.startswith(("http" + self.home, "ws" + self.home, self.home, "data:", "blob:", "about:"))

    def refuse(self, route) -> None:
        self.outside.append(route.request.url)
        route.abort()

    def listen(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.note(f"thrown: {error}"))
        page.on("console", lambda said: said.type in ("warning", "error") and self.note(f"{said.type}: {said.text}"))
        page.on("response", lambda got: got.status >= 400 and self.note(f"{got.status}: {got.url}"))
        page.on("requestfailed", lambda it: self.is_ours(it.url) and self.note(f"failed: {it.url} {it.failure}"))

    def note(self, fault: str) -> None:
        if LATE in fault:
            self.late.append(fault)
        elif not any(re.search(pattern, fault) for pattern in NOISE):
            self.faults.append(fault)

    def errors(self) -> list[str]:
        """All that a notebook must not do: in a cell, in a widget or a callback, in the page or on the network."""
        asked = [f"asked another machine: {url}" for url in self.outside]
        late = (
            self.late if self.page.locator(".jp-OutputArea-output > .lm-Widget:empty").count() else []
        )  # which have not begun since
        return asked + self.faults + late + self.page.evaluate("reader.errors()")

    def resize(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.evaluate("reader.settled()")  # charts and widgets follow

    def drawing(self, beside: Locator | None = None) -> str:
        """All pictures and tables; of one output only, if something in it is given."""
        return beside.evaluate("e => reader.drawing(e)") if beside else self.page.evaluate("reader.drawing()")

    def sliders(self) -> list[Locator]:
        return self.page.locator(f".jp-OutputArea :is({SLIDER}):enabled:visible").all()

    def buttons(self) -> list[Locator]:
        return self.page.locator(f".jp-OutputArea {BUTTON}:visible").all()

    def move(self, slider: Locator) -> bool:
        """One step with the keyboard; whether anything drawn changed."""
        before = self.drawing(slider)
        slider.focus()
        at_end = slider.evaluate("slider => slider.value === slider.max")
        self.page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        return self.soon(lambda: self.drawing(slider) != before)

    def drag(self, slider: Locator, value: str) -> bool:
        """To a value; whether anything drawn changed."""
        before = self.drawing(slider)
        slider.fill(value)
        return self.soon(lambda: self.drawing(slider) != before)

    def press(self, button: Locator, patience: float | None = None) -> bool:
        """Whether anything in its output looks different then."""
        before = button.evaluate("e => reader.looks(e)")
        button.click()
        return self.soon(lambda: button.evaluate("e => reader.looks(e)") != before, patience)

    def pictures_while(self, button: Locator, seconds: float) -> int:
        """How many different pictures its output shows in that time."""
        return button.evaluate("(e, ms) => reader.count(e, ms)", 1000 * seconds)

    def plays(self, button: Locator) -> bool:
        """Three different pictures, one after the other."""
        return button.evaluate("(e, ms) => reader.count(e, ms, 3)", 1000 * self.patience) == 3

    def soon(self, happened: Callable[[], object], patience: float | None = None) -> bool:
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        while not happened():
            if time.monotonic() > deadline:
                return False
            self.page.wait_for_timeout(20)
        return True

    def close(self) -> None:
        self.context.close()


class Lab(Tab):
    """A tab with JupyterLab in it."""

    def __init__(self, browser: Browser, server: Server):
        super().__init__(browser, server.url)
        self.server = server

    def open_start_page(self) -> None:
        self.page.goto(f"{self.server.url}/?token={self.server.token}")
        self.page.wait_for_function("window.jupyterapp?.shell?.currentWidget")

    def open_notebook(self, path: str) -> None:
        self.page.goto(f"{self.server.url}/lab/tree/{path}?reset&token={self.server.token}")
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        session = "window.jupyterapp?.shell?.currentWidget?.sessionContext"
        self.page.wait_for_function(session)
        self.page.evaluate(f"{session}.ready")
        self.page.wait_for_function(f"{session}.session?.kernel?.status === 'idle'")

    def run_all(self) -> None:
        """Returns when the last cell has run and everything is drawn: widgets draw after their cell is done."""
        # The command itself returns early, at a cell that is meant to raise.
        self.command("notebook:run-all-cells", wait=False)
        self.page.wait_for_function("reader.hasRun()", timeout=RUN_MS)
        self.page.wait_for_function("!document.body.textContent.includes('Loading widget')")
        self.page.evaluate("reader.settled()")

    def command(self, name: str, wait: bool = True, **options: object) -> None:
        run = "([name, options]) => window.jupyterapp.commands.execute(name, options)"
        self.page.evaluate(run if wait else run.replace("=>", "=> void"), [name, options])

    def theme(self, name: str) -> None:
        """`Dark` or `Light`, as in the menu Settings > Theme."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=f"JupyterLab {name}")
        self.page.evaluate("reader.settled()")

    def save(self) -> Path:
        """The file, now with outputs and widget state."""
        self.command("docmanager:save")
        return self.server.folder / self.page.evaluate("window.jupyterapp.shell.currentWidget.context.path")

    def close(self) -> None:
        self.page.evaluate("window.jupyterapp?.serviceManager?.sessions?.shutdownAll()")
        super().close()


def heard_outside(page: Page, places: Sequence[str]) -> list[str]:
    """Which keys JupyterLab would hear, too, that are pressed on these parts of a widget: "d" deletes a cell."""
    page.evaluate("window.heard = []; document.addEventListener('keydown', event => window.heard.push(event.key))")
    for place in places:
        page.locator(place).first.focus()
        for key in ("d", "ArrowUp", "x"):
            page.keyboard.press(key)
    return page.evaluate("window.heard")
