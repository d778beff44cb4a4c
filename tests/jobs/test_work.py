"""What is finished is not done again, unless something has changed that it depends on. No kernel runs here."""

import csv
import errno
import json
from pathlib import Path

import pytest
from jobs.tiny import NOTED, notebook

import qwen35_lab as lab
from qwen35_lab.jobs import job as jobs
from qwen35_lab.jobs import results
from qwen35_lab.jobs.find import load
from qwen35_lab.jobs.job import Job, check_models, grid
from qwen35_lab.jobs.work import work


class Engine:
    """Finishes every job at once, and remembers which."""

    def __init__(self, **changed):
        self.ran, self.changed = [], changed

    def __call__(self, todo, tell):
        for job in todo:
            self.ran.append(str(job))
            claims = [{"statement": "small", "measured": 0.5, "bound": "below 1", "holds": True},
                      {"statement": "wrong turn", "measured": 2, "bound": "below 1", "holds": False}]  # fmt: skip
            values = {"square": job.parameters["seed"] ** 2 * job.parameters["scale"]}
            found = {"status": "done", "error": "", "seconds": 1.25, "peak_bytes": 3e8, "claims": claims}
            yield job, found | {"values": values, "notebook": job.notebook.text} | self.changed


@pytest.fixture
def tiny(tmp_path):
    return load(notebook(tmp_path, NOTED))


def ran(todo, folder, **options):
    engine = Engine()
    work(todo, folder, engine, **options)
    return engine.ran


def test_every_combination_is_a_job_of_its_own_file(tiny):
    todo = grid(tiny, {"seed": [0, 1], "scale": [1.0, 2.0]})
    assert [str(job) for job in todo] == [f"01_tiny seed={n} scale={s}" for n in (0, 1) for s in (1.0, 2.0)]
    assert len({job.file for job in todo}) == 4 and todo[0].file.startswith("01_tiny-seed=0-scale=1.0-")
    assert Job(tiny, {"scale": 1.0, "seed": 0}).file == todo[0].file, "in whatever order they are named"
    assert Job(tiny).file == "01_tiny.ipynb" and todo[1].parameters == {"seed": 0, "scale": 2.0}


def test_the_name_of_a_file_is_short_and_has_no_strange_letters(tiny):
    long = Job(tiny, {"prompt": "a/b: " * 100}).file
    assert len(long) < 100 and "/" not in long and ":" not in long
    assert long != Job(tiny, {"prompt": "a/b: " * 99}).file


def test_what_is_finished_is_skipped(tiny, tmp_path, capsys):
    assert len(ran(grid(tiny, {"seed": [0, 1]}), tmp_path / "out")) == 2
    assert ran(grid(tiny, {"seed": [0, 1, 2]}), tmp_path / "out") == ["01_tiny seed=2"]
    assert "2 of 3 runs are finished already" in capsys.readouterr().out
    assert len(ran(grid(tiny, {"seed": [0, 1]}), tmp_path / "out", again=True)) == 2


def test_what_failed_is_run_again(tiny, tmp_path):
    todo = grid(tiny, {"seed": [0, 1]})
    (outcome, _) = work(todo, tmp_path / "out", Engine(status="failed", error="cell [2]: ValueError: no"))
    assert not outcome.done and outcome.path.exists()
    assert len(ran(todo, tmp_path / "out")) == 2 and ran(todo, tmp_path / "out") == []


@pytest.mark.parametrize("what", ["source", "default", "code", "data", "file"])
def test_what_has_changed_is_run_again(what, tiny, tmp_path, monkeypatch):
    (tmp_path / "text").write_text("one")
    given = {"seed": 1} | ({"prompt": str(tmp_path / "text")} if what == "file" else {})
    cells = ("seed: int = 0  # of nothing\nscale: float = 1.0  # of it\nprompt: str = ''  # a text", NOTED)

    def todo():
        return [Job(load(notebook(tmp_path, *cells[1:], parameters=cells[0])), given)]

    assert len(ran(todo(), tmp_path / "out")) == 1
    assert ran(todo(), tmp_path / "out") == []
    if what == "source":
        cells = (cells[0], NOTED + "\n1 + 1")
    if what == "default":
        cells = (cells[0].replace("1.0", "2.0"), NOTED)
    if what in ("code", "data"):
        monkeypatch.setattr(jobs, f"{what}_stamp", lambda: "another")
    if what == "file":
        (tmp_path / "text").write_text("another")
    assert len(ran(todo(), tmp_path / "out")) == 1


def test_the_stamps_see_the_package():
    assert len(jobs.code_stamp()) == 64
    assert any(name.endswith("model.safetensors") for name, _, _ in jobs.data_stamp())


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"metadata": {"qwen35_lab": 3}}', "half a noteb"])
def test_a_file_that_is_not_ours_is_replaced(text, tiny, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / Job(tiny).file).write_text(text)
    assert ran([Job(tiny)], tmp_path / "out") == ["01_tiny"]


def test_what_a_killed_command_left_half_written_is_removed(tiny, tmp_path):
    (tmp_path / "out").mkdir()
    (left := tmp_path / "out" / ".01_tiny.ipynb.99999999").write_text("half")
    (ours := tmp_path / "out" / ".01_tiny.ipynb.1").write_text("of a process that lives")
    ran([Job(tiny)], tmp_path / "out")
    assert not left.exists() and ours.exists()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tiny, tmp_path, monkeypatch):
    todo = grid(tiny, {"seed": [0, 1, 2]})
    whole, engine = Path.write_text, Engine()

    def write(path, text, *args):
        if len(engine.ran) == 2:
            whole(path, text[:100], *args)
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, text, *args)

    monkeypatch.setattr(Path, "write_text", write)
    with pytest.raises(lab.LabError, match=r"No space left on device.*free some space"):
        work(todo, tmp_path / "out", engine)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [todo[0].file]
    assert len(engine.ran) == 2, "the others need not begin"
    assert ran(todo, tmp_path / "out") == [str(todo[1]), str(todo[2])]


def test_models_are_looked_up_before_anything_runs(tiny):
    check_models([Job(tiny, {"model": "recall"}), Job(tiny, {"model": "Qwen/Qwen3.5-0.8B"}), Job(tiny)])
    with pytest.raises(lab.CheckpointError, match=r"did you mean 'recall'\?"):
        check_models([Job(tiny, {"model": "recal"})])
    gone = [Job(tiny, {"model": "./no/folder"})]
    with pytest.raises(lab.CheckpointError, match="no folder"):
        check_models(gone)
    check_models(gone, elsewhere=True)


# ------------------------------------------------------------------------- the table and the figure


def test_the_table_has_a_row_per_run_with_all_that_is_known(tiny, tmp_path):
    outcomes = work(grid(tiny, {"seed": [1, 2]}), tmp_path / "out", Engine())
    rows = list(csv.DictReader(results.write_table(outcomes, tmp_path / "out").open()))
    assert [row["square"] for row in rows] == ["1.0", "4.0"]
    assert rows[0] == {
        "notebook": "01_tiny", "seed": "1", "scale": "1.0", "status": "done", "seconds": "1.2", "peak_mb": "300",
        "claims_held": "1", "claims_refuted": "1", "square": "1.0", "error": "", "file": outcomes[0].path.name,
    }  # fmt: skip
    shown = repr(results.table(outcomes))
    assert "300 MB" in shown and "1/2" in shown and "2 of 2 runs finished" in shown and "scale" not in shown
    assert "wrong turns, taken on purpose" in shown


def test_a_note_with_the_name_of_a_parameter_has_a_column_of_its_own(tiny, tmp_path):
    outcomes = work([Job(tiny)], tmp_path / "out", Engine(values={"seed": 7, "nan": "nan", "text": "a,b"}))
    (row,) = csv.DictReader(results.write_table(outcomes, tmp_path / "out").open())
    assert (row["seed"], row["seed (noted)"], row["nan"], row["text"]) == ("0", "7", "nan", "a,b")


def test_the_figure_shows_what_was_noted_against_what_was_swept(tiny, tmp_path):
    outcomes = work(grid(tiny, {"seed": [1, 2], "scale": [1.0, 2.0]}), tmp_path / "out", Engine())
    figure = results.figure(outcomes, ["seed", "scale"])
    assert figure.layout.xaxis.title.text == "scale", "a seed is turned only to repeat"
    assert list(figure.data[0].y) == [2.5, 5.0] and list(figure.data[1].y) == [1, 4, 2, 8]
    assert figure.provenance() == "TINY · 01_tiny · 4 runs"
    alone = results.figure(outcomes[::2], ["seed"])
    assert alone.layout.xaxis.title.text == "seed" and list(alone.data[0].y) == [1, 4]
    assert alone.layout.xaxis.type == "category" and not any("lines" in curve.mode for curve in alone.data)


def test_a_claim_is_drawn_when_asked_for_and_an_unknown_name_is_refused(tiny, tmp_path):
    outcomes = work(grid(tiny, {"seed": [1, 2]}), tmp_path / "out", Engine())
    assert list(results.figure(outcomes, ["seed"], ["small"]).data[0].y) == [0.5, 0.5]
    with pytest.raises(lab.InputError, match=r"No run has measured 'squar'; did you mean 'square'\?"):
        results.figure(outcomes, ["seed"], ["squar"])


def test_without_notes_the_figure_has_the_claims_that_differ_and_without_numbers_there_is_none(tiny, tmp_path):
    todo = grid(tiny, {"seed": [1, 2]})
    nothing = work(todo, tmp_path / "out", Engine(values={"word": "yes"}))
    assert results.figure(nothing, ["seed"]) is None
    for outcome, measured in zip(nothing, (0.5, 0.7)):
        outcome.record["claims"][0]["measured"] = measured
    assert list(results.figure(nothing, ["seed"]).data[0].y) == [0.5, 0.7]
    assert results.figure(work(todo, tmp_path / "x", Engine(status="failed")), ["seed"]) is None


def test_whose_weights_were_used_is_the_badge(tiny, tmp_path):
    def badge(model):
        todo = [Job(load(notebook(tmp_path, NOTED, parameters=cell)), {"seed": n, "model": model}) for n in (1, 2)]
        return results.figure(work(todo, tmp_path / "out", Engine()), ["seed"]).provenance().split(" · ")[0]

    cell = "seed: int = 0  # of it\nscale: float = 1.0  # of it\nmodel: str = 'recall'  # a model"
    assert [badge(name) for name in ("nano", "Qwen/Qwen3.5-0.8B", "some/folder")] == ["TINY", "REAL", "OTHER"]


def test_the_page_needs_nothing_else(tiny, tmp_path, monkeypatch):
    outcomes = work(grid(tiny, {"seed": [1, 2]}), tmp_path / "out", Engine())
    figure = results.figure(outcomes, ["seed"])
    monkeypatch.setattr(type(figure), "static", lambda self: b"png")
    said = results.write_figure(figure, outcomes, tmp_path / "out")
    page = (tmp_path / "out" / "results.html").read_text()
    assert "results.png" in said and "<table" in page and "TINY" in page and figure.caption() in page
    assert 'src="http' not in page and "Plotly.newPlot" in page


def test_without_a_browser_there_is_no_png_and_a_word_about_it(tiny, tmp_path, monkeypatch):
    outcomes = work(grid(tiny, {"seed": [1, 2]}), tmp_path / "out", Engine())
    figure = results.figure(outcomes, ["seed"])

    def fails(self):
        raise lab.LabError("The figure could not be drawn; install a Chromium.")

    monkeypatch.setattr(type(figure), "static", fails)
    assert "No PNG: The figure could not be drawn" in results.write_figure(figure, outcomes, tmp_path / "out")
    assert not (tmp_path / "out" / "results.png").exists()


def test_an_executed_copy_carries_its_record(tiny, tmp_path):
    (outcome,) = work([Job(tiny, {"seed": 3})], tmp_path / "out", Engine())
    kept = json.loads(outcome.path.read_text())["metadata"]["qwen35_lab"]
    assert kept["parameters"] == {"seed": 3, "scale": 1.0} and kept["values"] == {"square": 9.0}
