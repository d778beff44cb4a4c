"""The process in which one notebook runs, by papermill; `execute` starts it.

    python -P worker.py

On stdin comes the job as a line of JSON, on stdout go a line for every cell that begins and a last one with the result.
It imports nothing of the package, which would only be in the kernel's way. When its stdin closes, because somebody
stopped it or because the process that started it is gone, it kills its kernel and ends.
"""

import ast
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# Asked of a kernel whose notebook has ended; an error there, because it never made a claim, is no answer.
RECORD = "__import__('sys').modules['qwen35_lab.views.notes'].record()"
PATIENCE = 300  # seconds for a kernel to start, on a busy machine
SHORT = 40  # characters of a folder in which the sockets' paths are surely short enough for the system (about 100)

# nbformat imports jsonschema, and that a grammar of web addresses: it takes more than a second to build, and nothing in
# a notebook is checked with it.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

Tell = Callable[[dict[str, Any]], None]


def main() -> None:
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes elsewhere

    def tell(message: dict[str, Any]) -> None:
        lines.write(json.dumps(message) + "\n")
        lines.flush()

    job = json.loads(sys.stdin.readline())
    folder = tempfile.mkdtemp(prefix="q35-")
    os.environ["JUPYTER_RUNTIME_DIR"] = folder
    threading.Thread(target=end_with_stdin, args=(folder,), daemon=True).start()
    try:
        result = run(job, Path(folder), tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tell(result)


def end_with_stdin(folder: str) -> None:
    while os.read(0, 4096):
        pass
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def run(job: dict[str, Any], folder: Path, tell: Tell) -> dict[str, Any]:
    """Execute the notebook; returns its copy, what it recorded, and what became of it."""
    import nbformat
    import papermill
    from papermill.engines import papermill_engines

    source = folder / f"{job['name']}.ipynb"
    source.write_text(job["text"], encoding="utf-8")
    seen: dict[str, Any] = {"notebook": nbformat.reads(job["text"], as_version=4), "claims": [], "values": {}}
    papermill_engines.register("watched", watched(seen, tell, folder))
    began, error = time.monotonic(), None
    try:
        papermill.execute_notebook(
            str(source), None, parameters=job["parameters"], engine_name="watched", progress_bar=False,
            start_timeout=PATIENCE, iopub_timeout=PATIENCE,
        )  # fmt: skip
    except Exception as caught:  # whatever it is, the copy as far as it came is kept, and the error with it
        error = in_words(caught)
    took = time.monotonic() - began
    notebook = seen.pop("notebook")
    for path in ("input_path", "output_path"):  # folders that are gone
        notebook.metadata.get("papermill", {}).pop(path, None)
    return seen | {
        "status": "failed" if error else "done", "error": error or "", "seconds": took, "peak_bytes": peak_bytes(),
        "notebook": nbformat.writes(notebook),
    }  # fmt: skip


def watched(seen: dict[str, Any], tell: Tell, folder: Path) -> type:
    """papermill's own engine, with a word for every cell; it asks the kernel for its record before that ends."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine

    class Client(PapermillNotebookClient):
        def create_kernel_manager(self) -> Any:
            manager = super().create_kernel_manager()
            if sys.platform == "linux" and len(str(folder)) <= SHORT:
                # Sockets with a path: two kernels that start at once can be given the same free port.
                manager.transport, manager.ip = "ipc", str(folder / "kernel")
            return manager

        def execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
            tell({"cell": cell_index})
            return super().execute_cell(cell, cell_index, **options)

        def papermill_execute_cells(self) -> None:
            super().papermill_execute_cells()
            seen.update(record_of(self))

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            seen["notebook"] = nb_man.nb
            known = {"timeout": None, "startup_timeout": options["start_timeout"]}
            Client(nb_man, kernel_name=kernel_name, iopub_timeout=options["iopub_timeout"], **known).execute()

    return Engine


def record_of(client: Any) -> dict[str, Any]:
    """What the notebook has claimed and noted, asked of its kernel; nothing, where it has not."""
    reply: Any = client.wait_for_reply(client.kc.execute("pass", silent=True, user_expressions={"record": RECORD}))
    answer = reply["content"].get("user_expressions", {}).get("record", {})
    return json.loads(ast.literal_eval(answer["data"]["text/plain"])) if answer.get("status") == "ok" else {}


def in_words(error: Exception) -> str:
    """In one line, where a notebook failed and how."""
    import papermill

    if isinstance(error, papermill.PapermillExecutionError):
        told = f"{error.ename}: {error.evalue}".strip().splitlines()[0].rstrip(": ")
        return f"cell [{error.exec_count}]: {told}"
    if type(error).__name__ == "DeadKernelError":
        return "the kernel died; that happens when memory runs out"
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def peak_bytes() -> int | None:
    """Most memory that the kernel had; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    main()
