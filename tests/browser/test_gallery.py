"""The gallery works from disk: it can be read, searched and operated by everyone, on a phone and on a large screen."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import gallery
import nbformat
import pytest
from browser.access import barriers
from browser.driver import ROOT
from bs4 import BeautifulSoup

import qwen35_lab as lab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]
WIDTHS = (390, 1024, 1920)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The whole site, of notebooks that have not run: how those that have look is asked in test_export.py."""
    folder = tmp_path_factory.mktemp("site")
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    gallery.build({path.stem: nbformat.read(path, as_version=4) for path in paths}, folder)
    return folder


@pytest.fixture
def open_site(browser, site):
    """A tab, without a network, on a page of the site: width, theme."""
    tabs = []

    def open_site(name: str, width: int = 1024, theme: str = "light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme, offline=True)
        tabs.append(page)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("requestfailed", lambda request: page.problems.append(request.url))
        page.goto((site / f"{name}.html").as_uri())
        return page

    yield open_site
    for page in tabs:
        page.close()


def read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def broken_links(folder: Path) -> list[str]:
    """Links and sources of all pages that lead to no file, or to no element in it."""
    pages = {path.resolve(): read(path) for path in folder.rglob("*.html")}
    anchors = {path: {each["id"] for each in page.select("[id]")} for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        for element in page.select("a[href], link[href], img[src], script[src]"):
            url = str(element.get("href") or element.get("src"))
            parts = urlsplit(url)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors.get(target, ())):
                found.append(f"{path.name}: {url}")
    return found


def test_no_link_is_broken(site):
    assert broken_links(site) == []


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "page.html").write_text('<p id="here"><a href="#here">1</a><a href="#gone">2</a><a href="x.html">3</a>')
    assert broken_links(tmp_path) == ["page.html: #gone", "page.html: x.html"]


def pages_of_ours() -> list[str]:
    docs = [path.stem for path in (ROOT / "docs").glob("*.md")]
    return ["index", "models", *docs, "api/qwen35_lab", "api/qwen35_lab.analysis"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_anybody_out(open_site, theme):
    found = {name: barriers(open_site(name, theme=theme)) for name in pages_of_ours()}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_what_keeps_people_out_is_seen(open_site):
    page = open_site("index")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x><p style=\"color:#ccc\">pale</p>')")
    assert {fault.split(":")[0] for fault in barriers(page)} == {"image-alt", "color-contrast"}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen(open_site, width):
    for name in [*pages_of_ours(), *(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))]:
        page = open_site(name, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.problems == [], name
        page.close()


def test_a_search_leads_to_the_place(open_site):
    page = open_site("taps")
    page.keyboard.press("/")
    page.keyboard.type("half-life")
    assert page.get_by_role("option").first.inner_text().startswith("Half-life")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"glossary\.html#half-life$"))
    page = open_site("api/qwen35_lab.views")
    page.get_by_role("combobox", name="search all pages").fill("lab.load")
    assert page.get_by_role("option").first.inner_text().startswith("lab.load")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"api/qwen35_lab\.html#load$"))


def test_a_search_for_nothing_says_so(open_site):
    page = open_site("index")
    page.get_by_role("combobox").fill("xyzzy")
    assert page.get_by_role("option").all_inner_texts() == ["Nothing found"]
    page.keyboard.press("Escape")
    assert page.get_by_role("option").count() == 0


def test_the_theme_is_the_systems_until_it_is_chosen(open_site):
    page = open_site("index", theme="dark")
    button = page.get_by_role("button", name="dark theme")
    assert button.get_attribute("aria-pressed") == "true"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    button.click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.reload()
    assert button.get_attribute("aria-pressed") == "false"


def test_the_reference_has_every_name_of_the_front_door(site):
    page = read(site / "api" / "qwen35_lab.html")
    assert {heading.get_text().strip() for heading in page.select("h3")} == set(lab.__all__)


def test_the_start_page_has_every_notebook_with_its_aims(site):
    cards = [link["href"] for link in read(site / "index.html").select(".card h2 a")]
    assert cards == [f"{path.stem}.html" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
