"""A prompt as a panel of a deck: turns, and in them tokens with their ids. Words and counts only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .panels import At, Dial, common


@dataclass(frozen=True)
class PromptToken:
    """A token as it is shown; `ends` a line of the text, `fresh` if the step before did not have it in this place."""

    label: str
    id: int
    special: bool
    fresh: bool
    ends: bool


@dataclass(frozen=True)
class Turn:
    """What stands between two marks of the template."""

    role: str
    tokens: tuple[PromptToken, ...]


@dataclass(frozen=True)
class PromptPanel:
    """The turns of the prompt that the dials stand on.

    Args:
        runs: [way][step] -> turns.
    """

    title: str
    runs: Sequence[Sequence[Sequence[Turn]]]
    over: Sequence[str] = ("step",)
    unit: str = ""
    kind = "prompt"

    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]:
        runs = [
            [
                [{"role": turn.role, "tokens": [_packed(token) for token in turn.tokens]} for turn in turns]
                for turns in run
            ]
            for run in self.runs
        ]
        return {**common(self, dials), "values": None, "runs": runs}

    def turns(self, at: At) -> Sequence[Turn]:
        places = [at[name] for name in self.over]
        return self.runs[places[0] if len(places) > 1 else 0][places[-1]]

    def headline(self, at: At) -> str:
        """How long it is, and how much of it is new."""
        tokens = [token for turn in self.turns(at) for token in turn.tokens]
        return f"{len(tokens)} tokens, {sum(t.special for t in tokens)} special, {sum(t.fresh for t in tokens)} new"

    def words(self, at: At) -> str:
        told = "; ".join(f"{turn.role} {len(turn.tokens)} tokens" for turn in self.turns(at))
        return f"{self.title}: {self.headline(at)}. Turns: {told}."


def _packed(token: PromptToken) -> list[Any]:
    """[label, id, 1 special + 2 fresh + 4 ends a line]"""
    return [token.label, token.id, token.special + 2 * token.fresh + 4 * token.ends]
