"""A JSON schema -> a narrower one, in which everything has an end: texts, lists and numbers are bounded.

A grammar that permits endless digits or characters may never let a model finish. What is valid by the narrow schema is
valid by the wide one. Keywords that are not known here are refused, rather than passed over.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

ASIDE = {"title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions"}
OBJECT = {"properties", "required", "additionalProperties"}
OF_TYPE = {
    "string": {"minLength", "maxLength", "pattern", "format"}, "object": OBJECT,
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": set(), "null": set(),
}  # fmt: skip
OF_TYPE["number"] = OF_TYPE["integer"]
PLAIN = r'^[^"\\\x00-\x1f\x7f]*$'  # no escapes: then every character is one character
FORMATS = {"date", "time", "date-time", "uuid", "ipv4"}  # those whose texts have an end
EXACT = 10**15  # floats hold whole numbers up to here, and some


@dataclass(frozen=True)
class Limits:
    """Of what has none in a schema: characters of a text, items of a list, size and decimals of a number."""

    characters: int = 64
    items: int = 8
    number: int = 10**9
    decimals: int = 3


def narrow(schema: Any, limits: Limits | None = None) -> dict[str, Any]:
    """Raises InputError: a keyword that is not supported, a schema that refers to itself, or that nothing satisfies."""
    root = schema if isinstance(schema, Mapping) else {}
    return _Narrow(root, limits or Limits()).one(schema, ())


class _Narrow:
    def __init__(self, root: Mapping[str, Any], limits: Limits):
        self.root, self.limits = root, limits

    def one(self, schema: Any, inside: tuple[str, ...]) -> dict[str, Any]:
        if schema is True or schema == {}:
            return {"anyOf": [self.one({"type": t}, inside) for t in ("string", "number", "boolean", "null")]}
        if not isinstance(schema, Mapping):
            raise InputError(f"A schema is {schema!r}; pass a JSON object, such as {{'type': 'string'}}.")
        found = {key: value for key, value in schema.items() if key not in ASIDE}
        if "$ref" in found:
            return self._refer(found, inside)
        if "anyOf" in found:
            return {"anyOf": [self.one(each, inside) for each in _branches(found)]}
        if "enum" in found or "const" in found:
            return _listed(found)
        kinds = found.pop("type", None) or _guessed(found)
        if kinds is None:
            return self.one(True, inside) if not found else self._refuse(next(iter(found)))
        if isinstance(kinds, list | tuple):
            return {"anyOf": [self._typed(kind, found, inside, strict=False) for kind in kinds]}
        return self._typed(kinds, found, inside)

    def _refuse(self, keyword: str) -> Any:
        raise InputError(f"The keyword {keyword!r} of a schema is not supported; leave it out, or say it otherwise.")

    def _refer(self, found: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        path = found.pop("$ref")
        if found or not isinstance(path, str) or not path.startswith("#/"):
            raise InputError(f"A $ref is {path!r}; it must stand alone, and point into the schema (#/$defs/…).")
        if path in inside:
            raise InputError(f"{path} refers to itself, so that a value could be endless; write its levels out.")
        place: Any = self.root
        for part in path[2:].split("/"):
            if not isinstance(place, Mapping) or part not in place:
                raise InputError(f"There is no {path} in the schema; check the $ref.")
            place = place[part]
        return self.one(place, (*inside, path))

    def _typed(self, kind: Any, found: dict[str, Any], inside: tuple[str, ...], strict: bool = True) -> dict[str, Any]:
        if kind not in OF_TYPE:
            raise InputError(f"A schema has the type {kind!r}; use one of {', '.join(sorted(OF_TYPE))}.")
        if strict and (unknown := [key for key in found if key not in OF_TYPE[kind]]):
            self._refuse(unknown[0])
        own = {key: value for key, value in found.items() if key in OF_TYPE[kind]}
        if kind == "string":
            return self._text(own)
        if kind in ("integer", "number"):
            return _number(kind, own, self.limits)
        if kind == "array":
            return self._list(own, inside)
        if kind == "object":
            return self._object(own, inside)
        return {"type": kind}

    def _text(self, own: dict[str, Any]) -> dict[str, Any]:
        if "format" in own:
            if own["format"] not in FORMATS or len(own) > 1:
                raise InputError(
                    f"The format {own['format']!r} is not supported here; use one of {sorted(FORMATS)}, alone."
                )
            return {"type": "string", **own}
        least = own.get("minLength", 0)
        most = own.get("maxLength", max(self.limits.characters, least))
        _ordered(least, most, "characters of a text")
        return {"type": "string", "minLength": least, "maxLength": most, "pattern": own.get("pattern", PLAIN)}

    def _list(self, own: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        first = [self.one(each, inside) for each in own.get("prefixItems", ())]
        rest, least = own.get("items", True), own.get("minItems", 0)
        most = own.get("maxItems", len(first) if rest is False else max(self.limits.items, least))
        most = min(most, len(first)) if rest is False else most
        _ordered(least, most, "items of a list")
        more = False if rest is False or most <= len(first) else self.one(rest, inside)
        made = {"prefixItems": first} if first else {}
        return {"type": "array", **made, "items": more, "minItems": least, "maxItems": most}

    def _object(self, own: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        """No names but those that the schema has: free ones would have no end."""
        properties, more = dict(own.get("properties", {})), own.get("additionalProperties", True)
        required = list(own.get("required", ()))
        for name in required:
            if name not in properties:
                if more is False:
                    raise InputError(f"A schema requires {name!r}, and has no property of that name; add it.")
                properties[name] = more
        parts = {name: self.one(each, inside) for name, each in properties.items() if each is not False}
        return {"type": "object", "properties": parts, "required": required, "additionalProperties": False}


def _branches(found: dict[str, Any]) -> list[Any]:
    """Of anyOf, each with what stands beside it."""
    branches, beside = found["anyOf"], {key: value for key, value in found.items() if key != "anyOf"}
    if not isinstance(branches, list | tuple) or not branches:
        raise InputError("anyOf needs a list of schemas; pass at least one.")
    if not beside:
        return list(branches)
    if clash := [key for each in branches for key in each if key in beside and each[key] != beside[key]]:
        raise InputError(f"{clash[0]} stands beside anyOf and inside of it; write it inside only.")
    return [beside | dict(each) for each in branches]


def _listed(found: dict[str, Any]) -> dict[str, Any]:
    """An enum, of the type that stands beside it."""
    values = found.get("enum", [found.get("const")])
    if other := [key for key in found if key not in ("enum", "const", "type")]:
        raise InputError(f"{other[0]} stands beside an enum; leave it out, and the values that it excludes.")
    kinds = found.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fits = [value for value in values if kinds is None or any(_is(value, kind) for kind in kinds)]
    if "const" in found:
        fits = [value for value in fits if value == found["const"] and _is(value, _kind(found["const"]))]
    if not fits:
        raise InputError("No value of an enum is of its type; check both.")
    return {"enum": fits}


def _kind(value: Any) -> str:
    return next(
        kind for kind in ("boolean", "null", "integer", "number", "string", "array", "object") if _is(value, kind)
    )


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    python: dict[str, Any] = {
        "null": type(None), "number": (int, float), "string": str, "array": list, "object": dict, "boolean": bool,
    }  # fmt: skip
    return isinstance(value, python[kind])


def _guessed(found: Mapping[str, Any]) -> str | None:
    """The type that keywords without one are about."""
    return next((kind for kind in ("object", "array", "string", "number") if OF_TYPE[kind] & found.keys()), None)


def _number(kind: str, own: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Between two ends, in steps: so a number has a longest form."""
    low, high = own.get("minimum", -math.inf), own.get("maximum", math.inf)
    low, high = max(low, own.get("exclusiveMinimum", low)), min(high, own.get("exclusiveMaximum", high))
    if own.get("multipleOf", 1) <= 0:
        raise InputError(f"multipleOf is {own['multipleOf']!r}; pass a number above 0.")
    room = max(limits.number, 2 * own.get("multipleOf", 1))
    low_end = max(low, -EXACT) if low > -math.inf else max(min(-room, high - room), -EXACT)
    high_end = min(high, EXACT) if high < math.inf else min(max(room, low + room), EXACT)
    _ordered(low_end, high_end, f"sizes of {'a whole number' if kind == 'integer' else 'a number'}")
    made: dict[str, Any] = {"type": kind} | {k: v for k, v in own.items() if k.startswith("exclusive")}
    made |= {"minimum": low_end, "maximum": high_end}
    if kind == "number":
        wide = high_end - low_end
        finer = limits.decimals if wide >= 1 else limits.decimals - math.floor(math.log10(wide)) if wide else 0
        made["multipleOf"] = own.get("multipleOf", 10.0**-finer)
        if not wide:
            return {"enum": [low_end]}
    elif "multipleOf" in own:
        made["multipleOf"] = own["multipleOf"]
    return made


def _ordered(least: float, most: float, what: str) -> None:
    if least > most:
        raise InputError(f"A schema asks for {least} to {most} {what}, and nothing is both; check its limits.")
