"""Execute the notebooks and build the site: `python -m gallery`.

What has run already is kept beside the site and runs again only when the notebook or the package has changed.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

from . import covers
from .site import ROOT, build


def main() -> None:
    parser = argparse.ArgumentParser(prog="gallery", description="Execute the notebooks and build the site.")
    parser.add_argument("--to", type=Path, default=ROOT / "site", help="the folder for the pages (site)")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks that run at the same time (2)")
    parser.add_argument("--covers", action="store_true", help="make the small pictures in docs/img anew, too")
    options = parser.parse_args()
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    kept = options.to.with_name(options.to.name + "-executed") / state_of_package()
    kept.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = pool.map(execute, paths, [kept] * len(paths))
        executed = dict(zip([path.stem for path in paths], tqdm(jobs, total=len(paths), unit="notebook")))
    notebooks = {name: nbformat.read(path, as_version=4) for name, path in executed.items()}
    if options.covers:
        covers.write(notebooks.items())
    pages = build(notebooks, options.to)
    print(f"{len(pages)} files; open {(options.to / 'index.html').as_uri()}")


def state_of_package() -> str:
    files = sorted(p for folder in ("qwen35_lab", "data") for p in (ROOT / folder).rglob("*") if p.is_file())
    return digest(path for path in files if "__pycache__" not in path.parts)


def digest(files: Iterable[Path]) -> str:
    made = hashlib.sha256()
    for path in files:
        made.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return made.hexdigest()[:16]


def execute(path: Path, kept: Path) -> Path:
    """Where the executed copy is: one from before, if nothing has changed since."""
    target = kept / f"{path.stem}-{digest([path])}.ipynb"
    if not target.exists():
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(notebook, timeout=600, store_widget_state=True, resources={"metadata": {"path": kept}})
        client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]  # else every kernel warns that TCP is not encrypted
        client.execute()
        beside = target.with_suffix(".part")
        nbformat.write(notebook, beside)
        beside.replace(target)
    return target


if __name__ == "__main__":
    sys.exit(main())
