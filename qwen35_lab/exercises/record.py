"""What a learner has tried and passed: one line per verdict in a file on this machine, which goes nowhere else.

The file is `qwen35-lab/progress.jsonl` where the system keeps what programs know about their user. The environment
variable QWEN35_LAB_PROGRESS names another file, or is `off`. A line holds the exercise, whether it was passed, when,
and a checksum of the verdict: nothing of the answer, and nothing about the person.

Lines are only ever added, each in one write, so that two notebooks at once lose nothing (POSIX keeps such writes
apart). A line that a full disk or an editor has damaged is left out and left where it is; the others stay readable.
"""

import dis
import errno
import json
import os
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError
from .verdict import Verdict

VARIABLE = "QWEN35_LAB_PROGRESS"
IDLE = {"RESUME", "NOP", "RETURN_VALUE"}  # what a function that only returns a constant does besides
CONSTANT = {"LOAD_CONST", "RETURN_CONST"}
_told: set[str] = set()


@dataclass(frozen=True)
class Try:
    """One verdict on an answer of the learner's."""

    exercise: str
    passed: bool
    when: datetime
    verdict: str  # a checksum of what was said: the same answer again is told the same


@dataclass(frozen=True)
class Standing:
    """How far one exercise is. attempts: answers up to the first that was right, not counting one that was repeated."""

    attempts: int = 0
    passed: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True)
class Record:
    """What the file holds. path: None where nothing is kept; unreadable: damaged lines, which are left out."""

    path: Path | None
    tries: tuple[Try, ...] = ()
    unreadable: int = 0

    def standing(self, exercise: str) -> Standing:
        attempts, told, last = 0, "", None
        for each in self.tries:
            if each.exercise != exercise:
                continue
            attempts += each.verdict != told
            told, last = each.verdict, each.when
            if each.passed:
                return Standing(attempts, each.when, last)
        return Standing(attempts, None, last)


def place() -> Path | None:
    """The file that verdicts are kept in; None if QWEN35_LAB_PROGRESS is `off`.

    Raises:
        InputError: there is no home folder.
    """
    if chosen := os.environ.get(VARIABLE, "").strip():
        return None if chosen.lower() == "off" else Path(chosen).expanduser()
    try:
        if sys.platform == "win32":
            folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            folder = Path.home() / "Library" / "Application Support"
        else:
            folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    except RuntimeError:
        raise InputError(f"This user has no home folder; set {VARIABLE} to the file to keep, or to off.") from None
    return folder / "qwen35-lab" / "progress.jsonl"


def read(path: Path | None) -> Record:
    """What was recorded; a file that is not there yet is empty.

    Raises:
        InputError: the file cannot be opened.
    """
    try:
        lines = path.read_bytes().splitlines() if path else []
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); set {VARIABLE} to another file, or to off."
        ) from error
    tries = [_try(line) for line in lines if line.strip()]
    known = sorted((each for each in tries if each), key=lambda each: each.when)
    return Record(path, tuple(known), len(tries) - len(known))


def _try(line: bytes) -> Try | None:
    try:
        held = json.loads(line)
        when = datetime.fromisoformat(held["when"]).astimezone(UTC)
        exercise, passed, verdict = held["exercise"], held["passed"], held["verdict"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    fits = isinstance(exercise, str) and isinstance(passed, bool) and isinstance(verdict, str)
    return Try(exercise, passed, when, verdict) if fits else None


def note(verdict: Verdict, answer: Any) -> None:
    """Add a verdict on a learner's answer, unless there is no answer yet, or the exercise is passed already.

    A verdict is worth more than its record: what keeps the file from being written is printed once, and nothing is
    raised.
    """
    if is_blank(answer):
        return
    try:
        path = place()
        if path and not read(path).standing(verdict.exercise).passed:
            _add(path, verdict)
    except (InputError, OSError) as error:
        words = str(error) if isinstance(error, InputError) else f"{path} cannot be written ({error.strerror or error})"
        if words not in _told:
            print(f"Your progress is not kept: {words.rstrip('.')}.")
        _told.add(words)


def _add(path: Path, verdict: Verdict) -> None:
    """The line end comes first: what a torn line has left behind ends there."""
    now, told = datetime.now(UTC).isoformat(timespec="seconds"), f"{zlib.crc32(verdict.message.encode()):08x}"
    line = {"exercise": verdict.exercise, "passed": verdict.passed, "when": now, "verdict": told}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"\n{json.dumps(line)}\n".encode()
    with open(path, "ab", buffering=0) as file:
        if file.write(text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_blank(answer: Any) -> bool:
    """Whether an answer is still what the notebook's stub gives: `...`, None, or a function that only returns those."""
    if isinstance(answer, tuple | list):
        return any(part is ... for part in answer)
    code = getattr(answer, "__code__", None)
    if code is None:
        return answer is None or answer is ...
    return all(step.opname in IDLE or _is_nothing(step) for step in dis.get_instructions(code))


def _is_nothing(step: dis.Instruction) -> bool:
    return step.opname in CONSTANT and (step.argval is None or step.argval is ...)


def passed(record: Record, exercises: Iterable[str]) -> int:
    return sum(record.standing(exercise).passed is not None for exercise in exercises)
