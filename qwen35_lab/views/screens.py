"""A game on the toy screen, step by step: the screenshot, what was asked about it, where it was tapped."""

import numpy as np

from ..agents.gui import Game, Turn
from ..errors import InputError
from ..nano.world.scene import cells, place
from .deck import Deck, Dial, Picture

ASKED, TAPPED = 0.25, 1.0  # areas of the squares


def game_deck(game: Game, *, provenance: object) -> Deck:
    """A step for each question and each tap; a small square marks a place that is asked about, a large one a tap.

    Raises:
        InputError: a game without a turn.
    """
    if not game.turns:
        raise InputError("This game has no turn to show; play one with `lab.agents.play`.")
    steps = [(turn, *step) for turn in game.turns for step in _steps(turn)]
    height, width = game.turns[0].picture.shape[:2]
    spots = cells((height, width))
    grid = (1 + max(row for row, _ in spots), 1 + max(column for _, column in spots))
    marks = np.zeros((len(steps), *grid), "float32")
    for n, (_, _, _, where, area) in enumerate(steps):
        for spot in spots:
            marks[n][spot] = area * (place(spot, (height, width)) == where)
    first = next(n for n, (*_, area) in enumerate(steps) if area == TAPPED)
    return Deck(
        [
            Picture(
                "The screenshot", np.stack([turn.picture for turn, *_ in steps]), grid, marks, over=("step",),
                seen=("step",), limit=TAPPED, unit=f"({TAPPED:g} a tap, {ASKED:g} a question)",
            ),
        ],
        [Dial("step", [short for _, short, *_ in steps], start=first, play=True)],
        notes={"step": [f"Wanted: {turn.button}. {said}" for turn, _, said, *_ in steps]},
        caption=_caption(game),
        provenance=provenance,
    )  # fmt: skip


def _steps(turn: Turn) -> list[tuple[str, str, str, float]]:
    """(in short, what happens, the place that it is about, the area of its mark) of every question, and of the tap."""
    found = []
    for question, answer in turn.look.asked:
        where = question.partition(" at the ")[2].rstrip("?")
        found.append((f"ask {where or 'where'}", f"{question} {answer}", where, ASKED))
    where, hit = turn.look.tap, f"the {turn.hit}" if turn.hit else "nothing"
    if not where:
        return [*found, ("no tap", "No tap: it was not found", "", TAPPED)]
    return [*found, (f"tap {where}", f"Tap {where}: hits {hit}", where, TAPPED)]


def _caption(game: Game) -> str:
    right = sum(turn.right for turn in game.turns)
    end = "all buttons pressed in order" if game.solved else "not solved"
    return (
        f"{len(game.buttons)} buttons, {game.questions} questions, {right} of {len(game.turns)} taps right: {end}. "
        "A small square is a place that is asked about, a large one a tap; every screenshot is drawn anew."
    )
