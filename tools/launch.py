"""Write what opens a notebook elsewhere: the cell that installs in Colab, and links to Colab and Binder.

    python tools/launch.py --check      # says which files differ; exit status 1 if any does
    python tools/launch.py --write      # rewrites them

Links need an address: the one setting is `Repository` in pyproject.toml, under [project.urls]. Without it there are
none. The cell does without: it asks Colab which notebook is open, so that in a fork it installs the fork. What it
installs besides follows from pyproject.toml and from tools/colab.txt, which says what Colab has.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nbnorm
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qwen35_lab.doctor.versions import NOT_FOR_COLAB

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
START = "02_forward_pass"  # the notebook that README's badges open
TAG = "colab"  # of the cell
LINKS = re.compile(r"^\[Open in Colab\]\(.*\n\n?", re.M)
BADGES = re.compile(r"(?<=<!-- badges: tools/launch\.py -->\n).*?(?=<!-- end of badges -->)", re.S)

CELL = """\
# @title In Colab, this cell installs what the notebooks need. Elsewhere it does nothing.
import os
import sys
from importlib.util import find_spec

if ("google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ) and not find_spec("qwen35_lab"):
    import re
    from urllib.parse import quote, unquote
    from urllib.request import urlopen

    home = "{home}"  # https://github.com/OWNER/REPOSITORY/blob/BRANCH, for when Colab does not say
    try:
        asked = urlopen("http://{{COLAB_JUPYTER_IP}}:{{KMP_TARGET_PORT}}/api/sessions".format(**os.environ), timeout=3)
        opened = unquote(unquote(asked.read().decode()))
        home = "{{}}://{{}}".format(*re.findall(r'fileId=(https?):/+([^"]+?/blob/[^"]+?)/notebooks/', opened)[0])
    except (OSError, KeyError, IndexError):
        assert home, "Colab does not say where this notebook is from: fill in `home`, in the cell that installs."
    archive = quote(home.replace("/blob/", "/archive/", 1), safe=":/") + ".zip"
    more = "{missing}"
    get_ipython().run_line_magic("pip", f"install -q --no-deps {{archive}} {{more}}")
    assert find_spec("qwen35_lab"), f"Not installed: {{archive}}, which must be public; above is what pip says of it."
    from qwen35_lab.doctor.versions import ready

    print(ready())
"""


def home(root: Path = ROOT) -> str:
    """The repository's address, https://github.com/OWNER/REPOSITORY; empty if pyproject.toml does not say it."""
    address = project(root).get("urls", {}).get("Repository", "").removesuffix("/").removesuffix(".git")
    if address and not re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+", address):
        sys.exit(f"Colab opens https://github.com/OWNER/REPOSITORY; Repository in pyproject.toml is {address}")
    return address


def missing(root: Path = ROOT) -> list[str]:
    """What the notebooks require and Colab lacks, or has in a version that is too old."""
    asked = project(root)
    extras = asked["optional-dependencies"]
    (suite,) = map(Requirement, extras["suite"])
    lines = [*asked["dependencies"], *(line for extra in sorted(suite.extras) for line in extras[extra])]
    has = {canonicalize_name(name): version for name, version in colab(root).items()}

    def lacks(requirement: Requirement) -> bool:
        name = canonicalize_name(requirement.name)
        return name not in NOT_FOR_COLAB and (name not in has or has[name] not in requirement.specifier)

    return [str(requirement) for requirement in map(Requirement, lines) if lacks(requirement)]


def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def colab(root: Path = ROOT) -> dict[str, str]:
    """Name -> version, of what Colab has."""
    text = (root / "tools" / "colab.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.M))


def cell(root: Path = ROOT) -> dict:
    """The cell that installs: folded in JupyterLab, a form in Colab, as nobody has to read it."""
    address = home(root)
    source = CELL.format(
        home=f"{address}/blob/{BRANCH}" if address else "", missing=" ".join(f"'{each}'" for each in missing(root))
    )
    metadata = {"tags": [TAG], "cellView": "form", "jupyter": {"source_hidden": True}}
    return {"cell_type": "code", "id": "install-in-colab", "metadata": metadata, "source": source}


def installs(cell: dict) -> bool:
    """Whether this is the cell that installs, which is no part of a lesson."""
    return TAG in cell["metadata"].get("tags", [])


def links(name: str, address: str) -> tuple[str, str]:
    """Where Colab and Binder open a notebook."""
    where = address.removeprefix("https://github.com/")
    return (
        f"https://colab.research.google.com/github/{where}/blob/{BRANCH}/notebooks/{name}.ipynb",
        f"https://mybinder.org/v2/gh/{where}/{BRANCH}?labpath={quote(f'notebooks/{name}.ipynb', safe='')}",
    )


def notebook(text: str, name: str, root: Path = ROOT) -> str:
    """A notebook's file with its links under the title, and the cell behind the parameters."""
    made = json.loads(text)
    cells = [each for each in made["cells"] if not installs(each)]
    title = LINKS.sub("", "".join(cells[0]["source"]))
    if address := home(root):
        colab_link, binder_link = links(name, address)
        heading, rest = title.split("\n\n", 1)
        title = f"{heading}\n\n[Open in Colab]({colab_link}) · [in Binder]({binder_link})\n\n{rest}"
    at = next(n for n, each in enumerate(cells) if "parameters" in each["metadata"].get("tags", []))
    made["cells"] = [{**cells[0], "source": title}, *cells[1 : at + 1], cell(root), *cells[at + 1 :]]
    return nbnorm.dumps(nbnorm.normalise(made))


def readme(text: str, root: Path = ROOT) -> str:
    """README with its badges, which open the notebook to start with."""
    badges = ""
    if address := home(root):
        colab_link, binder_link = links(START, address)
        badges = (
            f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab_link})\n"
            f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder_link})\n"
        )
    return BADGES.sub(badges, text)


def different(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Each file that is not as it should be, with the text that it should have."""
    wanted = {path: notebook(path.read_text("utf-8"), path.stem, root) for path in (root / "notebooks").glob("*.ipynb")}
    wanted[root / "README.md"] = readme((root / "README.md").read_text(encoding="utf-8"), root)
    yield from ((path, text) for path, text in sorted(wanted.items()) if text != path.read_text(encoding="utf-8"))


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="only say which files differ")
    mode.add_argument("--write", action="store_true", help="rewrite them")
    options = parser.parse_args(argv)
    found = [*different(root)]
    for path, text in found:
        if options.write:
            path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{path}: {'rewritten' if options.write else 'not up to date; run tools/launch.py --write'}")
    return 1 if options.check and found else 0


if __name__ == "__main__":
    sys.exit(main())
