"""The tape: every token of every pass is where it belongs, and the race is between equal texts."""

import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.analysis import Tapes
from qwen35_lab.analysis.drafting import Tape
from qwen35_lab.speculative import Draft
from qwen35_lab.views import draft_tape
from qwen35_lab.views.tape import chip
from qwen35_lab.views.tape_panel import TapePanel
from qwen35_lab.views.tape_png import group_width
from qwen35_lab.views.widget import css

NAMES = {n: f" w{n}" for n in range(9)} | {7: "\n", 8: " "}
# the text is 0 | 1 2 3 4 5 7
PLAIN = tuple(Draft(3 + n, (), 0, (token,)) for n, token in enumerate((1, 2, 3, 4, 5, 7)))
THREE = (Draft(3, (1, 2, 6), 2, (1, 2, 3)), Draft(6, (6, 6, 8), 0, (4,)), Draft(7, (5, 7), 2, (5, 7)))
STATES = torch.tensor([[1e-7, 2e-7, 0.5], [1e-7, 3e-7, 0.9], [1e-7, 1e-7, 2e-7]], dtype=torch.float64)


@pytest.fixture(scope="module")
def tapes():
    runs = (Tape(0, 0, PLAIN, torch.zeros(6, 3).double()), Tape(3, 0, THREE, STATES))
    return Tapes((8, 6), runs, NAMES, "TINY · x")


@pytest.fixture
def deck(tapes):
    return draft_tape(tapes)


def tape_of(deck) -> TapePanel:
    return deck.panels()[0]


def test_the_deck_opens_at_the_last_refusal(deck):
    assert deck.places() == {"drafts": 1, "pass": 1}
    assert "2 passes" not in deck.caption() and "take 3 passes instead of 6" in deck.caption()
    assert "4 of 8 drafts are accepted, 2.00 tokens a pass" in deck.caption()
    assert "off by up to 90% of their largest value" in deck.caption()


def test_what_is_sent_is_what_happened(deck):
    sent = json.loads(deck.payload)["panels"][0]
    assert sent["prompt"] == ["␣", "w6", "w0"]
    assert sent["runs"][1] == [
        {"kept": ["w1", "w2"], "own": ["w3"], "refused": ["w6"]},
        {"kept": [], "own": ["w4"], "refused": ["w6", "w6", "␣"]},
        {"kept": ["w5", "⏎"], "own": [], "refused": []},
    ]
    assert [p["own"] for p in sent["runs"][0]] == [["w1"], ["w2"], ["w3"], ["w4"], ["w5"], ["⏎"]]
    assert all(p["kept"] == p["refused"] == [] for p in sent["runs"][0])


def test_both_runs_write_the_same_text(deck):
    def text(run: int) -> list[str]:
        return [t for each in tape_of(deck).passes({"drafts": run, "pass": 5}) for t in each.tokens]

    assert text(0) == text(1) == ["w1", "w2", "w3", "w4", "w5", "⏎"]


@pytest.mark.parametrize(
    "run, place, said",
    [
        (0, 2, "pass 3: nothing drafted; 3 tokens so far, 1.00 a pass"),
        (1, 0, "pass 1: 3 drafted, 2 accepted; 3 tokens so far, 3.00 a pass"),
        (1, 2, "pass 3: 2 drafted, 2 accepted; 6 tokens so far, 2.00 a pass"),
        (1, 4, "finished in 3 passes: 6 tokens, and 2 passes fewer than the dial says"),
    ],
)
def test_the_headline_counts(deck, run, place, said):
    assert tape_of(deck).headline({"drafts": run, "pass": place}) == said


def test_the_race_and_the_states_are_those_of_the_tapes(deck):
    _, written, states = deck.panels()
    assert written.series["with drafts"].tolist() == [[1, 2, 3, 4, 5, 6], [3, 4, 6, 6, 6, 6]]
    assert written.series["without"].tolist() == [[1, 2, 3, 4, 5, 6]] * 2
    drawn = states.series["share of the largest value"]
    torch.testing.assert_close(drawn[1, :3], STATES)
    assert drawn[1, 3:].isnan().all(), "nothing is said of passes that were not needed"


def test_words_name_what_stayed_and_what_did_not(deck):
    assert "accepted none; refused “w6” “w6” “␣”; own “w4”" in deck.alt()
    deck.choose({"pass": 2})
    assert "accepted “w5” “⏎”; refused none; own none" in deck.alt()


def test_the_picture_grows_with_the_text(deck):
    """Green of accepted drafts and orange of refused ones are in it once there are some."""
    deck.choose({"drafts": 0, "pass": 0})
    plain = np.asarray(Image.open(io.BytesIO(deck.static())).convert("RGB")).astype(int)
    deck.choose({"drafts": 1, "pass": 5})
    drafted = np.asarray(Image.open(io.BytesIO(deck.static())).convert("RGB")).astype(int)

    def ink(picture: np.ndarray, colour: str) -> int:
        wanted = np.array([int(lab.views.COLOURS[colour][n : n + 2], 16) for n in (1, 3, 5)])
        return int((np.abs(picture[: len(picture) // 3] - wanted).sum(-1) < 40).sum())

    for colour in ("ffn", "negative"):
        assert ink(drafted, colour) > ink(plain, colour) + 20  # the legend has both


def test_a_group_is_as_wide_as_its_longer_row(deck):
    first, second, _ = tape_of(deck).runs[1]
    assert group_width(second) > group_width(type(second)((), 0, second.tokens)) and group_width(first) > 0


@pytest.mark.parametrize(
    "token, shown", [(" cat", "cat"), ("cat", "cat"), (" ", "␣"), ("  a", "␣a"), ("\n", "⏎"), ("", "∅")]
)
def test_a_chip_needs_no_sign_for_the_space_before_a_word(token, shown):
    assert chip(token) == shown


def test_a_text_without_passes_is_refused(tapes):
    with pytest.raises(lab.InputError, match="ends with its first token"):
        draft_tape(Tapes((1,), (Tape(2, 0, (), STATES[:0]),), NAMES, "TINY · x"))


def test_without_a_plain_run_the_race_is_against_one_token_a_pass(tapes):
    deck = draft_tape(Tapes((1,), tapes.tapes[1:], NAMES, "TINY · x"), start=9)
    assert deck.panels()[1].series["without"].tolist() == [[1, 2, 3]]


def test_its_style_is_only_for_decks():
    assert re.sub(r"\s", "", css("tape")).startswith(".q35-deck{") and css("tape").count("\n}") == 1
