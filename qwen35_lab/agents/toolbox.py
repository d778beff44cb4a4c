"""The tools on offer, and what becomes of a call: a result, or one sentence that says why there is none.

Nothing that a model sends, and nothing that a tool does, raises an error here: it becomes an observation.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError
from ..inputs import ToolCall
from .functions import NEEDS, Need, Tool, tool
from .guard import NotAllowed, kept_to
from .schema import Misfit, shown

Kind = Literal["result", "cut", "unknown", "arguments", "not allowed", "error", "timeout", "repeated"]
Given = Tool | Callable[..., Any]


@dataclass(frozen=True)
class Observation:
    """What the model is told of a call. `kind` is "result", "cut" (a result that was too long), or what went wrong."""

    text: str
    kind: Kind = "result"

    @property
    def ok(self) -> bool:
        return self.kind in ("result", "cut")


class Toolbox:
    """Tools by name.

    Args:
        tools: functions or `Tool`s.
        allow: what tools may do that say they need it: "network", "files", "shell"; nothing unless given.
    Raises:
        InputError: two tools of one name, a function that is no tool, or something unknown that is allowed.
    """

    def __init__(self, tools: Iterable[Given] = (), *, allow: Iterable[Need] = ()):
        self.allowed: frozenset[Any] = frozenset((allow,) if isinstance(allow, str) else allow)
        if unknown := self.allowed - set(NEEDS):
            raise InputError(f"{sorted(unknown)[0]!r} cannot be allowed; choose from {', '.join(NEEDS)}.")
        self._tools: dict[str, Tool] = {}
        for each in (tools,) if callable(tools) else tools:
            made = each if isinstance(each, Tool) else tool(each)
            if made.name in self._tools:
                raise InputError(f"Two tools are called {made.name}; give one of them another name.")
            self._tools[made.name] = made

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __getitem__(self, name: str) -> Tool:
        if name not in self._tools:
            raise InputError(f"There is no tool {name!r}; there are {', '.join(self._tools) or 'none'}.")
        return self._tools[name]

    @property
    def offers(self) -> list[dict[str, Any]]:
        """As JSON schemas, for the chat template."""
        return [each.offer for each in self]

    def is_final(self, name: str) -> bool:
        """Whether a result of this tool is an answer."""
        return name in self._tools and self._tools[name].final

    def run(self, call: ToolCall) -> Observation:
        return self.run_all([call])[0]

    def run_all(self, calls: Sequence[ToolCall]) -> list[Observation]:
        """The calls of one turn, at the same time, each in a thread of its own; observations in the calls' order.

        A tool that takes longer than its `seconds` is no longer waited for. Python cannot stop a thread, so it may run
        on unseen; what it says then is dropped.
        """
        waiting = [self._begin(call) for call in calls]
        return [each() for each in waiting]

    def _begin(self, call: ToolCall) -> Callable[[], Observation]:
        """Start it; what comes back waits for the end."""
        made = self._tools.get(call.name)
        if made is None:
            there = f"there are {', '.join(self._tools)}" if self._tools else "there are none"
            return _known(f"There is no tool {shown(call.name)}; {there}.", "unknown")
        if missing := sorted(made.needs - self.allowed):
            return _known(f"{made.name} needs {' and '.join(missing)}, which is not allowed here.", "not allowed")
        try:
            arguments = made.read(call.arguments)
        except Misfit as error:
            return _known(f"{error}.", "arguments")
        return _start(made, arguments)


def _known(text: str, kind: Kind) -> Callable[[], Observation]:
    return lambda: Observation(text, kind)


def _start(made: Tool, arguments: dict[str, Any]) -> Callable[[], Observation]:
    done, found = threading.Event(), []

    def work() -> None:
        try:
            with kept_to(made.needs):
                found.append(_told(made.function(**arguments), made))
        except NotAllowed as error:
            found.append(Observation(f"{made.name} was stopped: {error}.", "not allowed"))
        except BaseException as error:  # also SystemExit: a tool does not end the program
            found.append(Observation(f"{made.name} failed: {_reason(error)}.", "error"))
        finally:
            done.set()

    threading.Thread(target=work, name=f"tool {made.name}", daemon=True).start()

    def wait() -> Observation:
        if done.wait(made.seconds):
            return found[0]
        return Observation(f"{made.name} did not answer within {made.seconds:g} seconds.", "timeout")

    return wait


def _told(result: Any, made: Tool) -> Observation:
    """A result as text, cut where it is too long."""
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    if len(text) <= made.characters:
        return Observation(text)
    left = len(text) - made.characters
    return Observation(f"{text[: made.characters]} [{left:,} more characters were left out]", "cut")


def _reason(error: BaseException) -> str:
    said = " ".join(str(error).split()).rstrip(".")
    name = type(error).__name__
    return f"{name}: {said[:200]}" if said else name
