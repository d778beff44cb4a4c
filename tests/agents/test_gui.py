"""The toy screen: what a tap does, what a policy asks, and how often the nano gets through."""

import numpy as np
import pytest

import qwen35_lab as lab
from qwen35_lab.agents.gui import TAPS, Look, Screen, ask_where, look_around, play, solved_share
from qwen35_lab.inputs import Answer


class Seeing:
    """Knows what is on a screen, whatever its picture."""

    def __init__(self, seed: int, wrong: str = ""):
        self.there = {place: None for place in Screen(seed).places()}
        self.there |= {place: thing.name for thing, place in located(Screen(seed))}
        self.wrong = wrong

    def chat(self, question, images=None, max_new_tokens=0):
        assert images[0].shape == (64, 64, 3) and images[0].dtype == np.uint8
        words = question.removesuffix("?").split(" the ")[1]
        if question.startswith("What"):
            return Answer(content=self.there[words] or "nothing")
        return Answer(content=self.wrong or next(p for p, name in self.there.items() if name == words))


def located(screen):
    from qwen35_lab.nano.world.scene import place

    return [(thing, place(thing.cell, screen.size)) for thing in screen.things]


@pytest.mark.parametrize("policy", [ask_where, look_around])
@pytest.mark.parametrize("seed", range(5))
def test_who_sees_rightly_wins(policy, seed):
    game = play(Seeing(seed), policy, seed)
    assert game.solved and len(game.turns) == len(game.buttons) == 3
    assert all(turn.right for turn in game.turns)
    assert game.questions == 3 if policy is ask_where else game.questions >= 3


def test_a_wrong_button_ends_the_game_and_a_miss_may_be_repeated():
    screen = Screen(0)
    (_, first), (_, second), *_ = located(screen)
    empty = next(place for place in screen.places() if place not in [where for _, where in located(screen)])
    game = play(Seeing(0, wrong=second), ask_where, 0)
    assert not game.solved and len(game.turns) == 1 and game.turns[0].hit == game.buttons[1]
    game = play(Seeing(0, wrong=empty), ask_where, 0)
    assert not game.solved and len(game.turns) == TAPS and not game.turns[0].hit
    assert play(None, lambda *_: Look((), first), 0).turns[0].right
    assert solved_share([game]) == 0 and np.isnan(solved_share([]))


def test_a_screen_changes_only_where_it_is_tapped():
    screen, same = Screen(3), Screen(3)
    (thing, where), *rest = located(screen)
    assert np.array_equal(screen.screenshot(), same.screenshot())
    assert screen.tap(where) is thing and screen.tap(where) is None
    assert [each for each, _ in rest] == screen.things
    assert screen.tap("nowhere") is None


@pytest.mark.slow
def test_the_nano_plays_better_by_the_questions_it_is_good_at():
    """Its card says that it names what is at a place more often than it says where a thing is."""
    nano = lab.load("nano")
    where, around = ([play(nano, policy, seed) for seed in range(20)] for policy in (ask_where, look_around))
    assert solved_share(around) > solved_share(where)
    assert solved_share(around) >= 0.5
