"""Run jobs on a cluster: the same processes, started by Dask's workers, which need this package and nothing else.

Notebooks go there and their executed copies come back over the network; no disk is shared. A folder that a parameter
names must exist over there.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import InputError
from .execute import Engine, Result, Run, Tell, failed, task
from .job import Job, code_stamp

GONE = ("cancelled", "released", "forgotten", "error")  # states of a task that nobody waits for any more


def on_dask(address: str) -> Engine:
    """An engine that has a Dask cluster do it; how many at a time is the cluster's affair.

    Raises:
        InputError: Dask is not installed, or there is no scheduler at this address.
    """
    try:
        import distributed
    except ImportError:
        raise InputError("--dask needs Dask, which is not installed: pip install 'qwen35-lab[cluster]'.") from None

    def run(jobs: Sequence[Job], tell: Tell) -> Iterator[tuple[Job, Result]]:
        try:
            client = distributed.Client(address, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"No Dask scheduler answers at {address!r} ({type(error).__name__}); start one with `dask scheduler`, "
                "or pass the address that it prints."
            ) from error
        with client, client.as_current():
            futures = {client.submit(execute, task(job), pure=False): job for job in jobs}
            try:
                for future in distributed.as_completed(futures):
                    yield futures[future], _result(future, futures[future])
                    future.release()
            finally:
                client.cancel([future for future in futures if not future.done()])

    return run


def _result(future: Any, job: Job) -> Result:
    """What came back, or that nothing did: a machine of the cluster may be gone."""
    try:
        return future.result()
    except Exception as error:
        return failed(task(job), f"{type(error).__name__}: {error}".splitlines()[0])


def execute(job: dict[str, Any]) -> Result:
    """One job, inside a Dask worker; it stops when its task is cancelled, or when who asked for it is gone.

    Raises:
        InputError: the worker has another version of this package.
    """
    import distributed

    if job["code"] != code_stamp():
        raise InputError("The cluster has another version of qwen35_lab; install the same one there.")
    worker = distributed.get_worker()
    key = worker.get_current_task()
    run, over = Run(job), threading.Event()

    def watch() -> None:
        while not over.wait(1):
            known = worker.state.tasks.get(key)
            if known is None or known.state in GONE:
                run.stop()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        return run.result()
    finally:
        over.set()
