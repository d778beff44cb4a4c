"""Make docs/img/elevator.png, the README's picture: the layer elevator of notebook 02 in a real JupyterLab.

python tools/screenshot.py        (needs the [test] requirements and Chromium)
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from driver import CHROMIUM_ARGUMENTS, Lab, jupyterlab  # noqa: E402


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        lab = Lab(browser, server)
        lab.page.set_viewport_size({"width": 1300, "height": 1500})
        lab.open_notebook("notebooks/02_forward_pass.ipynb")
        lab.page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
        lab.run_all()
        if errors := lab.errors():
            sys.exit(f"The notebook fails: {errors}")
        lab.page.add_style_tag(content=".q35-elevator { padding: 12px }")
        elevator = lab.page.locator(".q35-elevator").first
        elevator.get_by_role("slider", name="layer").press("Home")
        lab.page.keyboard.press("ArrowUp")  # layer 0, in which the answer appears
        lab.page.keyboard.press("Tab")  # the picture shows no focus frame
        elevator.screenshot(path=ROOT / "docs" / "img" / "elevator.png")
        browser.close()


if __name__ == "__main__":
    main()
