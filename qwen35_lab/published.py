"""Tables that others have published, with source and date: scores, prices, features. Read and checked, never filled in.

`data/benchmarks.csv` has one number per row, as it was printed: where a table prints two numbers for a model, made in
two settings, these are two rows; where it prints none, there is no row. Facts only; the words are ours.
"""

import csv
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from .errors import InputError
from .paths import data_path

Rule = Callable[[str], Any]  # text of a cell -> its value; a ValueError says what is expected

FIRST_DAY = "2025-01-01"  # nothing in these tables is older
TABLES = {
    "397b_base": "base models, beside Qwen3.5-397B-A17B-Base",
    "397b_language": "language, beside Qwen3.5-397B-A17B",
    "397b_vision": "vision, beside Qwen3.5-397B-A17B",
    "medium_language": "language, beside 122B-A10B, 27B and 35B-A3B",
    "medium_vision": "vision, beside 122B-A10B, 27B and 35B-A3B",
    "small_language": "language, beside 9B and 4B",
    "small_vision": "vision, beside 9B and 4B",
    "tiny_language_thinking": "language with thinking, beside 2B and 0.8B",
    "tiny_language_nonthinking": "language without thinking, beside 2B and 0.8B",
    "tiny_vision": "vision, beside 2B and 0.8B",
}


@dataclass(frozen=True)
class Score:
    """One number of a published table."""

    table: str  # one of TABLES
    benchmark: str  # as printed
    category: str
    model: str  # as printed
    score: float  # in percent, but for a rating
    setting: str  # as far as it was printed: "thinking", "discard-all"; empty where nothing was
    date: str
    source: str
    note: str


@dataclass(frozen=True)
class Feature:
    """What a model offers beside its scores and prices."""

    model: str
    feature: str
    value: str
    date: str
    source: str
    note: str


# ------------------------------------------------------------------------------------------------ rules for one cell


def words(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def anything(value: str) -> str:
    return value


def number(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        raise ValueError("must be a plain number, such as 0.6, without unit and sign of currency") from None
    if not 0 <= found < float("inf"):
        raise ValueError("must be 0 or more, and finite")
    return found


def maybe_number(value: str) -> float | None:
    return number(value) if value else None


def maybe_count(value: str) -> int | None:
    found = maybe_number(value)
    if found is not None and found != int(found):
        raise ValueError("must be a whole number of tokens")
    return None if found is None else int(found)


def day(value: str) -> str:
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a day written as 2026-03-11: year, month, day") from None
    if found.isoformat() != value:
        raise ValueError("must be written as 2026-03-11: year, month, day")
    if value < FIRST_DAY or found > date.today():
        raise ValueError(f"must lie between {FIRST_DAY} and today: the day on which the number stood there")
    return value


def place(value: str) -> str:
    """A source: enough words, or an address, to find the very page again."""
    vague = ("web", "website", "internet", "online", "google", "official", "docs", "memory", "unknown", "n/a", "todo")
    if not value or value.lower().strip(" .") in vague:
        raise ValueError("must say where the number can be read again, such as a page's address or a file at a commit")
    if "from memory" in value.lower():
        raise ValueError("must be where it stands, and not from memory; look it up, or leave the row out")
    bare = value.split("://")[-1].strip("/")
    if " " not in value and ("/" not in bare and ":" not in bare):
        raise ValueError("names a whole site, or a single word; name the page or file on which the number stands")
    return value


def one_of(*known: str) -> Rule:
    def rule(value: str) -> str:
        if value not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value

    return rule


NUMBERS = (number, maybe_number, maybe_count)
SCHEMAS: dict[str, dict[str, Rule]] = {
    "benchmarks": {
        "table": one_of(*TABLES), "benchmark": words, "category": words, "model": words, "score": number,
        "setting": anything, "date": day, "source": place, "note": anything,
    },
    "competitors": {
        "model": words, "feature": words, "value": words, "date": day, "source": place, "note": anything,
    },
    "pricing": {
        "date": day, "model": words, "provider": words, "usd_in": number, "usd_out": number,
        "usd_cached": maybe_number, "above_tokens": maybe_count, "usd_in_above": maybe_number,
        "usd_out_above": maybe_number, "usd_cached_above": maybe_number, "context": maybe_count,
        "listed_as": words, "source": place, "note": anything,
    },
}  # fmt: skip


# ------------------------------------------------------------------------------------------------ rows and files


def check_row(table: str, row: Mapping[str, Any], schema: Mapping[str, Rule] | None = None) -> dict[str, Any]:
    """The values of a row, or an `InputError` of one sentence about the first cell that breaks the table's rules.

    Args:
        table: one of `SCHEMAS`, for the message too.
        row: column -> text, as a CSV reader gives it; numbers may be numbers.
        schema: rules of a table that is not among `SCHEMAS`.
    """
    rules = SCHEMAS[table] if schema is None else schema
    if unknown := [str(name) for name in row if name not in rules]:
        raise InputError(f"{table} has no column {unknown[0]!r}; its columns are {', '.join(rules)}.")
    found = {}
    for column, rule in rules.items():
        value = row.get(column)
        if not isinstance(value, str | int | float | None if rule in NUMBERS else str | None):
            raise InputError(f"In {table}, `{column}` is a {type(value).__name__}; write it as text.")
        text = ""
        try:
            text = "" if value is None else str(value).strip()
            found[column] = rule(text)
        except ValueError as error:
            raise InputError(f"In {table}, `{column}` is {_shortened(text)!r}; it {_joined(error)}.") from None
    return found


def read_table(table: str, schema: Mapping[str, Rule] | None = None, path: Path | None = None) -> list[dict[str, Any]]:
    """All rows of `data/<table>.csv`, checked; an `InputError` names file and line of one that is wrong."""
    path = path or data_path(f"{table}.csv")
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path.name}, line {reader.line_num}: it has more or fewer cells than columns.")
            try:
                rows.append(check_row(table, row, schema))
            except InputError as error:
                raise InputError(f"{path.name}, line {reader.line_num}: {error}") from None
    return rows


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _joined(error: ValueError) -> str:
    return str(error).rstrip(".")


@cache
def _scores() -> tuple[Score, ...]:
    return tuple(Score(**row) for row in read_table("benchmarks"))


def scores(
    *, table: str | Iterable[str] | None = None, benchmark: str | None = None, category: str | None = None,
    model: str | None = None,
) -> tuple[Score, ...]:  # fmt: skip
    """Published scores, in the order of their tables; each filter keeps the rows that have that very name.

    Raises:
        InputError: a name that no row has.
    """
    found = _scores()
    tables = (table,) if isinstance(table, str) else table
    for field, wanted in (("table", tables), ("benchmark", benchmark), ("category", category), ("model", model)):
        if wanted is None:
            continue
        names = {wanted} if isinstance(wanted, str) else set(wanted)
        for name in names:
            must_be_known(name, [getattr(score, field) for score in _scores()], field)
        found = tuple(score for score in found if getattr(score, field) in names)
    return found


def features() -> tuple[Feature, ...]:
    """What models offer, by model and feature."""
    return tuple(Feature(**row) for row in read_table("competitors"))


def must_be_known(name: str, names: Iterable[str], field: str) -> None:
    """Refuse a name that is not there, with one that is near."""
    every = dict.fromkeys(names)
    if name in every:
        return
    near = difflib.get_close_matches(str(name), every, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(list(every)[:12])} …"
    raise InputError(f"There is no {field} {str(name)!r} in the published tables; {hint}")
