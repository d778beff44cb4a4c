"""The small pictures in docs/img that stand beside the notebooks, in README and on the start page of the site.

Each is cut from a figure of its notebook, as it was just executed:

    make gallery GALLERY_ARGS=--covers
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "img"
WIDTH = 480  # pixels; shown at half of that, so that it is sharp on every screen
COLOURS = 128
MOST_BYTES = 40_000


@dataclass(frozen=True)
class Cover:
    """Where a notebook's picture comes from: a cell, and what is cut out of its PNG."""

    cell: str  # id
    box: tuple[int, int, int, int]  # left, top, right, bottom, in pixels
    words: str  # for who cannot see it


COVERS = {
    "00": Cover("explorer", (0, 75, 1520, 815), "What a model takes of a machine's memory, term by term"),
    "01": Cover("ruler", (0, 165, 1520, 910), "A Greek text in tokens, by two vocabularies, and what they cost"),
    "02": Cover("stepper", (0, 60, 1130, 814), "The stepper: a formula, its line of code, and the value it made"),
    "03": Cover("cinema", (0, 270, 1520, 1050), "A memory as a matrix, and what its keys return over time"),
    "04": Cover("pair", (0, 185, 1520, 905), "Two maps of who reads whom: a DeltaNet head and an attention head"),
    "05": Cover("wall", (0, 60, 982, 645), "A wall of clocks, one for each speed of the rotary positions"),
    "06": Cover("explorer", (0, 330, 1520, 1260), "Bytes, FLOPs, seconds and dollars against the length of a text"),
    "07": Cover("kinds", (0, 135, 1520, 1015), "Which experts answer for which kind of text, as a map"),
    "08": Cover("gaze", (0, 325, 1520, 970), "A picture with the cells that the model reads, and how much, by head"),
    "09": Cover("tape", (0, 185, 1520, 1200), "Drafts that were accepted, and those that were refused, pass by pass"),
    "10": Cover("scale-deck", (0, 235, 1520, 1035), "Weights in eight bits: which blocks an outlier spoils, and how"),
    "11": Cover("explorer-prices", (0, 130, 1520, 836), "What a workload costs, by model, at the prices of one day"),
    "12": Cover("chat", (0, 70, 1520, 640), "A chat with a server: a thought, an answer, its times, the exact prompt"),
    "13": Cover("stepper", (0, 190, 1060, 1010), "The loop, step by step: what a model reads, says and is told"),
    "14": Cover("map", (0, 185, 1520, 1165), "Where in a long text a fact is still known, and by which layer"),
    "15": Cover("map", (0, 140, 1520, 790), "Who reads whom in a DeltaNet head, before and after fine-tuning"),
}


def cut(notebook: nbformat.NotebookNode, cover: Cover) -> bytes:
    """The cover of an executed notebook, as a PNG of few colours.

    Raises:
        KeyError: the notebook has no such cell, or the cell shows no PNG.
    """
    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}[cover.cell]
    shown = {kind: data for output in outputs for kind, data in output.get("data", {}).items()}
    whole = Image.open(io.BytesIO(base64.b64decode(shown["image/png"]))).convert("RGB")
    part = whole.crop(cover.box)
    small = part.resize((WIDTH, round(WIDTH * part.height / part.width)), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return written.getvalue()


def write(executed: Iterable[tuple[str, nbformat.NotebookNode]], folder: Path = FOLDER) -> list[Path]:
    """Write the cover of every notebook that has one, such as docs/img/01.png."""
    written = []
    for name, notebook in executed:
        if number := number_of(name):
            written.append(folder / f"{number}.png")
            written[-1].write_bytes(cut(notebook, COVERS[number]))
    return written


def number_of(name: str) -> str:
    """`05` of `05_attention_and_positions`, if there is a cover of it; else nothing."""
    return name[:2] if name[:2] in COVERS else ""
