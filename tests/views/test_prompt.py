"""The prompt deck: every token of every step is where it belongs, with its id and its marks."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.analysis.chat_steps import ChatStep
from qwen35_lab.inputs import Vocabulary
from qwen35_lab.views import prompt_deck
from qwen35_lab.views.pen import SCALE, WIDTH
from qwen35_lab.views.widget import css

NAMES = ["<|im_start|>", "<|im_end|>", "user", "assistant", "\n", "Hi", " you", "<tool_response>"]
TOKENS = {name.encode(): n for n, name in enumerate(NAMES) if "<" not in name}
MARKS = {name: n for n, name in enumerate(NAMES) if "<" in name}
SMALL = Vocabulary("small", TOKENS, MARKS, ".", lambda text: [])


def step(label: str, kept: int, *ids: int) -> ChatStep:
    return ChatStep(label, SMALL.decode(list(ids)), ids, kept, SMALL)


ONE = step("the question", 0, 0, 2, 4, 5, 1, 4, 0, 3, 4)
TWO = step("the answer", 9, 0, 2, 4, 5, 1, 4, 0, 3, 4, 5, 6, 1, 4)
THREE = step("next", 2, 0, 2, 4, 7, 4, 5, 1, 4)


@pytest.fixture
def deck():
    return prompt_deck({"on": [ONE, TWO, THREE], "off": [ONE, TWO, replace(THREE, kept=3)]}, provenance="TINY · x")


def test_what_is_sent_is_every_token_with_its_id_and_its_marks(deck):
    sent = json.loads(deck.payload)["panels"][0]["runs"][0]
    assert sent[0] == [
        {"role": "user", "tokens": [["<|im_start|>", 0, 3], ["user", 2, 2], ["⏎", 4, 6], ["Hi", 5, 2],
                                    ["<|im_end|>", 1, 3], ["⏎", 4, 6]]},
        {"role": "assistant", "tokens": [["<|im_start|>", 0, 3], ["assistant", 3, 2], ["⏎", 4, 6]]},
    ]  # fmt: skip
    assert [token[2] & 2 for turn in sent[1] for token in turn["tokens"]] == [0] * 9 + [2] * 4
    assert sent[2][0]["role"] == "tool, in a user's turn"


def test_the_counts_are_of_what_was_there_before_and_what_is_new(deck):
    bars = deck.panels()[1]
    assert bars.series["tokens"].tolist() == [[[0, 9], [9, 4], [2, 6]], [[0, 9], [9, 4], [3, 5]]]


def test_it_says_where_a_prompt_was_changed_before_its_end(deck):
    assert "8 tokens in 1 turns, 3 of them special" in deck.caption()
    assert deck.caption().endswith("1 of the steps change what stood there before: next.")
    assert deck.places() == {"thinking": 0, "step": 2}
    assert "8 tokens, 3 special, 6 new" in deck.alt() and "step 3 next" in deck.alt()


def test_one_way_needs_no_dial():
    deck = prompt_deck({"as it is": [ONE, TWO]}, provenance="TINY · x", start=0)
    assert deck.places() == {"step": 0}
    assert deck.panels()[1].series["tokens"].tolist() == [[0, 9], [9, 4]]


@pytest.mark.parametrize("ways", [{}, {"a": []}, {"a": [ONE], "b": [ONE, TWO]}])
def test_steps_that_do_not_fit_are_refused(ways):
    with pytest.raises(lab.InputError, match="equally many steps"):
        prompt_deck(ways, provenance="")


def test_the_static_twin_holds_all_turns_of_a_long_prompt():
    many = step("long", 0, *([0, 2, 4] + [5, 4] * 30 + [1, 4]) * 12)
    image = np.asarray(Image.open(io.BytesIO(prompt_deck({"": [many]}, provenance="TINY").static())).convert("RGB"))
    assert image.shape[1] == WIDTH * SCALE
    assert (image[-30:] == 255).mean() > 0.9, "the picture ends in paper, not in what was cut off"
    short = np.asarray(Image.open(io.BytesIO(prompt_deck({"": [ONE]}, provenance="TINY").static())).convert("RGB"))
    assert image.shape[0] > 4 * short.shape[0]


def test_its_style_holds_inside_the_deck_only():
    assert css("prompt").lstrip().startswith(".q35-deck {")
