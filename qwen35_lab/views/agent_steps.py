"""The loop stepper: what the model reads, says, calls and is told, step by step, with faults put in by a dial."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..agents import Called, Ended, Observed, Prompted, Said, Told, Transcript
from ..analysis.chat_steps import START
from ..errors import InputError
from ..inputs.vocabularies import Vocabulary, vocabulary
from .deck import Bars, Deck, Dial
from .prompt import PromptDeck
from .prompt_panel import PromptPanel, PromptToken, Turn
from .text_ruler import chip
from .words import listed

ENDS = {"answered": "with an answer", "failed": "the model could not be asked"}


def agent_deck(runs: Mapping[str, Transcript], tokenizer: Any, *, provenance: object, name: str = "fault") -> Deck:
    """Dials for the run and the step: the exact prompt in its turns, the raw answer, the call, what the tool said.

    Args:
        runs: label -> transcript, such as one without and some with a fault.
        tokenizer: of the model, whose tokens are shown.
    Raises:
        InputError: no runs.
    """
    if not runs:
        raise InputError("There is no run to show; pass at least one transcript.")
    words = vocabulary(tokenizer)
    longest = max(len(run.steps) for run in runs.values())
    frames = [_frames(run, words, longest) for run in runs.values()]
    kinds = ["model", "tools", "loop"]
    written = torch.tensor([_written(run, longest, words) for run in runs.values()], dtype=torch.float64)
    written /= written[:, -1:].sum(-1, keepdim=True).clamp(min=1)  # one run may be a hundred times as long as another
    return PromptDeck(
        [
            PromptPanel("The loop", frames, over=(name, "step")),
            Bars("Share of the run's tokens so far", kinds, {"share": written}, over=(name, "step"), signed=False),
        ],
        [Dial(name, list(runs)), Dial("step", range(1, longest + 1), start=min(3, longest - 1), play=True)],
        caption=_said(runs),
        provenance=provenance,
    )  # fmt: skip


def _frames(run: Transcript, words: Vocabulary, longest: int) -> list[list[Turn]]:
    """A frame for every step: the prompt whole, and then what followed it, the newest coloured."""
    frames: list[list[Turn]] = []
    since: list[tuple[str, str]] = []
    for step in run.steps:
        if isinstance(step, Prompted):
            since = []
            unknown = Turn(f"the model reads {step.messages} messages; their exact text is not known here", ())
            frames.append([_turn(role, text, words, True) for role, text in _parts(step.text)] or [unknown])
            continue
        since.append(_named(step))
        frames.append([_turn(role, text, words, n + 1 == len(since)) for n, (role, text) in enumerate(since)])
    last = len(frames)
    ended = (Turn(f"step {n}: this run has ended at step {last}", ()) for n in range(last + 1, longest + 1))
    return [*frames, *([turn, *frames[last - 1]] for turn in ended)]


def _parts(text: str) -> list[tuple[str, str]]:
    """(role, text) of every turn of a prompt."""
    parts = [START + part for part in text.split(START) if part]
    return [(f"prompt: {part.removeprefix(START).partition(chr(10))[0]}", part) for part in parts]


def _named(step: Any) -> tuple[str, str]:
    match step:
        case Said(text, finished=finished):
            return "the model says" + (", and is cut off" if finished == "length" else ""), text
        case Called(name, arguments):
            return "the call in it", f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        case Observed(name, text, kind):
            return f"{name}: {kind}", text
        case Told(text):
            return "the loop tells the model", text
        case Ended(why, text):
            return "the end", f"{why}: {text}"
    raise AssertionError(step)


def _turn(role: str, text: str, words: Vocabulary, fresh: bool) -> Turn:
    special = set(words.special.values())
    tokens = []
    for n in words.encode(text, special=True):
        raw = words.token(n)
        label: list[Any] = chip(raw, n)
        tokens.append(PromptToken(label[0], n, n in special, fresh, raw.endswith(b"\n")))
    return Turn(role, tuple(tokens))


def _written(run: Transcript, longest: int, words: Vocabulary) -> list[list[int]]:
    """[step][model, tools, loop]: tokens that each has added by then."""
    total, found = [0, 0, 0], []
    for step in run.steps:
        if isinstance(step, Said):
            total[0] += step.tokens
        elif isinstance(step, Observed | Told):
            total[1 if isinstance(step, Observed) else 2] += len(words.encode(step.text))
        found.append(list(total))
    return found + [found[-1]] * (longest - len(found))


def _said(runs: Mapping[str, Transcript]) -> str:
    ended: dict[str, Sequence[str]] = {}
    for label, run in runs.items():
        ended[run.ended] = [*ended.get(run.ended, ()), label]
    told = "; ".join(f"{ENDS.get(why, f'{why} reached their limit')}: {listed(list(labels))}"
                     for why, labels in ended.items())  # fmt: skip
    return (
        f"{len(runs)} run{'s' if len(runs) > 1 else ''} of the loop, by how each ended. {told[:1].upper()}{told[1:]}."
    )
