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


@pytest.fixture
def open_exported(browser, exported):
    tabs = []

    def open_exported():
        tabs.append(Tab(browser, exported[1].parent.as_uri()))
        tabs[-1].page.goto(exported[1].as_uri())
        return tabs[-1]

    yield open_exported
    for tab in tabs:
        tab.close()


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


def test_the_exported_page_shows_every_picture_and_its_sliders_work(notebook, exported, open_exported):
    executed, tab = exported[0], open_exported()
    assert tab.soon(lambda: is_drawn(tab.page, executed))
    ranges = ".jp-OutputArea-output input[type=range]"  # those that need a kernel are there, too, but disabled
    assert tab.page.locator(ranges).count() == notebook.page.locator(ranges).count()
    assert [fault for slider in tab.sliders() for fault in slider_faults(tab, slider)] == []
    assert tab.errors() == []


def test_the_exported_page_has_no_raw_formula(exported, open_exported):
    executed, page = exported[0], open_exported().page
    page.add_style_tag(content=".jp-MarkdownOutput code { display: none }")  # which may well speak of \\n or $HOME
    prose = page.locator(".jp-MarkdownOutput")
    formulas = sum("$" in cell.source for cell in executed.cells if cell.cell_type == "markdown")
    assert prose.locator("math").count() >= formulas
    assert [text for text in prose.all_inner_texts() if "$" in text or "\\" in text] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_exported_page_keeps_nobody_out(exported, open_exported, theme):
    tab = open_exported()
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
