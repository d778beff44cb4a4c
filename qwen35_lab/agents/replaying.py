"""A transcript, run again: the model's words as they were recorded, the tools' answers recorded or real."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InputError
from ..inputs import Answer, ToolCall, parse_answer
from ..inputs.answer import THINK
from .budget import Budget, Spent
from .loop import Loop
from .toolbox import Given, Observation, Toolbox
from .transcript import Observed, Prompted, Said, Transcript


def replay(recorded: Transcript, tools: Toolbox | Iterable[Given] | None = None) -> Transcript:
    """The same run without the model: its recorded texts are parsed once more, and the loop decides anew.

    Args:
        tools: run these for real; if not given, what they said then is said again. Steps are equal to the recorded
            ones unless a tool, the parser or the loop has changed since.
    Raises:
        InputError: the loop takes another way, and asks the model more often than it was recorded.
    """
    given, texts = recorded.given, deque(step for step in recorded.steps if isinstance(step, Said))
    prompts = deque(step.text for step in recorded.steps if isinstance(step, Prompted))
    speaker = _Speaker(texts, prompts, given["tools"])
    box = _Echo(recorded) if tools is None else tools if isinstance(tools, Toolbox) else Toolbox(tools)
    spent = Spent(Budget(**given["budget"]), clock=lambda: 0.0)
    loop = Loop(speaker, given["messages"], box, spent, given["thinking"])
    loop._count = speaker.count  # type: ignore[method-assign]
    try:
        again = loop.run()
    except _Over as error:
        if recorded.ended not in ("seconds", "failed"):  # what the clock or a server did is not done again
            raise InputError("The run takes another way now: the tools or the loop have changed since.") from error
        return Transcript((*loop.steps[: len(recorded.steps) - 1], recorded.steps[-1]), given, loop.messages)
    return Transcript(again.steps, given, again.messages)


class _Over(Exception):
    """The model is asked more often than it was then."""


class _Speaker:
    """Says what was said; knows the prompts too."""

    def __init__(self, said: deque[Said], prompts: deque[str], offers: Sequence[Any]):
        self.said, self.prompts, self.offers = said, prompts, offers
        self.tokens, self.prompt = 0, ""

    def chat_prompt(self, *args: Any, **kwargs: Any) -> str:
        self.prompt = self.prompts.popleft() if self.prompts else ""
        return self.prompt

    def chat(self, messages: Any, **how: Any) -> Answer:
        if not self.said:
            raise _Over
        step = self.said.popleft()
        self.tokens = step.tokens
        finished: Any = step.finished
        if self.prompt:
            opened = self.prompt.rstrip().endswith(THINK)
        else:  # a server keeps its prompt to itself
            opened = bool(step.reasoning) and not step.text.lstrip().startswith(THINK)
        return parse_answer(step.text, thinking=opened, tools=self.offers, finished=finished)

    def count(self, text: str) -> int:
        return self.tokens


class _Echo(Toolbox):
    """Says again what tools have said, call by call."""

    def __init__(self, recorded: Transcript):
        super().__init__()
        seen = [step for step in recorded.steps if isinstance(step, Observed) and step.kind != "repeated"]
        self._seen = deque(seen)
        self._offers = recorded.given["tools"]
        last = recorded.steps[-2] if len(recorded.steps) > 1 else None
        self._final = last.name if isinstance(last, Observed) and recorded.ended == "answered" else ""

    @property
    def offers(self) -> list[dict[str, Any]]:
        return list(self._offers)

    def is_final(self, name: str) -> bool:
        return name == self._final and not self._seen

    def run_all(self, calls: Sequence[ToolCall]) -> list[Observation]:
        return [Observation(step.text, step.kind) for step in (self._seen.popleft() for _ in calls)]
