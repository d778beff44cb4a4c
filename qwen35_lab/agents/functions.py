"""A typed Python function -> a tool: what the model reads about it, and how it is called.

    @lab.tool
    def lookup(name: str, field: Literal["age", "city"]) -> str:
        \"\"\"Look up a person

        Args:
            name: as in the table.
        \"\"\"

The schema comes of the annotations and the docstring (Google's style; lines for arguments may be missing). Where a
function says what it `needs`, it is run only if the caller allows that.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints, overload

from ..errors import InputError
from .schema import Misfit, convert, describe, refuse_names

Need = Literal["network", "files", "shell"]
NEEDS: tuple[Need, ...] = get_args(Need)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Tool:
    """A function on offer.

    Attributes: `name`; `function`; `schema`, its parameters as JSON schema; `description`; `needs`, of "network",
    "files" (to write them) and "shell"; `seconds`, that a call may take; `characters`, of its answer that the model
    reads; `final`, its answer is the loop's, if it was the only call of its turn.
    """

    name: str
    function: Callable[..., Any]
    description: str
    schema: Mapping[str, Any]
    kinds: Mapping[str, Any] = field(repr=False)
    needs: frozenset[Need] = frozenset()
    seconds: float = 10.0
    characters: int = 2000
    final: bool = False

    @property
    def offer(self) -> dict[str, Any]:
        """As chat templates and servers take it."""
        about = {"name": self.name, "description": self.description, "parameters": dict(self.schema)}
        return {"type": "function", "function": about}

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, converted to the types of the parameters. Raises Misfit, in one sentence."""
        given = dict(arguments)
        refuse_names(given, dict(self.schema), f"{self.name} ")
        return {key: convert(value, self.kinds[key], key) for key, value in given.items()}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@overload
def tool(function: Callable[..., Any]) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    needs: Iterable[Need] = (),
    seconds: float = 10.0,
    characters: int = 2000,
    final: bool = False,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None, *, name: str | None = None, needs: Iterable[Need] = (),
    seconds: float = 10.0, characters: int = 2000, final: bool = False,
) -> Any:  # fmt: skip
    """Make a tool of a function; with or without settings, as a decorator or not.

    Args:
        name: for the model, if not the function's own.
        needs: what it does besides computing: "network", "files" (writes some), "shell".
        seconds: that a call may take.
        characters: of its answer that the model gets to read.
        final: a result is the answer; the model is not asked to say it again, and cannot say it wrongly.
    Raises:
        InputError: no docstring, a parameter without a type, or one of a type that JSON has no word for.
    """
    if function is None:
        return lambda each: tool_of(each, name, needs, seconds, characters, final)
    return tool_of(function, name, needs, seconds, characters, final)


def tool_of(
    function: Callable[..., Any],
    name: str | None,
    needs: Iterable[Need],
    seconds: float,
    characters: int,
    final: bool,
) -> Tool:
    """What `tool` makes, settings checked."""
    called = name or getattr(function, "__name__", "")
    if not NAME.fullmatch(called):
        raise InputError(f"A tool cannot be called {called!r}; give it a name of letters, digits and _.")
    wanted: frozenset[Any] = frozenset((needs,) if isinstance(needs, str) else needs)
    if unknown := wanted - set(NEEDS):
        raise InputError(f"{called} needs {sorted(unknown)[0]!r}, and may need {', '.join(NEEDS)}; name one.")
    if not seconds > 0 or characters < 1:
        raise InputError(f"{called} may take {seconds} seconds and say {characters} characters; pass numbers above 0.")
    about, lines = _read_docstring(function, called)
    kinds, schema = _parameters(function, called, lines)
    return Tool(called, function, about, schema, kinds, wanted, float(seconds), characters, final)


def _parameters(
    function: Callable[..., Any], name: str, lines: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    hints = get_type_hints(function)
    kinds: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise InputError(f"{name} takes {parameter}; a tool's parameters have names, so write them out.")
        if parameter.name not in hints:
            raise InputError(f"{name} does not say of which type {parameter.name} is; annotate it.")
        kinds[parameter.name] = kind = hints[parameter.name]
        properties[parameter.name] = describe(kind)
        if parameter.name in lines:
            properties[parameter.name]["description"] = lines[parameter.name]
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif _is_json(parameter.default, kind):
            properties[parameter.name]["default"] = parameter.default
    return kinds, {"type": "object", "properties": properties, "required": required}


def _is_json(value: Any, kind: Any) -> bool:
    try:
        return isinstance(value, str | int | float | bool | None) and convert(value, kind, "it") == value
    except Misfit:
        return False


_SECTION = re.compile(r"^(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^(\s+)(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def _read_docstring(function: Callable[..., Any], name: str) -> tuple[str, dict[str, str]]:
    """What it does, and a line for each argument that has one."""
    text = inspect.getdoc(function)
    if not text or not text.strip():
        raise InputError(f"{name} has no docstring, and the model would not know what it does; write one.")
    about, *sections = _SECTION.split(text)
    told = next((body for title, body in zip(sections[::2], sections[1::2]) if title[0] in "AP"), "")
    lines: dict[str, str] = {}
    latest, indent = "", 0
    for line in told.splitlines():
        found = _ARGUMENT.match(line)
        if found and (not latest or len(found[1]) <= indent):
            latest, indent = found[2], len(found[1])
            lines[latest] = found[3].strip()
        elif latest and line.strip():
            lines[latest] = f"{lines[latest]} {line.strip()}".strip()
    return " ".join(about.split()), lines
