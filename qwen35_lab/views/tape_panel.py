"""The tape: a text as speculative decoding writes it, pass by pass, as a panel of a deck. Words and counts only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .panels import At, Dial, common


@dataclass(frozen=True)
class Pass:
    """One pass of the model: what was drafted, how much of it was accepted from the left, and what it wrote."""

    drafted: tuple[str, ...]
    accepted: int
    tokens: tuple[str, ...]

    @property
    def own(self) -> tuple[str, ...]:
        """The token that the model itself added; nothing if the text ended with a draft."""
        return self.tokens[self.accepted :]

    @property
    def refused(self) -> tuple[str, ...]:
        return self.drafted[self.accepted :]


@dataclass(frozen=True)
class TapePanel:
    """All passes up to the one that the dial `pass` stands on, for the number of drafts that the other one says.

    Args:
        prompt: the end of what was read, and the first token that came of it.
        runs: for every place of the first dial, its passes; a shorter run is finished before the second dial ends.
    """

    title: str
    prompt: Sequence[str]
    runs: Sequence[Sequence[Pass]]
    over: Sequence[str] = ("drafts", "pass")
    unit: str = ""
    kind = "tape"

    def describe(self, dials: Sequence[Dial]) -> dict[str, Any]:
        runs = [
            [{"kept": list(p.tokens[: p.accepted]), "own": list(p.own), "refused": list(p.refused)} for p in run]
            for run in self.runs
        ]
        return {**common(self, dials), "values": None, "prompt": list(self.prompt), "runs": runs}

    def passes(self, at: At) -> Sequence[Pass]:
        """Those that have happened."""
        run, place = (at[name] for name in self.over)
        return self.runs[run][: place + 1]

    def headline(self, at: At) -> str:
        """What the last of them did, and how far the text is."""
        run, place = (at[name] for name in self.over)
        done = self.passes(at)
        written = sum(len(p.tokens) for p in done)
        if place >= len(self.runs[run]):
            saved = place + 1 - len(done)
            return f"finished in {len(done)} passes: {written} tokens, and {saved} passes fewer than the dial says"
        last = done[-1]
        drafts = f"{len(last.drafted)} drafted, {last.accepted} accepted" if last.drafted else "nothing drafted"
        return f"pass {place + 1}: {drafts}; {written} tokens so far, {written / len(done):.2f} a pass"

    def words(self, at: At) -> str:
        last: Mapping[str, Sequence[str]] = {}
        if done := self.passes(at):
            last = {"accepted": done[-1].tokens[: done[-1].accepted], "refused": done[-1].refused, "own": done[-1].own}
        told = "; ".join(f"{name} {' '.join(f'“{t}”' for t in tokens) or 'none'}" for name, tokens in last.items())
        return f"{self.title}, {self.headline(at)}. In the last pass: {told}."
