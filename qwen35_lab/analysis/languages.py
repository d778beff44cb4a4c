"""The same content in many languages: Unicode's names (CLDR, through Babel), and sentences of our own.

CLDR holds words that programs show: months, weekdays, "in two hours", names of countries and languages, translated by
people who speak the language, for well over a hundred of them. They are lists, not prose: names above all are spelt by
ear, and rarer than the words around them. So both kinds are kept apart, and our own sentences
(`data/texts/sentences.json`), fewer but prose, stand beside them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import InputError
from ..paths import data_path

PLACES = ("year", "month", "week", "day", "hour", "minute", "second")
LEAST = {"countries": 220, "times": 12}  # of a language to be counted as translated; there are 14 sayings of time
KINDS = ("times", "names")


@dataclass(frozen=True)
class Sample:
    """A text: what it is called, its CLDR code ("" for code, numbers and signs), and itself."""

    name: str
    locale: str
    text: str


@cache
def sentences() -> tuple[Sample, ...]:
    """Ours: one thought in many languages, and texts that are in none."""
    rows = json.loads(data_path("texts", "sentences.json").read_text(encoding="utf-8"))
    return tuple(Sample(**row) for row in rows)


@cache
def held_out() -> tuple[str, ...]:
    """Sentences that notebook 01 does not show: exercise 01.1 is judged by them."""
    return tuple(json.loads(data_path("texts", "held_out.json").read_text(encoding="utf-8")))


def texts(samples: Any) -> dict[str, str]:
    """name -> text, as `fertility` takes them."""
    return {sample.name: sample.text for sample in samples}


def parallel(kind: str) -> dict[str, Sample]:
    """CLDR code -> the same list in every language that has it; one form of each language, its usual script.

    Args:
        kind: "times": the twelve months, seven weekdays, and "two hours ago", "in two hours" for seven units, without
            numbers; "names": of the countries and languages that every one of these languages has a name for.
    Raises:
        InputError: another kind; Babel is missing.
    """
    if kind not in KINDS:
        raise InputError(f"There is no kind {kind!r} of parallel text; use {' or '.join(KINDS)}.")
    locales = _translated()
    if kind == "times":
        lists = {code: _months(locale) + list(_sayings(code).values()) for code, locale in locales.items()}
    else:
        lists = _names(locales)
    from babel.lists import format_list

    return {
        code: Sample(locales[code].english_name or code, code, format_list(entries, locale=locales[code]))
        for code, entries in lists.items()
    }


@cache
def _translated() -> dict[str, Any]:
    """The languages that CLDR has months, sayings of time and countries of; `no` is `nb` under another code."""
    try:
        from babel import Locale, localedata
    except ImportError as error:
        raise InputError(
            "The parallel text comes with Babel, which is not installed; run `pip install babel`."
        ) from error
    codes = [code for code in localedata.locale_identifiers() if "_" not in code and code not in ("root", "no")]
    locales = {code: Locale.parse(code) for code in sorted(codes)}
    untranslated = set(_months(Locale.parse("root")))
    return {
        code: locale
        for code, locale in locales.items()
        if len(_countries(locale)) >= LEAST["countries"]
        and len(_sayings(code)) >= LEAST["times"]
        and not untranslated & set(_months(locale)[:12])
    }


def _months(locale: Any) -> list[str]:
    """Months and weekdays."""
    return [*locale.months["format"]["wide"].values(), *locale.days["format"]["wide"].values()]


def _sayings(code: str) -> dict[tuple[str, str], str]:
    """(unit, past or future) -> "… ago", "in …", without the number; only what differs from CLDR's root."""
    from babel import localedata

    own, root = (localedata.load(each)["date_fields"] for each in (code, "root"))
    found = {}
    for place in PLACES:
        for side in ("past", "future"):
            said, raw = (_plain(fields, place, side) for fields in (own, root))
            if said and said != raw:
                found[place, side] = " ".join(said.replace("{0}", " ").split())
    return found


def _plain(fields: Mapping[str, Any], place: str, side: str) -> str:
    return fields.get(place, {}).get(side, {}).get("other") or ""


def _countries(locale: Any) -> set[str]:
    return {code for code in locale.territories if len(code) == 2}


def _names(locales: Mapping[str, Any]) -> dict[str, list[str]]:
    countries = sorted(set.intersection(*map(_countries, locales.values())))
    tongues = sorted(set.intersection(*({c for c in each.languages if "_" not in c} for each in locales.values())))
    return {
        code: [locale.territories[c] for c in countries] + [locale.languages[c] for c in tongues]
        for code, locale in locales.items()
    }
