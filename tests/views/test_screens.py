"""A game on the screen: a frame for every question and tap, with its square, its words and its picture."""

import json

import numpy as np
import pytest

import qwen35_lab as lab
from qwen35_lab.agents import Game, Look, play


def around(model, picture, button):
    """Asks about two places, and taps at the second."""
    return Look((("What is at the top left?", "nothing"), ("What is at the bottom right?", button)), "bottom right")


def lost(model, picture, button):
    return Look(((f"Where is the {button}?", "I do not know."),), "")


def test_every_question_and_every_tap_has_its_frame():
    game = play(None, around, 0)
    deck = lab.views.game_deck(game, provenance="TINY · test")
    assert len(json.loads(deck.payload)["dials"][0]["labels"]) == 3 * len(game.turns)
    (panel,) = deck.panels()
    assert panel.pixels.shape == (3 * len(game.turns), 64, 64, 3)
    asked, _, tap = panel.values[:3]
    assert np.count_nonzero(asked) == np.count_nonzero(tap) == 1 and asked[0, 0] < tap[1, 1] == 1
    assert deck.places() == {"step": 2}  # begins with the first tap
    assert "What is at the top left? nothing" in deck.payload and f"Wanted: {game.buttons[0]}" in deck.payload
    assert deck.static()[:4] == b"\x89PNG"


def test_who_finds_nothing_taps_nowhere():
    game = play(None, lost, 0)
    deck = lab.views.game_deck(game, provenance="TINY · test")
    assert not deck.panels()[0].values.any() and "No tap: it was not found" in deck.payload
    assert "0 of 2 taps right: not solved" in deck.caption()


def test_a_game_without_a_turn_is_refused():
    with pytest.raises(lab.InputError, match="no turn to show"):
        lab.views.game_deck(Game((), ()), provenance="TINY")
