"""Every notebook reads well as a web page, with no kernel and no network."""

import gallery
import nbformat
import nbnorm
import pytest
from browser.access import barriers
from browser.driver import Tab
from browser.test_in_browser import slider_faults

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

CHART, WIDGET = gallery.CHART, gallery.WIDGET


@pytest.fixture
def open_page(browser, tmp_path):
    tabs = []

    def open_page(notebook):
        page = gallery.export(notebook, tmp_path, "page")
        tabs.append(Tab(browser, tmp_path.as_uri()))
        tabs[-1].page.goto(page.as_uri())
        return tabs[-1]

    yield open_page
    for tab in tabs:
        tab.close()


@pytest.fixture(scope="session")
def exported(notebook, tmp_path_factory):
    """What it has shown, and its page as the site has it, made once for all tests that look at it."""
    folder = tmp_path_factory.mktemp("exported")
    gallery.assets(folder)
    (folder / "search.js").write_text("window.SEARCH = []", encoding="utf-8")
    executed = nbformat.read(notebook.saved, as_version=4)
    return executed, gallery.export(executed, folder, "page", top=gallery.header(notebook.name, {"index"}))


@pytest.fixture(scope="session")
def opened(browser, exported):
    """A tab with that page, once for all tests: each leaves it as it found it."""
    tab = Tab(browser, exported[1].parent.as_uri())
    tab.page.goto(exported[1].as_uri())
    yield tab
    tab.close()


@pytest.fixture
def tab(opened):
    yield opened
    opened.page.emulate_media(color_scheme="light")
    opened.resize()


def kinds(notebook) -> list[str]:
    """What its outputs are, by mime type."""
    return [kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", {})]


def own_widgets(notebook) -> int:
    """How many outputs are widgets of ours; a progress bar is somebody else's."""
    states = notebook.metadata["widgets"][gallery.STATES]["state"]
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    models = [states.get(data[WIDGET]["model_id"], {}) for data in shown if WIDGET in data]
    return sum("_esm" in model.get("state", {}) for model in models)


def is_drawn(page, notebook) -> bool:
    """Whether all charts and widgets are there: they draw themselves after the page is loaded."""
    charts, widgets = page.locator(".js-plotly-plot .main-svg:visible"), page.locator(".q35-widget > *:visible")
    return charts.count() >= kinds(notebook).count(CHART) and widgets.count() >= own_widgets(notebook)


def test_the_exported_page_shows_every_picture_and_its_sliders_work(notebook, exported, tab):
    executed = exported[0]
    assert tab.soon(lambda: is_drawn(tab.page, executed))
    ranges = ".jp-OutputArea-output input[type=range]"  # those that need a kernel are there, too, but disabled
    assert tab.page.locator(ranges).count() == notebook.page.locator(ranges).count()
    assert [fault for slider in tab.sliders() for fault in slider_faults(tab, slider)] == []
    assert tab.errors() == []


def test_the_exported_page_has_no_raw_formula(exported, tab):
    code = ".jp-MarkdownOutput code { display: none }"  # which may well speak of \\n or $HOME
    without_code = tab.page.add_style_tag(content=code)
    prose = tab.page.locator(".jp-MarkdownOutput")
    formulas = sum("$" in cell.source for cell in exported[0].cells if cell.cell_type == "markdown")
    assert prose.locator("math").count() >= formulas
    said = prose.all_inner_texts()
    without_code.evaluate("style => style.remove()")
    assert [text for text in said if "$" in text or "\\" in text] == []


CUT_OFF = """() => [...document.querySelectorAll(".jp-OutputArea-child, .jp-OutputArea-output")].filter(
    box => box.scrollHeight > box.clientHeight + 2).map(box => box.innerText.slice(-200))"""
LEFT_EDGES = """() => [...new Set([...document.querySelectorAll(".jp-OutputArea-output")].map(
    box => Math.round(box.getBoundingClientRect().left)))]"""


@pytest.mark.parametrize("width", [390, 1024])
def test_the_exported_page_shows_every_output_to_its_end_and_in_one_line(exported, tab, width):
    tab.resize(width, 900)
    assert tab.soon(lambda: is_drawn(tab.page, exported[0]))
    assert tab.soon(lambda: tab.page.evaluate(CUT_OFF) == []), tab.page.evaluate(CUT_OFF)
    assert len(tab.page.evaluate(LEFT_EDGES)) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_exported_page_keeps_nobody_out(exported, tab, theme):
    tab.page.emulate_media(color_scheme=theme)
    tab.resize(1024, 900)
    assert tab.soon(lambda: is_drawn(tab.page, exported[0]))
    assert barriers(tab.page) == []


def test_what_an_exported_page_asks_other_machines_for_is_seen(open_page):
    cells = [nbformat.v4.new_markdown_cell("![x](https://example.invalid/x.png)")]
    tab = open_page(nbformat.v4.new_notebook(cells=cells))
    assert tab.errors()[0] == "asked another machine: https://example.invalid/x.png"


def test_a_widget_that_no_page_can_run_leaves_its_picture(open_page):
    data = {WIDGET: {"model_id": "gone"}, "text/plain": "in words"}
    cell = nbformat.v4.new_code_cell("w", outputs=[nbformat.v4.new_output("execute_result", data)])
    assert "in words" in open_page(nbformat.v4.new_notebook(cells=[cell])).page.content()


def test_a_widget_whose_code_throws_is_seen(open_page):
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": nbnorm.KERNEL})
    states = {"state": {"one": {"state": {"_esm": "export default {render() { throw Error('broken') }}"}}}}
    notebook.metadata["widgets"] = {gallery.STATES: states}
    data = {WIDGET: {"model_id": "one"}}
    notebook.cells = [nbformat.v4.new_code_cell("w", outputs=[nbformat.v4.new_output("execute_result", data)])]
    tab = open_page(notebook)
    assert tab.soon(lambda: "thrown: broken" in tab.errors())
