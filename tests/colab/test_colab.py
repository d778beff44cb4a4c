"""The notebooks begin in Colab as they do here: with its versions of what draws, in a folder that has nothing of ours.

Colab itself has not been reached by these tests: colab/machine.py says what stands in for it.
"""

import re

import launch
import nbformat
import pytest
from colab import machine
from notebooks.running import NOTEBOOKS, read
from packaging.utils import canonicalize_name

from qwen35_lab.doctor.versions import NOT_FOR_COLAB

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("colab"), pytest.mark.timeout(900)]
WIDGET, STATES = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
IN_COLAB = nbformat.v4.new_code_cell("import google.colab", id="colab-itself")  # it is always imported there
VERSIONS = nbformat.v4.new_code_cell(
    "import anywidget, ipywidgets, IPython, plotly\n"
    "print(anywidget.__version__, ipywidgets.__version__, IPython.__version__, plotly.__version__)\n"
    "print(google.colab.output.asked)",
    id="versions",
)


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """A machine on which a fork's notebook is open, and the paths that it has asked for."""
    folder = tmp_path_factory.mktemp("colab")
    with machine.served(machine.archive(folder / "fork.zip")) as (port, asked):
        yield machine.make(folder, port), asked


def until(name: str, last: str) -> nbformat.NotebookNode:
    """A notebook's cells up to the one of this id, as Colab has them."""
    (path,) = (path for path in NOTEBOOKS if path.stem.startswith(name))
    notebook = read(path)
    ids = [cell.id for cell in notebook.cells]
    notebook.cells = [IN_COLAB.copy(), *notebook.cells[: ids.index(last) + 1]]
    return notebook


def said(notebook: nbformat.NotebookNode, id: str) -> str:
    (cell,) = (cell for cell in notebook.cells if cell.id == id)
    return "".join(output.get("text", "") for output in cell.outputs)


def drawn(notebook: nbformat.NotebookNode, id: str) -> dict:
    """What a browser gets of the one widget that a cell shows, beside a picture, words, and whom Colab asks for it."""
    (cell,) = (cell for cell in notebook.cells if cell.id == id)
    (output,) = (output for output in cell.outputs if WIDGET in output.get("data", {}))
    data = output["data"]
    assert output["metadata"][WIDGET]["colab"]["custom_widget_manager"]["url"] == machine.MANAGER
    assert "image/png" in data and len(data["text/plain"].split()) > 5  # it is told in words, too
    return notebook.metadata.widgets[STATES].state[data[WIDGET]["model_id"]]


@pytest.fixture(scope="module")
def installed(fork):
    """The machine after notebook 01's first cells, what they showed, and the versions before and after."""
    lent, _ = fork
    before = lent.versions()
    return lent, lent.run(until("01", "ruler")), before, lent.versions()


def test_the_cell_installs_the_fork_that_is_open_and_nothing_else_changes(fork, installed):
    _, asked = fork
    _, notebook, before, after = installed
    assert asked == ["/api/sessions", f"/{machine.FORK}/archive/{machine.REF}.zip"]
    assert re.search(r"qwen35_lab \S+ is ready, with PyTorch", said(notebook, "install-in-colab"))
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"qwen35-lab", *(line.split(">=")[0] for line in launch.missing())}
    has = {canonicalize_name(name): version for name, version in launch.colab().items() if name != "torch"}
    assert {name: before[name] for name in has} == has


def test_what_colab_lacks_was_hidden_before(installed):
    """Else the test above would say nothing."""
    *_, before, after = installed
    hidden = {line.split(">=")[0] for line in launch.missing()} - {"torchao"}  # that one is there, and too old
    assert hidden and not hidden & before.keys() and hidden <= after.keys()
    assert not set(NOT_FOR_COLAB) & after.keys()


def test_notebook_01_finds_its_vocabularies(installed):
    _, notebook, *_ = installed
    assert re.search(r"Qwen3 .*\n.*Qwen3\.5", said(notebook, "two-vocabularies"))
    assert drawn(notebook, "ruler")["model_name"] == "AnyModel"


def test_notebook_02_draws_its_widgets_and_installs_nothing_again(fork, installed):
    lent, asked = fork
    before = [*asked]
    notebook = until("02", "elevator")
    notebook.cells.append(VERSIONS.copy())
    lent.run(notebook)
    assert asked == before and said(notebook, "install-in-colab") == ""
    has = launch.colab()
    versions, google = said(notebook, "versions").splitlines()
    assert versions == " ".join(has[name] for name in ("anywidget", "ipywidgets", "ipython", "plotly"))
    assert not [o for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    assert google == "[True]"  # anywidget has asked for Colab's manager of widgets
    for id in ("stepper", "elevator"):
        state = drawn(notebook, id)["state"]
        assert state["_esm"] and state["payload"]
        assert "buffers" not in drawn(notebook, id)  # Colab loses what is not text


def test_notebook_12_talks_to_a_server(installed):
    """It is transformers' own, with the libraries that Colab has for it."""
    lent, *_ = installed
    assert "the server says what the model" in said(lent.run(until("12", "same")), "same")
