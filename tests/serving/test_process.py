"""The process of a local server: found, waited for, and gone, however the other one ends.

A stand-in takes the place of transformers in that process, so that it starts at once.
"""

import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import qwen35_lab as lab
from qwen35_lab.serving import local

STAND_IN = """
    import http.server, os, pathlib, sys, time

    def main():
        port, how = int(sys.argv[sys.argv.index("--port") + 1]), os.environ.get("STAND_IN", "")
        tries = pathlib.Path(os.environ["TRIES"])
        tries.write_text(tries.read_text() + f"{port}\\n" if tries.exists() else f"{port}\\n")
        print("starting on", port, flush=True)
        if how == "dies" or (how == "dies first" and tries.read_text().count("\\n") == 1):
            raise SystemExit("OSError: address already in use")
        if how == "hangs":
            time.sleep(600)
        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200); self.end_headers()
            def log_message(self, *said): pass
        http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""
FOLDER = "recall"  # without eyes, so that nothing has to be written first


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch) -> Path:
    """The file that has a line for every start."""
    package = tmp_path / "transformers" / "cli"
    package.mkdir(parents=True)
    for each in (package.parent, package):
        (each / "__init__.py").touch()
    (package / "transformers.py").write_text(textwrap.dedent(STAND_IN))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TRIES", str(tmp_path / "tries"))
    return tmp_path / "tries"


def lives(pid: int) -> bool:
    """Also a process that nobody has waited for is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not lives(pid)


def ended(server, seconds: float = 20) -> bool:
    """Whether its end is noticed: a process of several threads may be gone a moment before it can be waited for."""
    deadline = time.monotonic() + seconds
    while server.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    return not server.alive


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def test_the_block_ends_the_process_and_its_files():
    with lab.serve(FOLDER) as server:
        pid, room = server.pid, server._room
        assert lives(pid) and server.alive and room.exists() and "starting on" in server.log
        assert server.client.url == server.url == f"http://127.0.0.1:{server.port}/v1"
    assert gone(pid) and not server.alive and "stopped" in repr(server) and server.pid is None
    server.stop()
    del server
    gc.collect()
    assert not room.exists()


def test_an_error_in_the_block_ends_it_too():
    with pytest.raises(ZeroDivisionError), lab.serve(FOLDER) as server:
        pid = server.pid
        raise ZeroDivisionError
    assert gone(pid)


def test_dropping_it_ends_it():
    server = lab.serve(FOLDER)
    pid = server.pid
    del server
    gc.collect()
    assert gone(pid)


def test_an_interrupt_while_waiting_leaves_nothing(monkeypatch):
    monkeypatch.setenv("STAND_IN", "hangs")
    pids = []

    def interrupted(self, *_):
        pids.append(self.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(local.LocalServer, "_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.serve(FOLDER)
    assert len(pids) == 1 and gone(pids[0])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_the_process_that_started_it(how):
    """A kernel that is restarted is killed, and can clean up nothing."""
    code = "import sys, time; sys.path.insert(0, sys.argv[1]); from qwen35_lab.serving import local; " \
           f"server = local.serve({FOLDER!r}); print(server.pid, flush=True); time.sleep(600)"  # fmt: skip
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    stand_in, root = os.environ["PYTHONPATH"], str(Path(lab.__file__).parents[1])
    code = f"import os; import transformers; os.environ['PYTHONPATH'] = {stand_in!r}; " + code
    parent = subprocess.Popen([sys.executable, "-c", code, root], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=env, text=True)  # fmt: skip
    try:
        pid = int(parent.stdout.readline())
        assert lives(pid)
        parent.send_signal(how)
        parent.wait(20)
        assert gone(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_an_interrupt_in_the_terminal_is_not_meant_for_the_server():
    """It goes to the whole group of processes, and the server is not in it."""
    with lab.serve(FOLDER) as server:
        assert os.getpgid(server.pid) != os.getpgid(0)


def test_a_server_that_ends_says_its_last_words(monkeypatch, stand_in):
    monkeypatch.setenv("STAND_IN", "dies")
    with pytest.raises(lab.ServerError, match="ended before it was ready: OSError: address already in use"):
        lab.serve(FOLDER)
    assert len(stand_in.read_text().split()) == local.TRIES


def test_a_port_that_was_taken_meanwhile_is_replaced(monkeypatch, stand_in):
    monkeypatch.setenv("STAND_IN", "dies first")
    with lab.serve(FOLDER) as server:
        first, second = stand_in.read_text().split()
        assert server.alive and first != second == str(server.port)


def test_a_server_that_is_not_ready_in_time_is_ended(monkeypatch):
    monkeypatch.setenv("STAND_IN", "hangs")
    pids, begin = [], local.LocalServer._begin
    monkeypatch.setattr(local.LocalServer, "_begin", lambda self: (begin(self), pids.append(self.pid)))
    with pytest.raises(lab.ServerError, match=r"was not ready after 0\.5 seconds"):
        lab.serve(FOLDER, seconds=0.5)
    assert gone(pids[0])


def test_a_killed_server_is_seen_and_restarted_at_its_address():
    with lab.serve(FOLDER) as server:
        pid, port = server.pid, server.port
        os.kill(pid, signal.SIGKILL)
        assert gone(pid) and ended(server)
        server.restart()
        assert server.alive and server.pid != pid and server.port == port
        assert server.client.url.endswith(f":{port}/v1")
    assert not server.alive


def test_a_port_of_ones_own_choice():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with lab.serve(FOLDER, port=port) as server:
        assert server.port == port
    for wrong in (-1, 70_000, "8000", True):
        with pytest.raises(lab.InputError, match="pass a number below 65536"):
            lab.serve(FOLDER, port=wrong)


def test_missing_libraries_are_named(monkeypatch):
    monkeypatch.setattr(local, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(lab.ServerError, match="needs uvicorn; install with `pip install uvicorn`"):
        lab.serve(FOLDER)


def test_no_such_folder():
    with pytest.raises(lab.CheckpointError):
        lab.serve("nanoo")
