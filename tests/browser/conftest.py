"""A browser and a JupyterLab for the tests in this folder.

Without a browser they are skipped, with the reason. QWEN35_LAB_REQUIRE_BROWSER=1 makes that a failure instead.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import nbnorm
import pytest
from browser.driver import CHROMIUM_ARGUMENTS, PAGE_MS, ROOT, Lab, jupyterlab
from playwright.sync_api import Page, TimeoutError, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "left out, there is no Chromium: install it (Debian: apt install chromium) or set CHROMIUM=/path/to/it"
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM and os.environ.get("QWEN35_LAB_REQUIRE_BROWSER"):
        pytest.fail(MISSING, pytrace=False)
    if not CHROMIUM:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory):
    with jupyterlab(tmp_path_factory.mktemp("jupyterlab")) as server:
        yield server


@pytest.fixture
def lab(browser, server):
    lab = Lab(browser, server)
    yield lab
    lab.close()


@pytest.fixture(scope="session", params=NOTEBOOKS)
def notebook(request, browser, server):
    """A notebook that has run from top to bottom, once for all tests: each leaves its widgets as it found them.

    `name` is the notebook's, `saved` the file as it was just after the run.
    """
    lab = Lab(browser, server)
    lab.name = request.param
    lab.open_notebook(f"notebooks/{lab.name}.ipynb")
    lab.run_all()
    lab.saved = shutil.copy(lab.save(), server.folder / f"{lab.name}.ipynb")
    yield lab
    lab.close()


@pytest.fixture
def sample(lab) -> Callable[..., Lab]:
    def sample(*sources: str, tags: tuple[str, ...] = (), run: bool = True) -> Lab:
        """A notebook of these cells, in JupyterLab; the first cell has the tags."""
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": nbnorm.KERNEL})
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook.cells[0].metadata["tags"] = list(tags)
        nbformat.write(notebook, lab.server.folder / "sample.ipynb")
        lab.open_notebook("sample.ipynb")
        if run:
            lab.run_all()
        return lab

    return sample


@pytest.fixture
def open_widget(browser):
    """A widget's own page in a tab without a network; `page.errors` has what is thrown there or printed as an error."""
    contexts = []

    def open_widget(file: Path, width: int = 900, **options) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        contexts.append(context)
        context.set_default_timeout(PAGE_MS)
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
        page.goto(file.as_uri())
        return page

    yield open_widget
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(open_widget, tmp_path):
    """A widget, or HTML, as a page of its own; a file of tests that makes its pages once has an `open_page` itself."""

    def open_page(widget, width: int = 960, **options) -> Page:
        (tmp_path / "page.html").write_text(widget if isinstance(widget, str) else widget.html(), encoding="utf-8")
        return open_widget(tmp_path / "page.html", width, **options)

    return open_page


@pytest.fixture
def follows_the_theme() -> Callable[[Page], bool]:
    """Whether an open page, whose theme changes from light to dark, then paints what it paints when it begins dark."""
    painted = "[...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL()).join()"

    def follows_the_theme(page: Page) -> bool:
        page.emulate_media(color_scheme="dark")
        page.reload()
        page.wait_for_timeout(300)
        dark = page.evaluate(painted)
        page.emulate_media(color_scheme="light")
        page.reload()
        page.wait_for_timeout(300)
        assert page.evaluate(painted) != dark
        page.emulate_media(color_scheme="dark")
        try:
            page.wait_for_function(f"dark => {painted} === dark", arg=dark, timeout=10_000)
        except TimeoutError:
            return False
        return True

    return follows_the_theme


@pytest.fixture
def stopped_clock() -> Callable[[Page], Callable[[float], None]]:
    """Time in a page that passes only when it is told to, in seconds: what plays does so the same on any machine."""

    def stop(page: Page) -> Callable[[float], None]:
        page.clock.install(time=0)
        page.clock.pause_at(1000)
        return lambda seconds: page.clock.run_for(round(1000 * seconds))

    return stop
