"""*Will it fit?*: the browser's sums are the analysis', and everybody gets to see something."""

import io
import json
import shutil
import subprocess

import pytest
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.analysis import DEVICES, Device
from qwen35_lab.analysis.fit import TERMS
from qwen35_lab.views import fit_explorer
from qwen35_lab.views.fit_explorer import KNOBS
from qwen35_lab.views.pen import SCALE, WIDTH
from qwen35_lab.views.widget import HERE

MODELS = ["0.8B", "9B", "35B-A3B"]
PLACE = Device("a laptop", 12e9, "cpu")


@pytest.fixture(scope="module")
def shown():
    return fit_explorer(MODELS, here=PLACE)


def places(**at):
    return {"model": 0, "precision": 0, "context": 3, "batch": 0, "device": 0} | at


EVERYWHERE = [
    places(), places(model=1, context=11, device=4), places(model=2, precision=3, batch=3, device=6),
    places(precision=1, context=0, batch=2, device=9), places(model=1, precision=2, context=6, batch=1, device=5),
]  # fmt: skip


def put(shown, at):
    for name, place in at.items():
        setattr(shown, name, place)


ASK = """
const { d, asked } = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(asked.map(at => ({ terms: termsOf(d, at), fits: fitsAt(d, at),
  words: termsOf(d, at).map(inWords),
  cells: d.rows.flatMap(row => row.cells.flat().map(cell => "gb" in cell
    ? numberHolds(d, at, { ...cell, model: row.model })
    : fitsAt(d, { ...at, model: row.model, device: cell.device }))) }))));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed; the browser test reads the verdicts")
def test_the_browsers_sums_are_pythons(shown):
    question = json.dumps({"d": json.loads(shown.payload), "asked": EVERYWHERE})
    script = (HERE / "fit_rules.js").read_text(encoding="utf-8") + ASK
    answer = subprocess.run(["node", "-e", script], input=question, capture_output=True, text=True, check=True)
    for at, found in zip(EVERYWHERE, json.loads(answer.stdout), strict=True):
        put(shown, at)
        told = shown.footprint()
        assert found["terms"] == list(told.terms.values()) and found["fits"] == told.fits
        assert found["words"] == [lab.memory.in_words(size) for size in told.terms.values()]
        assert found["cells"] == [cell["holds"] for cell in shown.cells()]


def test_it_is_will_it_fit(shown):
    put(shown, places(model=1, precision=3, context=6, batch=1, device=3))
    told = lab.will_it_fit("9B", "int4", 2**15, 4, device="RTX 4080")
    assert shown.footprint().terms == told.terms and told.heading() in shown.alt() and told.verdict() in shown.alt()


def test_a_cell_of_the_article_is_wrong_where_it_must_be():
    shown = fit_explorer(here=PLACE, model=4, device=list(DEVICES).index("A100 40 GB") + 1)
    cells = {(cell["model"], cell["text"]): cell for cell in shown.cells()}
    assert not cells[4, "A100 40 GB"]["holds"] and cells[4, "A100 40 GB"]["chosen"], "the 27B in BF16"
    assert not cells[4, "2 × RTX 4090"]["holds"] and not cells[3, "RTX 4080"]["holds"] and cells[3, "RTX 3090"]["holds"]
    assert not any(cell["holds"] for cell in shown.cells() if cell["number"] and cell["text"] in ("54 GB", "18 GB"))
    shown.precision = 3
    assert {(c["model"], c["text"]): c for c in shown.cells()}[3, "RTX 4080"]["holds"], "in four bits"


def test_it_sends_little_and_where_it_began(shown):
    assert len(fit_explorer(here=PLACE, context=2).payload) < 20_000
    assert json.loads(fit_explorer(MODELS, here=PLACE, context=2).start) == places(model=2, context=2)
    assert "q35-fit_explorer" in shown.html() and len(json.loads(shown.payload)["terms"]) == len(TERMS)
    assert shown.provenance().startswith("PUBLISHED")


@pytest.mark.parametrize("at", [places(), places(model=2, batch=3, context=9, device=1)], ids=str)
def test_the_static_twin_is_a_picture_in_colour(shown, at):
    put(shown, at)
    image = Image.open(io.BytesIO(shown.static()))
    assert image.width == WIDTH * SCALE and image.height > 250 * SCALE
    assert len(set(image.convert("RGB").resize((200, 120), Image.Resampling.NEAREST).get_flattened_data())) > 8


@pytest.mark.parametrize("name", KNOBS)
def test_a_place_that_is_none_is_refused(name):
    for place in (-1, 99):
        with pytest.raises(lab.InputError, match=f"no place {place} of '{name}'"):
            fit_explorer(MODELS, here=PLACE, **{name: place})


@pytest.mark.parametrize("call, error", [(lambda: fit_explorer([]), lab.InputError),
                                         (lambda: fit_explorer(["5B"]), lab.ConfigError),
                                         (lambda: fit_explorer(MODELS, colour=1), lab.InputError)])  # fmt: skip
def test_what_cannot_be_shown_is_refused(call, error):
    with pytest.raises(error):
        call()
