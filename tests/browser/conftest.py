"""A browser and a JupyterLab for the tests in this folder.

Without a browser they are skipped, with the reason. QWEN35_LAB_REQUIRE_BROWSER=1 makes that a failure instead.
"""

import os
import shutil

import pytest
from browser.driver import CHROMIUM_ARGUMENTS, Lab, jupyterlab
from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "left out, there is no Chromium: install it (Debian: apt install chromium) or set CHROMIUM=/path/to/it"


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
