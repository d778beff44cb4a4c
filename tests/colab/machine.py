"""A machine as Colab lends it, as far as that can be had here: its versions, its session API, and no copy of ours.

The environment has Colab's versions of what tools/colab.txt names, installed without what they require, and beyond
that it looks into the environment of the tests: PyTorch is theirs. What Colab lacks is hidden there. Python is the one
of the tests, too.
"""

import json
import os
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

import launch
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FORK, REF = "ann/a-fork", "trying/things"  # whose notebook is open; a branch may have a slash
SHIPPED = ("qwen35_lab", "data", "tools", "pyproject.toml", "constraints.txt", "README.md", "LICENSE")
KEPT = {"torch"}  # the tests' own, for its size
ALSO_HIDDEN = {"kaleido"}  # with Colab's plotly it prints a warning
MANAGER = "a manager of widgets"
GOOGLE = f"""\
asked = []

class _widgets:
    _installed_url = None

def enable_custom_widget_manager():
    asked.append(True)
    _widgets._installed_url = {MANAGER!r}
"""


@dataclass(frozen=True)
class Machine:
    """Its Python, and the folder that notebooks run in, which has nothing of ours."""

    python: Path
    folder: Path
    kernels: Path

    def run(self, notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        """Execute a notebook as Colab would; an error in a cell is raised."""
        manager = KernelManager(
            kernel_name="colab", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(self.kernels)])
        )
        options = {"timeout": 400, "store_widget_state": True, "resources": {"metadata": {"path": str(self.folder)}}}
        NotebookClient(notebook, km=manager, **options).execute()
        return notebook

    def versions(self) -> dict[str, str]:
        """Name -> version, of all that can be imported."""
        code = "import json; from importlib.metadata import distributions as d;"
        code += "print(json.dumps({p.name: p.version for p in reversed([*d()])}))"
        env = os.environ | {"PYTHONPATH": ""}
        command = [str(self.python), "-c", code]
        found = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, check=True).stdout
        return {canonicalize_name(name): version for name, version in json.loads(found).items()}


def make(folder: Path, port: int) -> Machine:
    """Build the machine; its session API and its GitHub answer on the port.

    Raises:
        CalledProcessError: Colab's versions could not be installed.
    """
    hidden = ALSO_HIDDEN | {"qwen35-lab", *launch.NOT_FOR_COLAB, *(line.split(">=")[0] for line in launch.missing())}
    visible = _beside(folder / "beside", hidden)
    (visible / "google" / "colab").mkdir(parents=True)
    (visible / "google" / "colab" / "__init__.py").write_text("from . import output\n")
    (visible / "google" / "colab" / "output.py").write_text(GOOGLE)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(f"{visible}\n")
    pins = [f"{name}=={version}" for name, version in launch.colab().items() if name not in KEPT]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary", ":all:"]
    subprocess.run([*pip, *pins], cwd=folder, env=os.environ | {"PYTHONPATH": ""}, check=True)
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Colab",
        "language": "python",
        "env": {"PYTHONPATH": "", "COLAB_JUPYTER_IP": "127.0.0.1", "KMP_TARGET_PORT": str(port)},
    }
    (folder / "kernels" / "colab").mkdir(parents=True)
    (folder / "kernels" / "colab" / "kernel.json").write_text(json.dumps(spec))
    (folder / "content").mkdir()
    return Machine(python, folder / "content", folder / "kernels")


def _beside(folder: Path, hidden: Iterable[str]) -> Path:
    """A folder with links to all packages of the tests' environment but the hidden ones."""
    folder.mkdir()
    site = Path(sysconfig.get_path("purelib"))
    names = {canonicalize_name(name) for name in hidden}
    unseen = set()
    for each in metadata.distributions(path=[str(site)]):
        if canonicalize_name(each.name) in names:
            unseen |= {file.parts[0] for file in each.files or ()}
    for path in site.iterdir():
        if path.name not in unseen and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


@contextmanager
def served(archive: bytes) -> Iterator[tuple[int, list[str]]]:
    """The session API and the archive of the fork, on one port; yields it, and the paths that were asked for."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            port = self.server.server_port
            answers = {"/api/sessions": sessions(port), f"/{FORK}/archive/{REF}.zip": archive}
            body = answers.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


def sessions(port: int) -> bytes:
    """What Colab says of a notebook opened from GitHub: its address is in `path`, in quotes of its own."""
    address = f"http://127.0.0.1:{port}/{FORK}/blob/{REF}/notebooks/02_forward_pass.ipynb"
    return json.dumps([{"id": "1", "path": f"fileId={quote(address, safe='')}", "type": "notebook"}]).encode()


def archive(path: Path) -> bytes:
    """The repository as a zip file with one folder in it, as GitHub makes them."""
    listed = subprocess.run(["git", "ls-files", "-z", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(path, "w") as made:
        for name in filter(None, listed.stdout.split("\0")):
            made.write(ROOT / name, f"a-fork-{REF.replace('/', '-')}/{name}")
    return path.read_bytes()
