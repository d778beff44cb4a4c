"""Run jobs on this machine, each in a process of its own, several at a time."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import LabError
from .job import Job, code_stamp

WORKER = Path(__file__).with_name("worker.py")
THREADS = "OMP_NUM_THREADS"

Result = dict[str, Any]  # of a worker: status, error, seconds, peak_bytes, claims, values, notebook
Tell = Callable[[Job, int], None]  # the job, and which of its cells begins
Engine = Callable[[Sequence[Job], Tell], Iterator[tuple[Job, Result]]]


class Stopped(LabError):
    """A run was stopped before its end."""


class Run:
    """A job's process. It ends when its notebook does, when it is stopped, or when this process is gone."""

    def __init__(self, job: dict[str, Any], threads: int | None = None):
        self.job, self.stopped = job, False
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (`result` closes it)
        most = {} if threads is None or THREADS in os.environ else {THREADS: str(threads)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            encoding="utf-8", env=os.environ | most, start_new_session=True,  # Ctrl-C is for us
        )  # fmt: skip

    def result(self, tell: Callable[[int], None] = lambda cell: None) -> Result:
        """Wait for the end.

        Raises:
            Stopped: somebody called `stop`.
        """
        assert self.process.stdin and self.process.stdout
        found = None
        with self.log, self.process:
            with suppress(BrokenPipeError, ValueError):  # it is gone already, or was stopped
                self.process.stdin.write(json.dumps(self.job) + "\n")
                self.process.stdin.flush()
            for line in self.process.stdout:
                message = json.loads(line)
                if "cell" in message:
                    tell(message["cell"])
                else:
                    found = message
            code = self.process.wait()
            if self.stopped:
                raise Stopped("The run was stopped; the same command runs it again.")
            return found or self._crashed(code)

    def stop(self) -> None:
        """Kill it and its kernel; from any thread."""
        assert self.process.stdin
        self.stopped = True
        with suppress(OSError):
            self.process.stdin.close()

    def _crashed(self, code: int) -> Result:
        self.log.seek(0)
        last = (self.log.read().strip().splitlines() or ["it said nothing"])[-1]
        return failed(self.job, f"its process ended with {code}: {last}")


def failed(task: dict[str, Any], error: str) -> Result:
    """The result of a run that did not come to begin, or of which nothing came back."""
    return {
        "status": "failed", "error": error, "seconds": 0.0, "peak_bytes": None, "claims": [], "values": {},
        "notebook": task["text"],
    }  # fmt: skip


def task(job: Job) -> dict[str, Any]:
    """What a worker needs to know of a job."""
    return {"name": job.notebook.name, "text": job.notebook.text, "parameters": dict(job.given), "code": code_stamp()}


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_this_machine(count: int) -> Engine:
    """An engine that runs `count` jobs at a time, each with its share of the cores (unless OMP_NUM_THREADS is set)."""
    threads = None if count == 1 else max(1, cores() // count)

    def run(jobs: Sequence[Job], tell: Tell) -> Iterator[tuple[Job, Result]]:
        events: queue.Queue[tuple[Job, Any]] = queue.Queue()
        runs: list[Run] = []
        halt = threading.Event()
        pool = ThreadPoolExecutor(count)
        try:
            for job in jobs:
                pool.submit(_one, job, threads, events, runs, halt)
            left = len(jobs)
            while left:
                job, event = _next(events)
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, int):
                    tell(job, event)
                else:
                    left -= 1
                    yield job, event
        finally:
            halt.set()
            for each in runs:
                each.stop()
            pool.shutdown(cancel_futures=True)

    return run


def _one(job: Job, threads: int | None, events: queue.Queue, runs: list[Run], halt: threading.Event) -> None:
    """Run a job in a thread of the pool: a number for every cell that begins, then its result, or what went wrong."""
    try:
        if halt.is_set():
            return
        runs.append(run := Run(task(job), threads))
        if halt.is_set():  # `runs` may have been stopped just before
            run.stop()
        events.put((job, run.result(lambda cell: events.put((job, cell)))))
    except BaseException as error:  # is raised where the others are waited for
        events.put((job, error))


def _next(events: queue.Queue) -> Any:
    while True:  # on Windows, Ctrl-C does not wake who waits without a limit
        with suppress(queue.Empty):
            return events.get(timeout=1)
