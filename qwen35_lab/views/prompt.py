"""The prompt deck: the exact string that a chat template writes, token by token, as a conversation grows."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

from ..analysis.chat_steps import ChatStep
from ..errors import InputError
from .deck import Bars, Deck, Dial
from .prompt_panel import PromptPanel, PromptToken, Turn
from .text_ruler import chip
from .widget import css, esm
from .words import listed


class PromptDeck(Deck):
    """A deck that can show a `PromptPanel`."""

    TITLE = "The exact prompt"
    _esm = esm("kit", "deck_heat", "deck_plots", "deck_prompt", "deck")
    _css = css("kit", "controls", "deck", "prompt")


def prompt_deck(
    ways: Mapping[str, Sequence[ChatStep]], *, provenance: object, name: str = "thinking", start: int = -1
) -> Deck:
    """Dials for the step and for the way in which the template was asked; each turn of the prompt in its own frame.

    Args:
        ways: label -> the steps of `lab.analysis.build_up`, equally many in each, such as {"off": …, "on": …}.
        name: of the dial between the ways, which is left out if there is only one.
        start: the step to begin with.
    Raises:
        InputError: no steps, or not equally many.
    """
    runs = list(ways.values())
    if not runs or not runs[0] or len({len(run) for run in runs}) != 1:
        raise InputError("Pass at least one way, and equally many steps in each.")
    labels = [step.label for step in runs[0]]
    several = [Dial(name, list(ways))] if len(runs) > 1 else []
    over = (*(dial.name for dial in several), "step")
    counts = torch.tensor([[[step.kept, len(step.ids) - step.kept] for step in run] for run in runs])
    drawn = [[_turns(step) for step in run] for run in runs]
    numbered = [f"{n} {label}" for n, label in enumerate(labels, 1)]
    return PromptDeck(
        [
            PromptPanel("The prompt", drawn, over=over),
            Bars("Tokens of this prompt", ["as before", "new or moved"], {"tokens": counts if several else counts[0]},
                 over=over, signed=False),
        ],
        [*several, Dial("step", numbered, start=start % len(labels), play=True)],
        caption=_said(runs[0]),
        provenance=provenance,
    )  # fmt: skip


def _turns(step: ChatStep) -> list[Turn]:
    found = []
    for role, first, end in step.turns:
        chips = [_token(step, n) for n in range(first, end)]
        found.append(Turn(role, tuple(chips)))
    return found


def _token(step: ChatStep, n: int) -> PromptToken:
    raw = step.vocabulary.token(step.ids[n])
    label: list[Any] = chip(raw, step.ids[n])
    return PromptToken(label[0], step.ids[n], step.is_special(n), n >= step.kept, raw.endswith(b"\n"))


def _said(steps: Sequence[ChatStep]) -> str:
    last, special = steps[-1], sum(steps[-1].is_special(n) for n in range(len(steps[-1].ids)))
    again = [step.label for before, step in pairwise(steps) if step.kept < len(before.ids)]
    change = f"{len(again)} of the steps change what stood there before: {listed(again)}." if again else ""
    return (
        f"At the end the prompt has {len(last.ids)} tokens in {len(last.turns)} turns, {special} of them special. "
        f"Numbers are token ids; special tokens have a strong frame, and what is new in a step is coloured. {change}"
    ).strip()
