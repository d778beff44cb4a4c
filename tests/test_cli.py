"""The command line: what it says, what it returns, what it leaves behind."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import qwen35_lab as lab
from qwen35_lab.cli import main
from qwen35_lab.recall import publish, score


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == f"qwen35-lab {lab.__version__}"


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "recall", "--help"]])
def test_help_explains(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0
    assert "recall" in capsys.readouterr().out or words == ["--help"]


@pytest.mark.parametrize("words", [[], ["train"], ["traim"], ["train", "recall", "--seeds", "one"]])
def test_words_that_make_no_sense_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["--steps", "0"], "steps"),
        (["--threads", "0"], "--threads"),
        (["--seed", "-1"], "seed"),
        ([], "exists"),
    ],
)
def test_errors_are_one_line_and_end_with_2(words, said, tmp_path, capsys):
    out = tmp_path / "new" if words else tmp_path
    assert main(["train", "recall", "--out", str(out), *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("qwen35-lab: ") and said in error


@pytest.fixture
def quick(monkeypatch):
    """Measure less: fewer texts, one cell of the card's table."""
    monkeypatch.setattr(publish, "score", lambda model, *args, **kw: score(model, texts=64))
    monkeypatch.setattr(publish, "GRID_KEYS", (2,))
    monkeypatch.setattr(publish, "GRID_WRITES", (24,))


def test_two_seeds_become_one_checkpoint_with_a_card(tmp_path, capsys, quick):
    out = tmp_path / "recall"
    assert main(["train", "recall", "--seeds", "0,1", "--steps", "2", "--out", str(out)]) == 0
    qwen = lab.load(out)
    assert isinstance(qwen.generate("cat red . ? cat", max_new_tokens=1), str)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "--seeds 0,1 --steps 2" in card and "0 of 2 seeds" in re.sub(r"\s+", " ", card)
    assert str(tmp_path) not in card
    printed = capsys.readouterr().out
    assert "seed 0: finished: 2 steps" in printed and "load(" in printed
    assert main(["train", "recall", "--steps", "2", "--out", str(out)]) == 2, "it does not overwrite unasked"


# The command line, with somebody at the keyboard who presses Ctrl-C as soon as a state is kept.
INTERRUPTED = """
import os, signal, sys
from qwen35_lab import training
from qwen35_lab.cli import main
write = training._write_state
def and_press(*args):
    training._write_state = write  # once
    write(*args)
    os.kill(os.getpid(), signal.SIGINT)
training._write_state = and_press
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers Ctrl-C to a whole console")
def test_after_ctrl_c_the_same_command_goes_on(tmp_path, quick):
    words = ["train", "recall", "--steps", "40", "--out", str(tmp_path / "out")]
    run = subprocess.run([sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True)
    assert "Traceback" not in run.stderr and run.returncode == 130, run.stderr
    assert "seed 0: interrupted: " in run.stdout and "goes on from there" in run.stderr
    assert (tmp_path / "out-training" / "seed-0.pt").exists()
    assert not (tmp_path / "out").exists()
    assert main(words) == 0
    assert lab.load(tmp_path / "out").tokenizer


def test_notebooks_are_built_and_progress_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    build = ["exercises", "build", "--to", str(tmp_path / "class")]
    assert main([*build, "--student", "notebooks/02_forward_pass.ipynb"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "class" / "02_forward_pass.ipynb")
    assert main([*build, "--solution", "notebooks/02_forward_pass.ipynb"]) == 2, "it does not overwrite unasked"
    assert main(["exercises", "progress"]) == 0
    assert "exercises passed" in capsys.readouterr().out
    assert main(["exercises", "progress", "--save", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").exists()
    monkeypatch.chdir(tmp_path)
    assert main([*build, "--student"]) == 2
    assert "There is no notebook in notebooks/" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{shlex.quote(sys.executable)} -m qwen35_lab taps --markdown | head -1"
    found = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert found.stdout.startswith("# Taps") and found.stderr == ""
