"""The draft–verify tape: drafts as they are accepted and refused, and what taking them back would do to the states."""

import torch

from ..analysis import Tapes
from ..analysis.drafting import Tape
from ..analysis.taking_back import WAYS
from ..errors import InputError
from .deck import Axis, Bars, Curves, Deck, Dial
from .tape_panel import Pass, TapePanel
from .widget import css, esm
from .words import short, visible

SHOWN = 14  # tokens of the prompt


class TapeDeck(Deck):
    """A deck that can show a `TapePanel`."""

    TITLE = "Draft and verify"
    _esm = esm("kit", "deck_heat", "deck_plots", "deck_tape", "deck")
    _css = css("kit", "controls", "deck", "tape")


def draft_tape(tapes: Tapes, start: int = 3) -> Deck:
    """Dials for the number of drafts and the pass; the text so far, what it took, and the error of three rollbacks.

    All runs count passes on the same dial, so that moving the first dial is a race: who has written more by now?

    Args:
        tapes: of `lab.analysis.record_tapes`.
        start: the number of drafts that is shown first, if it is among them.
    Raises:
        InputError: the text ended with its first token, so that no pass followed.
    """
    longest = max(len(tape.steps) for tape in tapes.tapes)
    if not longest:
        raise InputError("The text ends with its first token, so nothing was drafted; choose another prompt.")
    name = {token: chip(text) for token, text in tapes.names.items()}
    prompt = [name[t] for t in (*tapes.prompt[-SHOWN:], tapes.tapes[0].first)]
    counts = [tape.count for tape in tapes.tapes]
    runs = [
        [Pass(tuple(name[t] for t in s.drafted), s.accepted, tuple(name[t] for t in s.tokens)) for s in tape.steps]
        for tape in tapes.tapes
    ]
    passes = Axis("pass", range(1, longest + 1))
    written = torch.stack([_written(tape, longest) for tape in tapes.tapes])
    states = torch.stack([_padded(tape.states, longest) for tape in tapes.tapes])
    slowest = written[counts.index(0)] if 0 in counts else torch.arange(1.0, longest + 1)
    opened = counts.index(start) if start in counts else len(counts) - 1
    refused = [n for n, step in enumerate(tapes.tapes[opened].steps) if step.accepted < len(step.drafted)]
    last = refused[-1] if refused else max(0, len(tapes.tapes[opened].steps) - 1)
    return TapeDeck(
        [
            TapePanel("The text", prompt, runs),
            Curves("Tokens written", passes, {"with drafts": written, "without": slowest.expand_as(written)},
                   over=("drafts",), cursor="pass"),
            Bars("DeltaNet states after this pass, off by", [f"{way} rollback" for way in WAYS],
                 {"share of the largest value": states}, over=("drafts", "pass"), signed=False),
        ],
        [Dial("drafts", counts, start=opened), Dial("pass", range(1, longest + 1), start=last, play=True)],
        caption=_said(tapes, tapes.tapes[opened]),
        provenance=tapes.provenance,
    )  # fmt: skip


def chip(token: str) -> str:
    """A token in a frame of its own, where the space before a word needs no sign."""
    return visible(token[1:] if token[:1] == " " and token.strip() else token)


def _written(tape: Tape, longest: int) -> torch.Tensor:
    """Tokens after every pass, [pass]; the number stays when the text is finished."""
    lengths = [len(step.tokens) for step in tape.steps] + [0] * (longest - len(tape.steps))
    return torch.tensor(lengths, dtype=torch.float64).cumsum(0)


def _padded(states: torch.Tensor, longest: int) -> torch.Tensor:
    missing = states.new_full((longest - len(states), states.shape[1]), torch.nan)
    return torch.cat((states, missing))


def _said(tapes: Tapes, tape: Tape) -> str:
    plain = len(tape.tokens) - 1
    drafted, accepted = sum(len(s.drafted) for s in tape.steps), sum(s.accepted for s in tape.steps)
    worst = dict(zip(WAYS, tape.states.amax(0).tolist(), strict=True))
    return (
        f"With {tape.count} drafts at a time {plain} tokens take {len(tape.steps)} passes instead of {plain}: "
        f"{accepted} of {drafted} drafts are accepted, {tape.per_forward:.2f} tokens a pass. The states that cropping "
        f"would leave are off by up to {worst['crop']:.0%} of their largest value; after replay and record they are "
        f"off by at most {short(max(worst['replay'], worst['record']))} of it."
    )
