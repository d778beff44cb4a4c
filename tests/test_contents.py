"""README and the start page say of every notebook what its own first cell says, and show a picture of it."""

import re
from pathlib import Path

import nbformat
import pytest
from gallery import covers
from PIL import Image

from qwen35_lab.exercises.source import lessons

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README, START = ROOT / "README.md", ROOT / "notebooks" / "index.md"
TO_RUN = {"seconds": "seconds", "less than a minute": "< 1 min", "about a minute": "1 min"}
TITLES = {each.number: f"{each.number} · {each.title}" for each in lessons(ROOT / "notebooks")}  # as lab.progress() has
MOST_BYTES = 400_000  # of all pictures together: a README is read on the road, too

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def first_cell(path: Path) -> str:
    return " ".join(nbformat.read(path, as_version=4).cells[0].source.split())


def row(page: Path, name: str) -> list[str]:
    """The cells of a notebook's row in the table of a page.

    Raises:
        AssertionError: it has none, or several.
    """
    text = page.read_text(encoding="utf-8")
    found = [line for line in text.splitlines() if line.startswith("|") and f"{name}.ipynb)" in line]
    assert len(found) == 1, f"{page.name} needs one row of a table with {name}"
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def linked(cell: str) -> str:
    return re.findall(r"\[(.+?)\]\(", cell)[0]


def times(cell: str) -> list[str]:
    """What a first cell says of its minutes, as the tables have it: to read, to run."""
    (found,) = re.findall(r"[Aa]bout (\d+) minutes to read, (.+?) to run", cell)
    return [f"{found[0]} min", TO_RUN[found[1]]]


@each_notebook
def test_readme_says_what_it_is_how_long_it_takes_and_what_it_is_for(path):
    text, picture = row(README, path.stem)
    title, minutes, aim = text.split("<br>")
    assert linked(title) == TITLES[path.stem[:2]]
    read, to_run = times(first_cell(path))
    assert minutes == f"{read} to read, {to_run} to run"
    number, start, start_aim, start_read = row(START, path.stem)
    assert linked(title) == f"{number} · {linked(start)}"
    assert [aim, read] == [start_aim, start_read]
    cover = covers.COVERS[path.stem[:2]]
    assert picture == f'<img src="docs/img/{path.stem[:2]}.png" width="{covers.WIDTH // 2}" alt="{cover.words}">'


@each_notebook
def test_its_picture_is_there_and_small_and_cut_from_one_of_its_cells(path):
    cover, file = covers.COVERS[path.stem[:2]], covers.FOLDER / f"{path.stem[:2]}.png"
    assert cover.cell in [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert Image.open(file).width == covers.WIDTH and file.stat().st_size <= covers.MOST_BYTES
    assert len(Image.open(file).convert("RGB").getcolors(1 << 20) or []) > 10, "it is blank"


def test_all_pictures_together_are_light():
    assert sum((covers.FOLDER / f"{number}.png").stat().st_size for number in covers.COVERS) <= MOST_BYTES


def test_other_times_are_seen():
    assert times("x. About 45 minutes to read, about a minute to run, no network.") == ["45 min", "1 min"]
    with pytest.raises(ValueError, match="unpack"):
        times("About 45 minutes.")
