"""Start JupyterLab on this machine and drive it in a browser, the way a reader would.

JupyterLab's own application object, which it offers with `expose_app_in_browser`, is asked instead of the page
wherever that is possible: it knows when a kernel is ready and when the last cell has run, a page only looks so.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0  # in containers; both programs ask to be told
CHROMIUM_ARGUMENTS = ["--disable-gpu", *(["--no-sandbox"] if AS_ROOT else [])]
SERVER_SECONDS = 60
PAGE_MS = 60_000
RUN_MS = 300_000
SOON_SECONDS = 10


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    folder: Path


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Server]:
    """JupyterLab as `make lab` starts it, on copies of the notebooks: what runs here is not saved in the repository."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    # Draw every cell, also those that are scrolled out of sight.
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"windowingMode": "none"}))
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


class Lab:
    """One browser tab with JupyterLab in it. Requests to other machines are refused, and noted in `outside`."""

    def __init__(self, browser: Browser, server: Server):
        self.server = server
        self.outside: list[str] = []
        self.page_errors: list[str] = []
        self.context = browser.new_context(viewport={"width": 1300, "height": 1000})
        self.context.set_default_timeout(PAGE_MS)
        self.context.route(lambda url: not self.is_ours(url), self.refuse)
        self.context.add_init_script(path=ROOT / "tests/browser/page.js")
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))

    def is_ours(self, url: str) -> bool:
        here = self.server.url.removeprefix("http")
        return url.startswith(("http" + here, "ws" + here, "data:", "blob:", "about:"))

    def refuse(self, route) -> None:
        self.outside.append(route.request.url)
        route.abort()

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
        self.page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function("reader.hasRun()", timeout=RUN_MS)
        self.page.wait_for_function("!document.body.textContent.includes('Loading widget')")
        before, now = None, self.drawing()
        while now != before:
            self.page.wait_for_timeout(500)
            before, now = now, self.drawing()

    def errors(self) -> list[str]:
        """Of cells, of widgets, of callbacks and of the page itself."""
        return self.page_errors + self.page.evaluate("reader.errors()")

    def drawing(self) -> str:
        return self.page.evaluate("reader.drawing()")

    def sliders(self) -> list[Locator]:
        return self.page.locator(".jp-OutputArea input[type=range]:enabled:visible").all()

    def move(self, slider: Locator) -> bool:
        """One step with the keyboard; whether anything drawn changed."""
        before = self.drawing()
        slider.focus()
        at_end = slider.evaluate("slider => slider.value === slider.max")
        self.page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        return self.soon(lambda: self.drawing() != before)

    def soon(self, happened: Callable[[], object]) -> bool:
        deadline = time.monotonic() + SOON_SECONDS
        while not happened():
            if time.monotonic() > deadline:
                return False
            self.page.wait_for_timeout(50)
        return True

    def close(self) -> None:
        self.page.evaluate("window.jupyterapp?.serviceManager?.sessions?.shutdownAll()")
        self.context.close()
