"""What is noted of a learner's verdicts, what is not, and that nothing of it is lost."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import qwen35_lab as lab
from qwen35_lab.exercises.record import is_blank, note, place, read


def right(layer_types):
    return [n for n, kind in enumerate(layer_types) if kind == "full_attention"]


def wrong(layer_types):
    return list(range(len(layer_types)))


def other_wrong(layer_types):
    return [n + 1 for n in right(layer_types)]


def stub(layer_types):
    """To be written."""
    return None  # your turn


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("QWEN35_LAB_PROGRESS", str(tmp_path / "new" / "progress.jsonl"))
    return tmp_path / "new" / "progress.jsonl"


def standing(path, exercise="02.3"):
    return read(path).standing(exercise)


def test_attempts_count_up_to_the_first_that_is_right(path):
    for answer in (wrong, wrong, other_wrong, right, wrong, right):
        lab.check("02.3", answer)
    found = standing(path)
    assert found.attempts == 3, "a wrong answer that is run again is one attempt, and what comes after counts no more"
    assert found.passed and abs((datetime.now(UTC) - found.passed).total_seconds()) < 60


def test_a_wrong_answer_is_tried_and_not_passed(path):
    lab.check("02.3", wrong)
    assert standing(path).attempts == 1 and standing(path).passed is None
    assert standing(path, "02.1").attempts == 0


def test_neither_a_stub_nor_a_solution_leaves_a_trace(path):
    for answer in (stub, None, ...):
        assert not lab.check("02.3", answer)
    assert lab.check_solution("02.3", right)
    assert not path.parent.exists()


def test_a_solution_that_is_wrong_is_an_error():
    with pytest.raises(AssertionError, match="Not every layer"):
        lab.check_solution("02.3", wrong)


@pytest.mark.parametrize("answer", [None, ..., stub, lambda x: None, lambda x: ..., (..., "cat"), [1, ...]])
def test_a_stub_is_known(answer):
    assert is_blank(answer)


@pytest.mark.parametrize("answer", [0, "", [], right, lambda x: x, lambda x: 0, len, lambda: print(), (1, None)])
def test_an_answer_is_no_stub(answer):
    assert not is_blank(answer)


def test_nothing_of_the_answer_is_in_the_file(path):
    def ann(layer_types):
        raise ValueError("my name is Ann")

    assert "my name is Ann" in lab.check("02.3", ann).message
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    assert [set(line) for line in lines] == [{"exercise", "passed", "when", "verdict"}]
    assert "nn" not in lines[0]["verdict"]


@pytest.mark.parametrize(
    "damage",
    [b"{", b"\xff\x00", b"[]", b"3", b"null", b'{"exercise": "02.3"}', b'{"exercise": 2, "passed": 1, "when": 0}',
     b'{"exercise": "02.3", "passed": true, "when": "soon", "verdict": ""}'],
)  # fmt: skip
def test_a_damaged_line_costs_only_itself_and_stays(path, damage):
    lab.check("02.3", wrong)
    with open(path, "ab") as file:
        file.write(damage)  # torn: without a line end
    lab.check("02.3", right)
    found = read(path)
    assert (len(found.tries), found.unreadable) == (2, 1)
    assert found.standing("02.3").passed
    assert damage in path.read_bytes()


def test_two_notebooks_at_once_lose_nothing(path):
    code = (
        "import sys; from qwen35_lab.exercises.record import note; from qwen35_lab.exercises import Verdict\n"
        "for n in range(100): note(Verdict(f'{sys.argv[1]}.{n}', True, 'right'), 1)"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, name], env=dict(os.environ)) for name in ("97", "98", "99")]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    found = read(path)
    assert found.unreadable == 0
    assert {each.exercise for each in found.tries} == {f"{name}.{n}" for name in (97, 98, 99) for n in range(100)}


def test_off_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("QWEN35_LAB_PROGRESS", "OFF")
    monkeypatch.chdir(tmp_path)
    assert place() is None
    lab.check("02.3", wrong)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_once_and_the_verdict_stands(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QWEN35_LAB_PROGRESS", str(tmp_path / "file" / "progress.jsonl"))
    assert [bool(lab.check("02.3", answer)) for answer in (wrong, right)] == [False, True]
    said = capsys.readouterr().out
    assert said.startswith("Your progress is not kept: ") and said.count("\n") == 1


def test_what_cannot_be_read_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(lab.InputError, match=r"cannot be read .* set QWEN35_LAB_PROGRESS"):
        read(tmp_path)


@pytest.mark.parametrize(
    "platform, variable, folder",
    [("linux", "XDG_DATA_HOME", "data"), ("win32", "LOCALAPPDATA", "data"), ("darwin", "HOME", "Library"),
     ("linux", "HOME", ".local")],
)  # fmt: skip
def test_it_lies_where_the_system_keeps_such_files(tmp_path, monkeypatch, platform, variable, folder):
    for name in ("QWEN35_LAB_PROGRESS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    home = tmp_path if variable == "HOME" else tmp_path / folder
    monkeypatch.setenv(variable, str(home))
    found = place()
    assert found.name == "progress.jsonl" and found.parent.name == "qwen35-lab"
    assert found.is_relative_to(tmp_path / folder)


def test_without_a_home_folder_the_remedy_is_told(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("QWEN35_LAB_PROGRESS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(lab.InputError, match="set QWEN35_LAB_PROGRESS"):
        place()


def test_tests_record_nothing():
    assert place() is None
    note(lab.exercises.Verdict("02.3", True, "right"), right)
