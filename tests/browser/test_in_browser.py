"""What a reader sees: the start page, and every notebook, run in JupyterLab in a real browser."""

import nbformat
import nbnorm
import pytest
from browser.driver import ROOT

# One worker for all of them, so that one JupyterLab and one browser are enough.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_the_start_page_is_rendered_and_leads_to_a_notebook(lab):
    lab.open_start_page()
    page = lab.page
    page.locator(".jp-MarkdownViewer h1").wait_for()
    assert page.locator(".jp-Dialog").count() == 0
    page.locator(f".jp-MarkdownViewer a[href*='{NOTEBOOKS[0]}']").first.click()
    lab.wait_for_kernel()
    assert page.evaluate("window.jupyterapp.shell.currentWidget.context.path") == f"notebooks/{NOTEBOOKS[0]}"
    assert lab.outside == []
    assert lab.page_errors == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_and_its_sliders_draw(lab, name):
    lab.open_notebook(f"notebooks/{name}")
    lab.run_all()
    assert lab.errors() == []
    for slider in lab.sliders():
        label = slider.get_attribute("aria-label")
        assert label, "a slider without aria-label says nothing to a screen reader"
        assert lab.move(slider), f"moving {label!r} changed nothing that is drawn"
    assert lab.errors() == []  # a callback may have failed only now
    assert lab.outside == []


# ------------------------------------------------------------------------- do these checks see anything?

SLIDER = """
import anywidget
class Slider(anywidget.AnyWidget):
    _esm = '''export default {render({el}) {
        el.innerHTML = "<input type=range value=0 aria-label=k>" + "<canvas></canvas>";
        const ink = el.querySelector("canvas").getContext("2d");
        el.querySelector("input").oninput = () => { ON_INPUT };
        el.onkeydown = event => event.stopPropagation();  // else JupyterLab takes the arrow keys for itself
    }}'''
Slider()"""


@pytest.fixture
def run(lab):
    def run(*sources: str, tags: tuple[str, ...] = ()):
        """A notebook of these cells; the first one has the tags."""
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": nbnorm.KERNEL})
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook.cells[0].metadata["tags"] = list(tags)
        nbformat.write(notebook, lab.server.folder / "sample.ipynb")
        lab.open_notebook("sample.ipynb")
        lab.run_all()
        return lab

    return run


def test_an_error_after_a_cell_that_is_meant_to_raise_is_seen(run):
    lab = run("1 / 0", "import time; time.sleep(2)", "undefined", tags=("raises-exception",))
    assert lab.errors() == ["NameError: name 'undefined' is not defined"]


@pytest.mark.parametrize(
    "callback", ["from ipywidgets import interact; interact(f, k=s)", "s.observe(f, 'value'); display(s)"]
)
def test_an_error_in_a_callback_is_seen(run, callback):
    lab = run(f"import ipywidgets\ns = ipywidgets.IntSlider(0)\ndef f(k):\n    if s.value: 1 / 0\n{callback}")
    assert lab.errors() == []
    lab.page.get_by_role("slider").first.focus()
    lab.page.keyboard.press("ArrowRight")
    assert lab.soon(lab.errors)


@pytest.mark.parametrize("on_input, draws", [("ink.fillRect(0, 0, 9, 9)", True), ("", False)])
def test_a_slider_that_draws_is_told_from_one_that_does_not(run, on_input, draws):
    lab = run(SLIDER.replace("ON_INPUT", on_input))
    (slider,) = lab.sliders()
    assert lab.move(slider) == draws


def test_a_request_to_another_machine_is_refused_and_seen(run):
    lab = run("from IPython.display import HTML\nHTML('<img src=\"https://example.invalid/a.png\">')")
    assert "https://example.invalid/a.png" in lab.outside
