"""A toy screen, worked by looking at it: shapes are buttons, and one after the other is to be pressed.

Every turn is screenshot → question → answer → action → the next screenshot, as in the automation of real screens. The
model that works it is a nano, which can answer questions about such pictures; it was never shown a screen, and cannot
call tools about pictures. So the policy is ours: it turns a goal into questions that the nano knows, and answers into
an action.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..nano.world import Picture
from ..nano.world.dice import Dice
from ..nano.world.drawing import ground
from ..nano.world.scene import Size, Thing, cells, draw, place, things

SIZE: Size = (64, 64)
TAPS = 2  # for each button, so that a mistake can be made good
Policy = Callable[[Any, Picture, str], "Look"]


class Screen:
    """Shapes on a dark ground. A tap on one takes it away; a tap beside them does nothing.

    Args:
        seed: decides what is there, and the noise of every screenshot.
        buttons: 1 to 4.
    """

    def __init__(self, seed: int, buttons: int = 3, size: Size = SIZE):
        self._dice, self.size = Dice(seed), size
        self.things = things(self._dice, True, buttons, size)

    def screenshot(self) -> Picture:
        """uint8 [height, width, 3], drawn anew: each thing somewhere else in its cell."""
        picture = ground(self._dice, *self.size)
        for thing in self.things:
            draw(self._dice, picture, thing)
        return picture

    def places(self) -> list[str]:
        """The names of all cells, in reading order."""
        return [place(cell, self.size) for cell in cells(self.size)]

    def tap(self, where: str) -> Thing | None:
        """What was there, which now is gone."""
        for thing in self.things:
            if place(thing.cell, self.size) == where:
                self.things.remove(thing)
                return thing
        return None


@dataclass(frozen=True)
class Look:
    """What was asked about a screenshot, as (question, answer), and where to tap; "" if nothing was found."""

    asked: tuple[tuple[str, str], ...]
    tap: str


def ask_where(model: Any, picture: Picture, button: str) -> Look:
    """One question: where is it?"""
    question = f"Where is the {button}?"
    answer = _ask(model, picture, question)
    return Look(((question, answer),), answer)


def look_around(model: Any, picture: Picture, button: str) -> Look:
    """A question for each place, until one of them holds it."""
    asked: list[tuple[str, str]] = []
    for cell in cells((picture.shape[0], picture.shape[1])):
        where = place(cell, (picture.shape[0], picture.shape[1]))
        question = f"What is at the {where}?"
        asked.append((question, _ask(model, picture, question)))
        if asked[-1][1] == button:
            return Look(tuple(asked), where)
    return Look(tuple(asked), "")


def _ask(model: Any, picture: Picture, question: str) -> str:
    return model.chat(question, images=[picture], max_new_tokens=16).content


@dataclass(frozen=True)
class Turn:
    """A screenshot, the button that was wanted, what was asked, and what the tap hit; "" if nothing."""

    picture: Picture
    button: str
    look: Look
    hit: str

    @property
    def right(self) -> bool:
        return self.hit == self.button


@dataclass(frozen=True)
class Game:
    """All turns; solved if every button was pressed, in order, and no other one before its time."""

    buttons: tuple[str, ...]
    turns: tuple[Turn, ...]

    @property
    def solved(self) -> bool:
        hits = tuple(turn.hit for turn in self.turns if turn.hit)
        return hits == self.buttons

    @property
    def questions(self) -> int:
        return sum(len(turn.look.asked) for turn in self.turns)


def play(model: Any, policy: Policy, seed: int, buttons: int = 3) -> Game:
    """Press the buttons of one screen in a drawn order; a wrong one ends the game, a miss may be repeated.

    Args:
        model: a `Qwen` with eyes, or what answers like its `chat`.
        policy: (model, screenshot, button) -> `Look`; `ask_where`, `look_around`, or one of your own.
    """
    screen = Screen(seed, buttons)
    wanted = [thing.name for thing in screen.things]
    turns: list[Turn] = []
    for button in wanted:
        for _ in range(TAPS):
            picture = screen.screenshot()
            look = policy(model, picture, button)
            hit = screen.tap(look.tap)
            turns.append(Turn(picture, button, look, hit.name if hit else ""))
            if hit:
                break
        if not turns[-1].right:
            break
    return Game(tuple(wanted), tuple(turns))


def solved_share(games: Sequence[Game]) -> float:
    """Share of games solved; nan if there are none."""
    return sum(game.solved for game in games) / len(games) if games else float("nan")
