"""Do what is not done yet: finished runs are kept in a folder, each in a file that is written whole or not at all.

An executed notebook carries its record in its metadata: which job it is of, what became of it, what it found. A run is
skipped if such a file is there, finished, and of the same fingerprint; so a folder can be stopped at any moment.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from ..files import write_file
from .execute import Engine, Result
from .job import Job

RECORD = "qwen35_lab"  # the key in an executed notebook's metadata


@dataclass(frozen=True)
class Outcome:
    """A job, where its executed copy is, and its record: status, error, seconds, peak_bytes, claims, values."""

    job: Job
    path: Path
    record: dict[str, Any]

    @property
    def done(self) -> bool:
        return self.record["status"] == "done"

    @property
    def refuted(self) -> int:
        """Claims that did not hold; in a run that is done, wrong turns that the notebook takes on purpose."""
        return sum(not claim["holds"] for claim in self.record["claims"])

    def __str__(self) -> str:
        what = f"{self.record['seconds']:.0f} s" if self.done else self.record["error"]
        return f"{'✓' if self.done else '✗'} {self.job}: {what}"


def work(jobs: Sequence[Job], folder: Path, engine: Engine, *, again: bool = False) -> list[Outcome]:
    """Run what is missing, print a line for each, and return all outcomes in the order of the jobs.

    Args:
        again: run the finished ones, too.
    Raises:
        CheckpointError: the folder cannot be written to; what was finished before is kept.
    """
    _sweep_up(folder)
    for job in jobs:
        _ = job.fingerprint  # of now: what changes while they run makes them run again
    found = {job: outcome for job in jobs if not again and (outcome := _kept(job, folder))}
    missing = [job for job in jobs if job not in found]
    if found:
        print(f"{len(found)} of {len(jobs)} runs are finished already, in {folder}.")
    began = dict.fromkeys(missing, 0)
    bar = tqdm(total=sum(job.notebook.cells for job in missing), unit="cell", disable=None, dynamic_ncols=True)

    def tell(job: Job, cell: int) -> None:
        bar.set_description(f"{len(found)} of {len(jobs)} runs · {job.notebook.name}", refresh=False)
        bar.update(cell - began[job])
        began[job] = cell

    runs = engine(missing, tell)
    try:
        for job, result in runs:
            found[job] = _keep(job, result, folder)
            tell(job, job.notebook.cells)
            bar.write(str(found[job]))
    finally:
        runs.close()  # type: ignore[attr-defined]
        bar.close()
    return [found[job] for job in jobs]


def _keep(job: Job, result: Result, folder: Path) -> Outcome:
    path = folder / job.file
    notebook = json.loads(result["notebook"])
    record = {key: value for key, value in result.items() if key != "notebook"}
    notebook["metadata"][RECORD] = record | {"fingerprint": job.fingerprint, "parameters": job.parameters}
    with write_file(path) as beside:
        beside.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")
    return Outcome(job, path, record)


def _kept(job: Job, folder: Path) -> Outcome | None:
    """What an earlier command has finished, if it still counts."""
    try:
        record = json.loads((folder / job.file).read_text(encoding="utf-8"))["metadata"][RECORD]
        if record["status"] == "done" and record["fingerprint"] == job.fingerprint:
            return Outcome(job, folder / job.file, record)
    except (OSError, ValueError, KeyError, TypeError):  # nothing there, or not ours
        pass
    return None


def _sweep_up(folder: Path) -> None:
    """Remove what commands that were killed while they wrote have left."""
    for path in folder.glob(".*.ipynb.*"):
        number = path.suffix.removeprefix(".")
        if number.isdigit() and not psutil.pid_exists(int(number)):
            with suppress(OSError):
                path.unlink()
