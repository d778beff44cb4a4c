"""The draft–verify tape in a real browser: every place of both dials shows what Python says, and is a picture."""

import pytest
import torch

from qwen35_lab.analysis import Tapes
from qwen35_lab.analysis.drafting import Tape
from qwen35_lab.speculative import Draft
from qwen35_lab.views import draft_tape

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

NAMES = {n: f" w{n}" for n in range(9)} | {7: "\n", 8: " "}
PLAIN = tuple(Draft(3 + n, (), 0, (token,)) for n, token in enumerate((1, 2, 3, 4, 5, 7)))
THREE = (Draft(3, (1, 2, 6), 2, (1, 2, 3)), Draft(6, (6, 6, 8), 0, (4,)), Draft(7, (5, 7), 2, (5, 7)))
STATES = torch.tensor([[1e-7, 2e-7, 0.5], [1e-7, 3e-7, 0.9], [1e-7, 1e-7, 2e-7]], dtype=torch.float64)


@pytest.fixture(scope="module")
def deck():
    runs = (Tape(0, 0, PLAIN, torch.zeros(6, 3).double()), Tape(3, 0, THREE, STATES))
    return draft_tape(Tapes((8, 6), runs, NAMES, "TINY · x"))


@pytest.fixture
def page(deck, open_widget, tmp_path):
    file = tmp_path / "tape.html"
    file.write_text(deck.html(), encoding="utf-8")
    return open_widget(file)


def texts(page, selector: str) -> list[str]:
    return page.locator(f".q35-flow {selector}").all_text_contents()


def go(page, dial: str, place: int) -> None:
    page.get_by_role("slider", name=dial, exact=True).fill(str(place))


def test_every_place_shows_what_python_says(deck, page):
    panel, seen = deck.panels()[0], set()
    for run in range(2):
        go(page, "drafts", run)
        for place in range(6):
            go(page, "pass", place)
            at = {"drafts": run, "pass": place}
            done = panel.passes(at)
            assert page.locator(".q35-tape .q35-paneltitle").text_content().endswith(panel.headline(at))
            assert texts(page, ".q35-accepted") == [t for p in done for t in p.tokens[: p.accepted]]
            assert texts(page, ".q35-own") == [t for p in done for t in p.own]
            assert texts(page, ".q35-refused") == [t for p in done for t in p.refused]
            assert len(texts(page, ".q35-pass")) == len(done)
            assert len(texts(page, ".q35-latest")) == (place < len(panel.runs[run]))
            seen.add(page.locator(".q35-flow").evaluate("e => e.outerHTML"))
    assert len(seen) == 12, "no two places look alike, the finished ones included"
    assert page.errors == []


def test_the_prompt_and_the_first_token_stand_before_the_passes(page):
    assert texts(page, ".q35-read") == ["␣", "w6", "w0"]


def test_a_screen_reader_hears_the_headline_and_the_text(page):
    go(page, "drafts", 1)
    go(page, "pass", 1)
    said = page.locator(".q35-flow").get_attribute("aria-label")
    assert said == "pass 2: 3 drafted, 0 accepted; 4 tokens so far, 2.00 a pass. w1 w2 w3 w4"


def test_refused_drafts_are_struck_out_and_accepted_ones_are_not(page):
    look = "e => getComputedStyle(e).textDecorationLine"
    assert page.locator(".q35-flow .q35-refused").first.evaluate(look) == "line-through"
    assert page.locator(".q35-flow .q35-accepted").first.evaluate(look) == "none"


@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_cut_off(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    go(page, "pass", 5)
    flow = page.locator(".q35-flow")
    assert flow.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
