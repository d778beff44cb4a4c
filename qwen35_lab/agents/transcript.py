"""A run of the loop, step by step, as data: printed, saved, read back, and run again.

prompt → what the model said, exactly → the calls in it → what each tool answered → the next prompt … → the end
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from .toolbox import Kind


@dataclass(frozen=True)
class Prompted:
    """What the model reads: the exact text ("" where a server keeps it to itself), and how many messages."""

    text: str
    messages: int


@dataclass(frozen=True)
class Said:
    """What the model wrote, `text` exactly, and its lanes; `malformed` says why a call in it is none.

    A server that parses calls itself keeps their text; then they stand in `text` as the template writes them.
    """

    text: str
    reasoning: str
    content: str
    malformed: tuple[str, ...]
    finished: str | None
    tokens: int


@dataclass(frozen=True)
class Called:
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Observed:
    """What came of a call, as the model reads it; `kind` is "result", or why there is none."""

    name: str
    text: str
    kind: Kind


@dataclass(frozen=True)
class Told:
    """What the loop itself says to the model, after an answer that is of no use."""

    text: str
    why: str


@dataclass(frozen=True)
class Ended:
    """`why` is "answered", with the answer as `text`; or the limit that was reached ("steps", "calls", …), or "failed",
    with a sentence."""

    why: str
    text: str = ""


Step = Prompted | Said | Called | Observed | Told | Ended
KINDS: dict[str, type] = {kind.__name__.lower(): kind for kind in (Prompted, Said, Called, Observed, Told, Ended)}


@dataclass(frozen=True)
class Transcript:
    """All that happened.

    Attributes: `steps`; `given`, what the run began with (messages, tools on offer, budget, thinking); `messages`, as
    they stand at the end, to go on with.
    """

    steps: tuple[Step, ...]
    given: dict[str, Any] = field(repr=False)
    messages: list[dict[str, Any]] = field(repr=False)

    @property
    def answer(self) -> str:
        """What the model, or a tool that is final, says in the end; "" if it was stopped before."""
        last = self.steps[-1] if self.steps else None
        return last.text if isinstance(last, Ended) and last.why == "answered" else ""

    @property
    def ended(self) -> str:
        """Why it ended, in a word."""
        last = self.steps[-1] if self.steps else None
        return last.why if isinstance(last, Ended) else ""

    @property
    def why(self) -> str:
        """The same as a sentence, where it is not an answer."""
        last = self.steps[-1] if self.steps else None
        return last.text if isinstance(last, Ended) and last.why != "answered" else ""

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and arguments of every call, in order."""
        return [(step.name, dict(step.arguments)) for step in self.steps if isinstance(step, Called)]

    @property
    def observations(self) -> list[Observed]:
        return [step for step in self.steps if isinstance(step, Observed)]

    def __str__(self) -> str:
        return "\n".join(line(step) for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; pictures in the messages are left out."""
        steps = [{"step": type(step).__name__.lower(), **asdict(step)} for step in self.steps]
        return json.loads(
            json.dumps({"steps": steps, "given": self.given, "messages": self.messages}, default=_left_out)
        )

    def save(self, path: str | Path) -> Path:
        """Write it as a JSON file."""
        path = Path(path)
        path.write_text(json.dumps(self.to_dict(), ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Transcript":
        """What `to_dict` made. Raises InputError for anything else."""
        try:
            steps = tuple(_step(each) for each in found["steps"])
            return cls(steps, dict(found["given"]), list(found["messages"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"This is no transcript ({error}); pass what Transcript.to_dict or save wrote.") from error

    @classmethod
    def load(cls, path: str | Path) -> "Transcript":
        """Read a file that `save` wrote. Raises InputError if it is none."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as a transcript ({error}); pass a file of Transcript.save."
            ) from error


def write_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as the model writes it: texts as they are, everything else as JSON."""
    written = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in arguments.items()}
    values = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in written.items())
    return f"<tool_call>\n<function={name}>\n{values}</function>\n</tool_call>"


def _step(found: Mapping[str, Any]) -> Step:
    values = {key: tuple(value) if key == "malformed" else value for key, value in found.items() if key != "step"}
    return KINDS[found["step"]](**values)


def _left_out(value: Any) -> str:
    return f"({type(value).__name__} left out)"


def line(step: Step) -> str:
    """A step in a line; of a prompt, its last lines."""
    match step:
        case Prompted(text, messages):
            return f"prompt       {messages} messages, {len(text):,} characters"
        case Said(text, finished=finished):
            return f"says         {text!r}{' (cut off)' if finished == 'length' else ''}"
        case Called(name, arguments):
            return f"call         {name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        case Observed(name, text, kind):
            return f"{kind:12} {text!r}"
        case Told(text):
            return f"the loop     {text!r}"
        case Ended(why, text):
            return f"end          {why}{': ' + text if text else ''}"
