"""Typed look-ups in a parsed JSON object, which name the field when it is missing or of the wrong kind."""

import math
from collections.abc import Mapping
from typing import Any

from .errors import ConfigError


class Reader:
    """One object of a `config.json`. `where` is its path, put before the field's name in every message.

    A field that is null counts as missing, as it does in transformers.
    """

    def __init__(self, raw: Any, where: str = ""):
        if not isinstance(raw, Mapping):
            field = f"The field `{where.rstrip('.')}`" if where else "A config"
            raise ConfigError(f"{field} is {_shown(raw)}, not a JSON object; pass the contents of config.json.")
        self.raw, self.where = raw, where

    def error(self, name: str, problem: str) -> ConfigError:
        return ConfigError(f"The field `{self.where}{name}` {problem}; correct config.json or load another checkpoint.")

    def size(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number, at least `least`."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            kind = "a positive whole number" if least else "a whole number that is not negative"
            raise self.error(name, f"is {_shown(value)}, not {kind}")
        return value

    def number(self, name: str, default: float | None = None, *, positive: bool = False) -> float:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(name, f"is {_shown(value)}, not a number")
        if positive and value <= 0:
            raise self.error(name, f"is {_shown(value)}, not a positive number")
        return float(value)

    def name(self, name: str) -> str | None:
        """A word, or None where there is none."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, str):
            raise self.error(name, f"is {_shown(value)}, not a name")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.error(name, f"is {_shown(value)}, not true or false")
        return value

    def choice(self, name: str, default: str, known: tuple[str, ...]) -> str:
        value = self._value(name, default)
        if value not in known:
            raise self.error(name, f"is {_shown(value)}, not {' or '.join(known)}")
        return value

    def token(self, name: str) -> int | None:
        """A token id, or None where there is none."""
        return None if self.raw.get(name) is None else self.size(name, least=0)

    def _value(self, name: str, default: Any) -> Any:
        value = self.raw.get(name)
        value = default if value is None else value
        if value is None:
            raise self.error(name, "is missing")
        return value


def _shown(value: Any) -> str:
    """A value in a message: itself if short, else its beginning."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
