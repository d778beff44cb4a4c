"""A Python type -> the JSON schema that a model reads, and what it sends -> a value of that type.

`str`, `int`, `float`, `bool`, `None`, `list[T]`, `dict[str, T]`, `Literal[…]`, `T | None` and other unions, `Any`, and
dataclasses of these. A model's numbers often come as text, so text that is one for sure is taken for it; nothing else
is guessed.
"""

import json
import math
import types
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import InputError

NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
SHOWN = 60  # characters of a value that a sentence quotes


class Misfit(ValueError):
    """A value that is not of its type; the message is the sentence that the model reads."""


def describe(kind: Any) -> dict[str, Any]:
    """The JSON schema of a type. Raises InputError for one that JSON has no word for."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if kind in NAMES:
        return {"type": NAMES[kind]}
    if origin is Literal:
        return _choice(inner)
    if origin in (Union, types.UnionType):
        return {"anyOf": [describe(each) for each in inner]}
    if (origin or kind) is list:
        return {"type": "array"} | ({"items": describe(inner[0])} if inner else {})
    if (origin or kind) is dict and (not inner or inner[0] is str):
        return {"type": "object"} | ({"additionalProperties": describe(inner[1])} if inner else {})
    if is_dataclass(kind) and isinstance(kind, type):
        return _fields(kind)
    raise InputError(
        f"A tool cannot take {_name(kind)}; use str, int, float, bool, list, dict with text keys, Literal, "
        "Optional, or a dataclass of these."
    )


def _choice(words: tuple[Any, ...]) -> dict[str, Any]:
    kinds = {type(word) for word in words}
    if not kinds <= set(NAMES):
        raise InputError("A Literal of a tool holds something that is no JSON; use texts, numbers, True, False, None.")
    return ({"type": NAMES[kinds.pop()]} if len(kinds) == 1 else {}) | {"enum": list(words)}


def _fields(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    taken = [field for field in fields(kind) if field.init]
    properties = {field.name: describe(hints[field.name]) for field in taken}
    required = [field.name for field in taken if field.default is MISSING and field.default_factory is MISSING]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def convert(value: Any, kind: Any, name: str) -> Any:
    """The value as one of its type.

    Args:
        name: of the parameter, which the sentence begins with.
    Raises:
        Misfit: it is of another type, and cannot be read as one of this.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        return _chosen(value, inner, name)
    if origin in (Union, types.UnionType):
        return _either(value, inner, name)
    if kind in NAMES:
        return _plain(value, kind, name)
    if (origin or kind) is list:
        items = _opened(value, list, "a list", name)
        return [convert(item, inner[0], f"{name}[{n}]") for n, item in enumerate(items)] if inner else items
    given = _opened(value, dict, "an object", name)
    if is_dataclass(kind) and isinstance(kind, type):
        return _built(given, kind, name)
    if not inner:
        return given
    return {str(key): convert(item, inner[1], f"{name}.{key}") for key, item in given.items()}


def _plain(value: Any, kind: type, name: str) -> Any:
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)  # what a server took for a number
    if isinstance(value, str) and kind is not str:
        value = _read(value)
    if kind is int and isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return _finite(value, name)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return _finite(value, name) if kind is float else value
    raise Misfit(f"{name} must be {WORDS[kind]}, not {shown(value)}")


def _finite(value: Any, name: str) -> float:
    try:
        if math.isfinite(number := float(value)):
            return number
    except OverflowError:  # a whole number with hundreds of digits
        pass
    raise Misfit(f"{name} must be a finite number, not {shown(value)}")


def _chosen(value: Any, words: tuple[Any, ...], name: str) -> Any:
    for word in words:
        if value == word and type(value) is type(word):
            return word
    for word in words:
        if isinstance(value, str) and value in (str(word), json.dumps(word)):
            return word
    raise Misfit(f"{name} must be {' or '.join(json.dumps(w, ensure_ascii=False) for w in words)}, not {shown(value)}")


def _either(value: Any, kinds: tuple[Any, ...], name: str) -> Any:
    """The first type that it is already; else the first that it can be read as, where text comes last."""
    for kind in kinds:
        if kind in NAMES and type(value) is kind and not (kind is str and type(None) in kinds and value == "null"):
            return value
    for kind in sorted(kinds, key=lambda each: each is str):
        try:
            return convert(value, kind, name)
        except Misfit:
            continue
    raise Misfit(f"{name} must be {' or '.join(_word(kind) for kind in kinds)}, not {shown(value)}")


def _built(given: dict[str, Any], kind: type, name: str) -> Any:
    hints, schema = get_type_hints(kind), describe(kind)
    refuse_names(given, schema, f"{name} ")
    values = {key: convert(value, hints[key], f"{name}.{key}") for key, value in given.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:  # of its __post_init__
        raise Misfit(f"{name} is not accepted: {error}") from error


def refuse_names(given: dict[str, Any], schema: dict[str, Any], owner: str = "") -> None:
    """Raises Misfit for a required name that is missing, or one that there is not."""
    known, required = list(schema["properties"]), schema["required"]
    if missing := [key for key in required if key not in given]:
        raise Misfit(f"{owner}needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} missing")
    if unknown := [key for key in given if key not in known]:
        takes = f"only {', '.join(known)}" if known else "nothing"
        raise Misfit(f"{owner}does not know {shown(unknown[0])}; it takes {takes}")


def _opened(value: Any, kind: type, word: str, name: str) -> Any:
    """Lists and objects also come as JSON text."""
    found = _read(value) if isinstance(value, str) else value
    if isinstance(found, kind):
        return found
    raise Misfit(f"{name} must be {word}, not {shown(value)}")


_PYTHON: dict[str, Any] = {"True": True, "False": False, "None": None}


def _read(text: str) -> Any:
    try:
        return _PYTHON[text] if text in _PYTHON else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _word(kind: Any) -> str:
    known: dict[Any, str] = {**WORDS, list: "a list", dict: "an object"}
    return known.get(kind) or known.get(get_origin(kind)) or ("an object" if is_dataclass(kind) else _name(kind))


def _name(kind: Any) -> str:
    name: Callable[[Any], str] = repr
    return kind.__name__ if isinstance(kind, type) else name(kind)


def shown(value: Any) -> str:
    """For a sentence: as JSON, and not long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
