"""Notebooks in kernels of their own: what they leave, what happens when they fail, and when somebody stops them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs.tiny import NOTED, PID, alive, notebook, wait_for

from qwen35_lab.cli import main

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
SLEEP = "import time\nif seed and not pathlib.Path('go-on').exists():\n    time.sleep(600)"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def rows(folder: Path) -> list[dict]:
    """The table without what the clock and the memory say."""
    with (folder / "results.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k not in ("seconds", "peak_mb")} for row in csv.DictReader(file)]


def test_a_run_leaves_an_executed_copy_a_table_and_word_of_both(here, capsys):
    notebook(here, "total = scale * 3\ntotal", NOTED)
    assert main(["run", "01", "--notebooks", ".", "-p", "scale", "2", "-p", "seed", "5", "--to", "out"]) == 0
    (path,) = Path("out").glob("*.ipynb")
    executed = json.loads(path.read_text())
    assert "".join(executed["cells"][1]["source"]) == "# Parameters\nscale = 2.0\nseed = 5\n"
    assert "".join(executed["cells"][2]["outputs"][0]["data"]["text/plain"]) == "6.0"
    assert str(here) not in path.read_text() and "q35-" not in path.read_text()
    (row,) = rows(here / "out")
    assert row["status"] == "done" and row["square"] == "50.0" and row["odd"] == "true" and row["claims_held"] == "1"
    assert executed["metadata"]["qwen35_lab"]["peak_bytes"] > 10e6
    said = capsys.readouterr().out
    assert "✓ 01_tiny scale=2.0 seed=5" in said and f"Executed copy: {path}" in said


ONE_IS_BAD = (PID, "if seed == 1:\n    raise ValueError('one is bad\\nvery')", NOTED)
THREE = ["sweep", "01", "--notebooks", ".", "-p", "seed", "0,1,2"]


@pytest.fixture(scope="module")
def one_failed(tmp_path_factory):
    """The folder of a sweep of three runs on this machine, one of which has failed, and its table."""
    folder = tmp_path_factory.mktemp("one-failed")
    notebook(folder, *ONE_IS_BAD)
    ran = start(*THREE, "--to", "out", folder=folder)
    said = ran.communicate(timeout=300)
    return folder, rows(folder / "out"), ran.returncode, *said


def test_a_notebook_that_raises_is_kept_with_its_error_and_the_others_go_on(one_failed, monkeypatch):
    folder, table, code, out, err = one_failed
    monkeypatch.chdir(folder)
    assert code == 1
    failed = next(Path("out").glob("*seed=1-*.ipynb"))
    assert f"1 of 3 runs failed; the first is in {failed}" in err
    assert "✗ 01_tiny seed=1: cell [4]: ValueError: one is bad" in out
    assert "one is bad" in failed.read_text() and "Traceback" in failed.read_text()
    assert [(row["status"], row["square"]) for row in table] == [
        ("done", "0.0"), ("failed", ""), ("done", "4.0")
    ]  # fmt: skip
    for pid in Path().glob("pid-*"):
        pid.unlink()
    assert main([*THREE, "--to", "out"]) == 1
    assert [path.name for path in Path().glob("pid-*")] == ["pid-1"], "only what failed is run again"


@posix
def test_a_kernel_that_dies_is_a_run_that_failed(here):
    notebook(here, "import os, signal\nif seed == 1:\n    os.kill(os.getpid(), signal.SIGKILL)", NOTED)
    assert main(["sweep", "01", "--notebooks", ".", "-p", "seed", "1,2", "--to", "out"]) == 1
    first, second = rows(here / "out")
    assert first["error"].startswith("the kernel died") and second["status"] == "done"


def test_two_jobs_run_side_by_side(here):
    """Each waits until the other has begun."""
    other = "import time\nend = time.time() + 120\nwhile not pathlib.Path(f'pid-{3 - seed}').exists():\n    time.sleep(0.05)\n    assert time.time() < end"  # noqa: E501
    notebook(here, PID, other, NOTED)
    assert main(["sweep", "01", "--notebooks", ".", "-p", "seed", "1,2", "--jobs", "2", "--to", "out"]) == 0
    assert [row["square"] for row in rows(here / "out")] == ["1.0", "4.0"]


def start(*words: str, folder: Path) -> subprocess.Popen:
    """The command line in a process of its own, as a shell would start it."""
    command = [sys.executable, "-m", "qwen35_lab", *words]
    here = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": here}, start_new_session=True, **pipes)


SWEEP = ["sweep", "01", "--notebooks", ".", "-p", "seed", "0,1,2", "--jobs", "2", "--to", "out"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The table of a sweep that nobody has stopped."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "go-on").touch()
    notebook(folder, PID, SLEEP, NOTED)
    assert start(*SWEEP, folder=folder).wait(300) == 0
    return rows(folder / "out")


@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_stopped_half_way_resumes_to_the_same_table(how, here, uninterrupted):
    """One of three runs finishes, the others sleep for ever in kernels of their own when the signal comes."""
    notebook(here, PID, SLEEP, NOTED)
    sweep = start(*SWEEP, folder=here)
    assert wait_for(lambda: Path("pid-1").exists() and Path("pid-2").exists()), sweep.communicate()
    assert wait_for(lambda: len(list(Path("out").glob("*.ipynb"))) == 1)
    kernels = [int(Path(f"pid-{n}").read_text()) for n in (1, 2)]
    assert all(map(alive, kernels))
    if how == signal.SIGINT:  # as a terminal sends it
        os.killpg(sweep.pid, how)
    else:
        sweep.send_signal(how)
    _, errors = sweep.communicate(timeout=150)
    assert "Traceback" not in errors, errors
    if how == signal.SIGINT:
        assert sweep.returncode == 130 and "goes on from what was kept" in errors
    assert wait_for(lambda: not any(map(alive, kernels))), "kernels live on"
    (finished,) = Path("out").glob("*.ipynb")
    when = finished.stat().st_mtime_ns

    Path("go-on").touch()
    assert main(SWEEP) == 0
    assert finished.stat().st_mtime_ns == when, "what was finished is not run again"
    assert rows(here / "out") == uninterrupted and len(uninterrupted) == 3
    assert Path("out", "results.html").exists()


@posix
def test_a_full_disk_ends_it_in_one_sentence(here):
    """A file may not grow beyond some bytes: as on a full disk, but for this process alone."""
    notebook(here, "print('x' * 200_000)", NOTED)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY));"
        "from qwen35_lab.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["run", "01", "--notebooks", ".", "--to", "out"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code, *words], cwd=here, env=env, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("qwen35-lab: ") and "free some space" in result.stderr
    assert list(Path("out").iterdir()) == []


@pytest.mark.parametrize(
    "words, said",
    [
        (["run", "01", "-p", "sead", "1"], "did you mean 'seed'?"),
        (["run", "01", "-p", "seed", "one"], "whole number"),
        (["run", "01", "-p", "seed", "1,2"], "whole number"),
        (["run", "01", "-p", "seed", "100"], "from 0 to 99"),
        (["sweep", "01", "-p", "seed", "1"], "several values"),
        (["sweep", "all", "-p", "seed", "1,2"], "one notebook"),
        (["run", "02"], "no notebook"),
        (["run", "all", "-p", "prompt", "x"], "None of these notebooks has a parameter 'prompt'"),
        (["run", "01", "--jobs", "0"], "--jobs is 0"),
        (["run", "01", "--dask", "nowhere"], "Dask scheduler"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_has_run(words, said, here, capsys):
    notebook(here, PID)
    notebook(here, PID, name="03_other")
    assert main([*words, "--notebooks", ".", "--to", "out"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("out").exists() and not list(Path().glob("pid-*"))


def test_parameters_are_listed_and_nothing_runs(here, capsys):
    notebook(here, PID)
    assert main(["run", "all", "--parameters", "--notebooks", "."]) == 0
    assert "of nothing, 0 to 99" in capsys.readouterr().out and not Path("runs").exists()


# ------------------------------------------------------------------------- a cluster


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    options = {"processes": False, "protocol": "tcp://", "dashboard_address": None}
    with LocalCluster(n_workers=2, threads_per_worker=1, **options) as made:
        yield made.scheduler_address


def test_a_cluster_gives_the_same_table(here, cluster, one_failed):
    notebook(here, *ONE_IS_BAD)
    assert main([*THREE, "--dask", cluster, "--to", "there"]) == 1
    assert rows(here / "there") == one_failed[1]
    assert [row["status"] for row in rows(here / "there")] == ["done", "failed", "done"]


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_stops_what_nobody_waits_for(how, here, cluster):
    notebook(here, PID, SLEEP, NOTED)
    sweep = start("run", "01", "--notebooks", ".", "-p", "seed", "2", "--dask", cluster, "--to", "out", folder=here)
    assert wait_for(lambda: Path("pid-2").exists() and Path("pid-2").read_text()), sweep.communicate()
    kernel = int(Path("pid-2").read_text())
    sweep.send_signal(how)
    sweep.communicate(timeout=150)
    assert wait_for(lambda: not alive(kernel)), "its kernel lives on"
    time.sleep(0.1)
    assert not list(Path("out").glob("*.ipynb"))


def test_another_version_on_the_cluster_is_said(here, cluster, monkeypatch):
    from qwen35_lab.jobs import execute

    monkeypatch.setattr(execute, "code_stamp", lambda: "another")
    notebook(here, PID)
    assert main(["run", "01", "--notebooks", ".", "--dask", cluster, "--to", "out"]) == 1
    assert "install the same one" in rows(here / "out")[0]["error"] and not list(Path().glob("pid-*"))


# ------------------------------------------------------------------------- a notebook of ours


def test_a_real_notebook_hands_on_its_claims_and_a_note(here):
    """The first cells of notebook 02, and a note at their end."""
    whole = json.loads((Path(__file__).parents[2] / "notebooks" / "02_forward_pass.ipynb").read_text("utf-8"))
    first = next(n for n, cell in enumerate(whole["cells"]) if "lab.claim(" in "".join(cell["source"]))
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "id": "the-note"}
    whole["cells"] = [*whole["cells"][: first + 1], cell | {"source": 'lab.note("layers", len(qwen.model.layers))'}]
    Path("02_forward_pass.ipynb").write_text(json.dumps(whole), encoding="utf-8")
    words = ["run", "02", "--notebooks", ".", "-p", "model", "nano", "--to", "out"]
    assert main(words) == 0
    (row,) = rows(here / "out")
    assert row["model"] == "nano" and row["prompt"] == "" and int(row["claims_held"]) >= 1
    assert row["layers"] == "4"
    assert main([*words[:6], "nanoo", "--to", "out"]) == 2, "a model that there is not is found out at once"
