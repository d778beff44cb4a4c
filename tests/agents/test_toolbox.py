"""Calls are run apart from the loop: together, for so long and no longer, and with nothing that is not allowed."""

import os
import socket
import subprocess
import threading

import pytest

from qwen35_lab import InputError, ToolCall
from qwen35_lab.agents import NotAllowed, Toolbox, kept_to, tool


def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


def test_a_call_is_run_and_its_result_is_text():
    box = Toolbox([double])
    assert box.run(ToolCall("double", {"n": "21"})).text == "42"
    assert len(box) == 1 and box["double"].name == "double" and box.offers[0]["function"]["name"] == "double"


@pytest.mark.parametrize(
    "call, kind, told",
    [
        (ToolCall("triple", {}), "unknown", 'There is no tool "triple"; there are double.'),
        (ToolCall("double", {}), "arguments", "double needs n, which is missing."),
        (ToolCall("double", {"n": "x"}), "arguments", 'n must be a whole number, not "x".'),
    ],
)
def test_a_bad_call_is_answered_in_a_sentence(call, kind, told):
    seen = Toolbox([double]).run(call)
    assert (seen.kind, seen.text, seen.ok) == (kind, told, False)


def test_a_tool_that_raises_is_told_without_a_traceback():
    @tool
    def wrong() -> str:
        """Fail."""
        raise KeyError("no\nsuch key")

    @tool
    def leaves() -> str:
        """Leave."""
        raise SystemExit(3)

    box = Toolbox([wrong, leaves])
    assert box.run(ToolCall("wrong", {})).text == "wrong failed: KeyError: 'no\\nsuch key'."
    assert box.run(ToolCall("leaves", {})).text == "leaves failed: SystemExit: 3."


def test_a_tool_that_hangs_is_left_behind():
    release, ended = threading.Event(), threading.Event()

    @tool(seconds=0.05)
    def hang() -> str:
        """Wait."""
        release.wait()
        ended.set()
        return "too late"

    seen = Toolbox([hang]).run(ToolCall("hang", {}))
    assert (seen.kind, seen.text) == ("timeout", "hang did not answer within 0.05 seconds.")
    assert not ended.is_set()  # it was not waited for
    release.set()
    assert ended.wait(10)


def test_the_calls_of_a_turn_run_together_and_answer_in_order():
    both = threading.Barrier(2, timeout=30)  # nobody gets through alone

    @tool(seconds=60)
    def meet(name: str) -> str:
        """Wait for the other one."""
        both.wait()
        return name

    seen = Toolbox([meet]).run_all([ToolCall("meet", {"name": name}) for name in ("a", "b")])
    assert [each.text for each in seen] == ["a", "b"]


def test_a_huge_answer_is_cut_and_says_so():
    @tool(characters=10)
    def much() -> str:
        """Say much."""
        return "x" * 5000

    seen = Toolbox([much]).run(ToolCall("much", {}))
    assert seen.text == "x" * 10 + " [4,990 more characters were left out]"
    assert (seen.kind, seen.ok) == ("cut", True)


def test_results_of_any_kind_become_text():
    @tool
    def things() -> dict:
        """Say things."""
        return {"a": [1, None, "é"], "path": os.PathLike}

    assert Toolbox([things]).run(ToolCall("things", {})).text.startswith('{"a": [1, null, "é"], "path": "<class')


# ------------------------------------------------------------------------- nothing that is not allowed


def starts():
    subprocess.run(["true"], check=True)


def shells():
    os.system("true")


def writes(path):
    with open(path, "w") as file:
        file.write("x")


def opens(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))


def removes(path):
    os.remove(path)


def connects():
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def asks_for_a_name():
    socket.getaddrinfo("localhost", 80)


@pytest.mark.parametrize(
    "does, need",
    [(starts, "shell"), (shells, "shell"), (writes, "files"), (opens, "files"), (removes, "files"),
     (connects, "network"), (asks_for_a_name, "network")],
)  # fmt: skip
def test_what_was_not_declared_is_stopped(tmp_path, does, need):
    path = tmp_path / "there"
    path.write_text("untouched")

    def sneak() -> str:
        """Do something harmless."""
        does(*([path] if need == "files" else []))
        return "done"

    seen = Toolbox([sneak]).run(ToolCall("sneak", {}))
    assert seen.kind == "not allowed" and seen.text.startswith("sneak was stopped: it may not "), seen
    assert path.read_text() == "untouched"
    allowed = Toolbox([tool(needs=[need])(sneak)], allow=[need]).run(ToolCall("sneak", {}))
    assert allowed.kind in ("result", "error"), allowed  # nothing listens on that port


def test_what_is_declared_must_be_allowed_too(tmp_path):
    ran = []

    @tool(needs=["files", "network"])
    def save(text: str) -> str:
        """Write a file."""
        ran.append(text)
        return "saved"

    seen = Toolbox([save], allow=["network"]).run(ToolCall("save", {"text": "x"}))
    assert (seen.kind, seen.text) == ("not allowed", "save needs files, which is not allowed here.") and not ran
    assert Toolbox([save], allow=["network", "files"]).run(ToolCall("save", {"text": "x"})).text == "saved"


def test_a_tool_may_read_files_and_the_program_round_it_may_do_all(tmp_path):
    (tmp_path / "a").write_text("text")

    def read() -> str:
        """Read a file."""
        return (tmp_path / "a").read_text()

    assert Toolbox([read]).run(ToolCall("read", {})).text == "text"
    (tmp_path / "b").write_text("the guard is deaf here")
    with kept_to(()), pytest.raises(NotAllowed):
        (tmp_path / "c").write_text("x")
    (tmp_path / "c").write_text("x")
    with kept_to(["files"]):
        (tmp_path / "c").write_text("y")
        with kept_to(()), pytest.raises(NotAllowed):
            (tmp_path / "c").unlink()
    assert (tmp_path / "c").read_text() == "y"


def test_names_and_permissions_that_are_none_are_refused():
    with pytest.raises(InputError, match="Two tools are called double"):
        Toolbox([double, double])
    with pytest.raises(InputError, match="'root' cannot be allowed"):
        Toolbox([double], allow=["root"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="no tool 'triple'; there are double"):
        Toolbox([double])["triple"]
