"""Every notebook is tidy, stays within its budget, and runs from top to bottom without a network."""

import json
import re
import statistics
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import launch
import nbformat
import nbnorm
import papermill
import pytest
from notebooks.running import NOTEBOOKS, offline, read, run

from qwen35_lab.views import theme

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

# What keeps a notebook pleasant to read: short cells, more prose than code, long code in the package.
MAX_CELLS = 70
MAX_CODE_LINES = 250
MAX_LINES_OF_A_CELL = {"median": 6, "90th percentile": 15, "longest": 25}
MIN_WORDS_PER_CODE_LINE = 5
KINDS = "|".join(theme.KINDS)
MAX_OUTPUT_BYTES = 5_000_000  # with what the widgets know

CHART, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"


def lesson(path: Path) -> list[nbformat.NotebookNode]:
    """All cells but the one that installs in Colab: it is folded, the same everywhere, and nothing to read."""
    return [cell for cell in read(path).cells if not launch.installs(cell)]


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in lesson(path) if cell.cell_type == "code"]


def lines_of_code(cell: nbformat.NotebookNode) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


# ------------------------------------------------------------------------- what is in the file


@each_notebook
def test_is_valid_and_in_normal_form(path):
    """No outputs, counts or widget state are committed; the kernel is python3."""
    nbformat.validate(read(path))
    text = path.read_text(encoding="utf-8")
    assert text == nbnorm.dumps(nbnorm.normalise(json.loads(text))), "run tools/nbnorm.py --write"


@each_notebook
def test_cell_ids_are_unique_and_written_by_hand(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]  # nbformat would mend the ids as it reads
    ids = [cell.get("id", "") for cell in cells]
    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not is_readable_id(id)] == []


def is_readable_id(id: str) -> bool:
    """`decay-slider`, and not what editors generate: `8f2a61c0`, or a UUID."""
    words = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id)
    generated = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}|[0-9a-f]{32}", id)
    return bool(words) and not generated and bool(re.search(r"[a-z]{2}", id))


@pytest.mark.parametrize("id", ["8f2a61c0", "3b9aca00-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "", "Cell 1", "12"])
def test_generated_ids_are_seen(id):
    assert not is_readable_id(id)


@each_notebook
def test_begins_with_parameters_that_papermill_can_set(path):
    first = code_cells(path)[0]
    assert "parameters" in first.metadata.get("tags", [])
    assert papermill.inspect_notebook(str(path)), "the cell tagged `parameters` assigns nothing"


@each_notebook
def test_is_within_its_budget(path):
    lengths = [lines_of_code(cell) for cell in code_cells(path)]
    cells = len(lesson(path))
    code_lines = sum(lengths)
    words = sum(len(cell.source.split()) for cell in read(path).cells if cell.cell_type == "markdown")
    found = {
        "median": statistics.median(lengths),
        "90th percentile": statistics.quantiles(lengths, n=10, method="inclusive")[-1],
        "longest": max(lengths),
    }
    too_long = {what: (found[what], limit) for what, limit in MAX_LINES_OF_A_CELL.items() if found[what] > limit}
    assert not too_long, f"lines of code per cell: {too_long} (found, limit)"
    assert code_lines <= MAX_CODE_LINES
    assert cells <= MAX_CELLS
    assert words / code_lines >= MIN_WORDS_PER_CODE_LINE


# ------------------------------------------------------------------------- what happens when it runs


def widget_states(notebook: nbformat.NotebookNode) -> dict:
    return notebook.metadata.get("widgets", {}).get(STATES, {}).get("state", {})


def hidden_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Errors that stop nothing: shown inside an Output widget (`interact` does that), or printed by a thread."""
    inside_widgets = [
        output for widget in widget_states(notebook).values() for output in widget["state"].get("outputs", [])
    ]
    printed = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    errors = [f"{o['ename']}: {o['evalue']}" for o in inside_widgets if o["output_type"] == "error"]
    return errors + [o["text"] for o in printed if "Traceback (most recent call last)" in o.get("text", "")]


def seconds(notebook: nbformat.NotebookNode) -> float:
    """From the start of the first code cell to the end of the last one."""
    times = [cell.metadata.execution for cell in notebook.cells if "execution" in cell.metadata]
    begin, end = times[0]["iopub.execute_input"], times[-1]["shell.execute_reply"]
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def pictures(notebook: nbformat.NotebookNode) -> list[tuple[str, nbformat.NotebookNode, str]]:
    """Each chart, image and widget of ours: its cell's id, its data, and all that the cell shows as text.

    A progress bar is a widget too, but nothing to look at: ours are anywidgets, with a payload.
    """

    def state(data: dict) -> dict:
        return widget_states(notebook).get(data.get(WIDGET, {}).get("model_id"), {})

    def is_picture(data: dict) -> bool:
        is_box = state(data).get("model_name") in ("HBoxModel", "VBoxModel")
        return bool({CHART, WIDGET, "image/png", "image/svg+xml"} & set(data)) and not is_box

    found = []
    for cell in notebook.cells:
        shown = [output["data"] for output in cell.get("outputs", []) if "data" in output]
        text = json.dumps([{k: v for k, v in data.items() if not k.startswith("image/")} for data in shown])
        text += "".join(state(data).get("state", {}).get("payload", "") for data in shown)
        found += [(cell.id, data, text) for data in shown if is_picture(data)]
    return found


def picture_faults(notebook: nbformat.NotebookNode) -> list[str]:
    """One picture per cell, and with each the kind of its numbers and what it shows in words."""
    found, faults = pictures(notebook), []
    cells = [id for id, _, _ in found]
    faults += [f"{id}: more than one picture" for id in sorted(set(cells)) if cells.count(id) > 1]
    for id, data, text in found:
        if not re.search(r'>(%s)<|"badge\W+(%s)\W' % ((KINDS,) * 2), text):
            faults.append(f"{id}: no badge")
        alt = data[CHART]["layout"].get("meta", {}).get("alt", "") if CHART in data else data.get("text/plain", "")
        if len(alt.split()) < 5:
            faults.append(f"{id}: no words for who cannot see it")
        if WIDGET in data and "image/png" not in data:
            faults.append(f"{id}: no PNG for where widgets do not run")
    return faults


def warnings(notebook: nbformat.NotebookNode) -> list[str]:
    return [o["text"] for cell in notebook.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]


def output_bytes(notebook: nbformat.NotebookNode) -> int:
    outputs = [cell.get("outputs", []) for cell in notebook.cells]
    return len(json.dumps([outputs, notebook.metadata.get("widgets", {})]))


@pytest.mark.timeout(900)
def test_runs_offline_without_errors_or_warnings(executed, record_property):
    """How long it takes is printed at the end of the run, and not judged: that is the machine's doing as well."""
    record_property("seconds", seconds(executed))
    assert hidden_errors(executed) == []
    assert warnings(executed) == []


@pytest.mark.timeout(900)
def test_each_picture_stands_alone_with_its_badge_and_its_words(executed):
    assert pictures(executed), "no picture at all"
    assert picture_faults(executed) == []


@pytest.mark.timeout(900)
def test_what_it_shows_is_not_too_much(executed):
    assert output_bytes(executed) <= MAX_OUTPUT_BYTES


# ------------------------------------------------------------------------- do these checks see anything?


def notebook(folder: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": nbnorm.KERNEL})
    nbformat.write(made, folder / "sample.ipynb")
    return folder / "sample.ipynb"


@pytest.mark.slow
def test_an_error_inside_interact_is_seen(tmp_path):
    """nbmake alone passes this notebook."""
    source = "from ipywidgets import interact\n@interact(k=3)\ndef show(k):\n    raise ValueError('broken')"
    (tmp_path / "run").mkdir()
    assert hidden_errors(run(notebook(tmp_path, source), tmp_path / "run", patience=120)) == ["ValueError: broken"]


def outputs(*data: dict) -> nbformat.NotebookNode:
    """A notebook with one cell that shows these."""
    made = [nbformat.v4.new_output("display_data", each) for each in data]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", id="cell", outputs=made)])


CHART_WITH_WORDS = {CHART: {"layout": {"meta": {"alt": "A curve that falls from 3 to 1."}}}}
BADGE = {"text/html": "<b>TINY</b>"}


@pytest.mark.parametrize(
    "shown, faults",
    [
        ([CHART_WITH_WORDS, BADGE], []),
        ([CHART_WITH_WORDS], ["cell: no badge"]),
        ([{CHART: {"layout": {}}}, BADGE], ["cell: no words for who cannot see it"]),
        ([CHART_WITH_WORDS, CHART_WITH_WORDS, BADGE], ["cell: more than one picture"]),
        ([{WIDGET: {"model_id": "1"}, "text/plain": "A map with four cells."}, BADGE],
         ["cell: no PNG for where widgets do not run"]),
    ],
)  # fmt: skip
def test_a_picture_without_badge_words_or_png_is_seen(shown, faults):
    assert picture_faults(outputs(*shown)) == faults


def test_a_warning_and_a_large_output_are_seen(tmp_path):
    (tmp_path / "run").mkdir()
    executed = run(notebook(tmp_path, "import warnings; warnings.warn('old')", "'x' * 6_000_000"), tmp_path / "run")
    assert "UserWarning: old" in warnings(executed)[0]
    assert output_bytes(executed) > MAX_OUTPUT_BYTES


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('example.invalid', 80))",
        "socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))",
        "__import__('urllib.request').request.urlopen('https://example.invalid')",
    ],
)
def test_the_network_is_off(attempt):
    result = subprocess.run(
        [sys.executable, "-c", f"import socket; {attempt}"], env=offline(), capture_output=True, text=True
    )
    assert "the network is off for this test" in result.stderr


def test_this_machine_stays_reachable():
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    subprocess.run([sys.executable, "-c", code], env=offline(), check=True)
