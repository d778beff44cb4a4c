"""The text of a tool call -> its name and arguments, by the schemas of the tools.

    <tool_call>
    <function=NAME>
    <parameter=KEY>
    VALUE
    </parameter>
    </function>
    </tool_call>

The form says nothing of types and escapes nothing. So the schema says what a value is, and a value ends only where its
end tag is followed by another parameter or by the end of the whole call: end tags that it holds itself, as code about
such calls does, belong to it. Where no type is known a value is its text, exactly.

Reference: the chat template of the Qwen3.5 checkpoints; the form is Qwen3-Coder's, where Qwen3 had JSON.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OPEN, CLOSE = "<tool_call>", "</tool_call>"

_HEAD = re.compile(OPEN + r"\s*<function=([^>\n]+)>")
_KEY = re.compile(r"\s*<parameter=([^>\n]+)>\n?")
_VALUE_END = re.compile(rf"\n?</parameter>(?=\s*(?:<parameter=[^>\n]+>|</function>\s*{CLOSE}))")
_TAIL = re.compile(rf"\s*</function>\s*{CLOSE}")


@dataclass(frozen=True)
class ToolCall:
    """What the model asks for: a function's name, and arguments of the types that its schema gives them."""

    name: str
    arguments: dict[str, Any]

    @property
    def message(self) -> dict[str, Any]:
        """As it stands under `tool_calls` in a message."""
        return {"type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class NoCall(ValueError):
    """A text that is not a call; the message says why. It does not leave the parser of answers."""


def read_call(text: str, tools: Sequence[Mapping[str, Any]] = ()) -> ToolCall | None:
    """One call, from its first tag to a `</tool_call>`; None if that tag belongs to a value, so that more must follow.

    Args:
        tools: JSON schemas, `{"type": "function", "function": {"name", "parameters", …}}`.
    Raises:
        NoCall: there is no such call, or a value is not of its type.
    """
    head = _HEAD.match(text)
    if not head:
        raise NoCall(f"{OPEN} is not followed by <function=NAME>")
    properties, arguments = _properties(head[1], tools), {}
    position = head.end()
    while not (tail := _TAIL.match(text, position)):
        key = _KEY.match(text, position)
        if not key:
            raise NoCall(f"the call of {head[1]} holds something that is no parameter")
        end = _VALUE_END.search(text, key.end())
        if not end:
            return None
        if key[1] in arguments:
            raise NoCall(f"the call of {head[1]} gives {key[1]} twice")
        arguments[key[1]] = read_value(text[key.end() : end.start()], key[1], properties.get(key[1]))
        position = end.end()
    if tail.end() < len(text):  # the tags end earlier than the text that was cut out
        raise NoCall(f"the call of {head[1]} goes on after its end")
    return ToolCall(head[1], arguments)


def _properties(name: str, tools: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for tool in tools:
        function = tool.get("function", tool)
        if function.get("name") == name:
            return _mapping(_mapping(function.get("parameters")).get("properties"))
    return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    """What is out of form in a schema says nothing: no answer is lost over it."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def read_value(text: str, name: str, schema: Any = None) -> Any:
    """A value of the first type in its schema that it can be; text comes last, for everything can be that.

    Raises:
        NoCall: it is of none of the types.
    """
    if not isinstance(schema, Mapping):
        return text
    for choice in _list(schema.get("enum")) or ([schema["const"]] if "const" in schema else ()):
        if text in (choice, json.dumps(choice, ensure_ascii=False, default=str), str(choice)):
            return choice
    types = {kind for kind in _types(schema) if kind in (*_IS, "string")}
    found = _json(text)
    for kind in (kind for kind in _IS if kind in types):
        if isinstance(found, float) and kind == "integer" and found.is_integer():
            return int(found)
        if _IS[kind](found):
            return found
    if not types or "string" in types:
        return text
    shown = text if len(text) <= 40 else text[:39] + "…"
    raise NoCall(f"{name} is {shown!r}, which is not of type {' or '.join(sorted(types))}")


def _types(schema: Mapping[str, Any]) -> Iterator[Any]:
    kinds = schema.get("type")
    yield from (kinds,) if isinstance(kinds, str) else _list(kinds)
    if schema.get("nullable"):
        yield "null"
    for each in (*_list(schema.get("anyOf")), *_list(schema.get("oneOf"))):
        yield from _types(_mapping(each))


_IS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}
_NOTHING = object()  # None is a value


def _no_number(word: str) -> Any:
    """NaN and Infinity, which Python takes for JSON, and which no tool could be sent."""
    raise ValueError(word)


_PYTHON = {"True": True, "False": False, "None": None}  # as the official template writes them outside of lists


def _json(text: str) -> Any:
    try:
        return _PYTHON[text] if text in _PYTHON else json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):  # the latter from a thousand brackets
        return _NOTHING
