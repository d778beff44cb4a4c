"""Episodes of the nano's world for the loop to solve: a question, tools that can answer it, and the right answer.

The world's own samples, held out of training, with the tools made real: typed functions over the sample's table. Solved
is an episode whose last word is right; which calls led there is kept beside it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from ..nano.world import Message, Question, Sample, draw, execute
from ..paths import data_path
from .budget import Budget
from .functions import Tool, tool
from .loop import run
from .toolbox import Toolbox
from .transcript import Transcript

TABLE = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Episode:
    """One question.

    Attributes: `kind`, "sum", "lookup", "older" (two lookups) or "none"; `messages`, up to the question; `tools`;
    `answer`; `calls`, those that lead to it, as (function, arguments).
    """

    kind: str
    messages: list[Message]
    tools: tuple[Tool, ...]
    answer: str
    calls: list[tuple[str, dict[str, str]]]
    thinking: bool = False

    @property
    def question(self) -> str:
        return str(self.messages[-1]["content"])


@dataclass(frozen=True)
class Outcome:
    """What became of an episode: `solved`, its last word is right; `called`, with exactly the expected calls."""

    episode: Episode
    run: Transcript

    @property
    def solved(self) -> bool:
        return self.run.ended == "answered" and self.run.answer == self.episode.answer

    @property
    def called(self) -> bool:
        made, wanted = (sorted((name, sorted(given.items())) for name, given in calls)
                        for calls in (self.run.calls, self.episode.calls))  # fmt: skip
        return made == wanted


def world_tools(table: TABLE, *, final: bool = False) -> dict[str, Tool]:
    """The world's two functions over a table; to the model they look as in training, to the letter.

    Args:
        final: the only result of a turn is the answer.
    """

    def calculator(expression: str) -> str:
        """Work out a sum"""
        return execute("calculator", {"expression": expression}, table)

    def lookup(name: str, field: str) -> str:
        """Look up a person"""
        return execute("lookup", {"name": name, "field": field}, table)

    return {each.__name__: tool(final=final)(each) for each in (calculator, lookup)}


def episodes(n: int, seed: int = 0, split: str = "test", *, final: bool = False) -> list[Episode]:
    """The first request of each of n samples. In "test" its operands, or the pair that is looked up, are held out."""
    return [_episode(draw("tools", seed, index, split), final) for index in range(n)]


def _episode(sample: Sample, final: bool) -> Episode:
    asked, *rest = sample.questions
    calls: list[tuple[str, dict[str, str]]] = asked.facts["calls"]
    last: Question = rest[0] if calls else asked
    made = world_tools(asked.facts.get("table", {}), final=final)
    offered = tuple(made[each["function"]["name"]] for each in sample.tools)
    return Episode(asked.type, sample.prompt(asked), offered, last.answer, calls, sample.thinking)


def solve(
    model: Any, chosen: Sequence[Episode], budget: Budget | None = None, *, progress: bool = False
) -> list[Outcome]:  # fmt: skip
    """Run the loop over each; a few steps are enough unless a budget says otherwise."""
    budget = budget or Budget(steps=4, calls=6, tokens_per_step=160)
    found = []
    for episode in tqdm(chosen, "Episodes", disable=not progress):
        done = run(model, episode.messages, Toolbox(episode.tools), budget=budget, thinking=episode.thinking)
        found.append(Outcome(episode, done))
    return found


def on_record() -> dict[str, Any]:
    """What the nano that is shipped did with 200 episodes: "said" by it, or with "final" tools; counts, and how."""
    return json.loads(data_path("nano-training", "tool_loop.json").read_text(encoding="utf-8"))


def shares(outcomes: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Kind -> (solved, of how many), and "all"."""
    asked = Counter(outcome.episode.kind for outcome in outcomes)
    solved = Counter(outcome.episode.kind for outcome in outcomes if outcome.solved)
    return {kind: (solved[kind], asked[kind]) for kind in sorted(asked)} | {"all": (solved.total(), asked.total())}
