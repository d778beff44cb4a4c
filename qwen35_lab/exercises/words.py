"""The exercises of notebook 01: tokens per word, a prompt written by hand, and five languages in order."""

import re
from collections.abc import Callable, Sequence
from functools import cache, wraps
from itertools import product
from typing import Any

from ..analysis.fertility import Fertility, rank_correlation
from ..analysis.languages import held_out
from ..analysis.scripts import words
from ..errors import InputError
from ..inputs.vocabularies import vocabulary
from .numbers import as_number, shown
from .verdict import attempt

Encode = Callable[[str], list[int]]

# ----------------------------------------------------------------------------------- 01.1  fertility(text, encode)


def encode(text: str) -> list[int]:
    """Ids of Qwen3.5, and <|endoftext|> behind them, as in a document of the training."""
    official = vocabulary("Qwen3.5")
    return [*official.encode(text), official.special["<|endoftext|>"]]


def fertility(text: str, encode: Encode) -> float | None:
    """The oracle: tokens per word, None where blanks do not part the words."""
    return _fertility(text, encode)


def _letters_and_digits(text: str) -> int:
    import regex

    return len(regex.findall(r"[\p{L}\p{M}\p{N}]+", text))


def _letters_only(text: str) -> int:
    import regex

    return len(regex.findall(r"[\p{L}\p{M}]+", text))


# unit -> what to tell whoever divides by it
UNITS: dict[Callable[[str], int], str] = {
    _letters_and_digits: "",
    lambda text: len(text.split()): "You split at blanks, so that a dash or an emoji between two of them is a word; a "
    "word is a run of letters, marks and digits.",
    lambda text: len(re.findall(r"\w+", text)): r"Python's `\w` knows no marks, so that a Hindi word falls apart at "
    r"each vowel sign; `[\p{L}\p{M}\p{N}]+` of the package `regex` keeps them, or `unicodedata.category`.",
    _letters_only: "A number is a word as well: letters, marks *and digits*.",
    len: "You divide by characters; divide by words.",
    lambda text: len(text.encode()): "You divide by bytes; divide by words.",
    lambda text: 1: "You count the tokens; divide them by the number of words.",
    lambda text: text.count(" ") + 1: "You count blanks; two in a row are one gap, and a dash between two is no word.",
}
SPECIALS = {
    False: "",
    True: "`encode` ends the text with <|endoftext|>, which belongs to no word; leave special tokens out.",
}
BLANKS = {
    True: "",
    False: "For a text in Thai, Chinese or Japanese there must be no number but None: blanks do not part their words.",
}
TURNED = {False: "", True: "It is turned over: tokens for each word, so that more is worse."}


def _fertility(
    text: str, encode: Encode, unit: Callable[[str], int] = _letters_and_digits, special: bool = False,
    none: bool = True, turned: bool = False,
) -> float | None:  # fmt: skip
    """The rule, with a wrong unit, special tokens counted, a number where there must be none, or turned over."""
    if none and words(text) is None:
        return None
    tokens, parts = len(encode(text)) - (not special), unit(text)
    return parts / tokens if turned else tokens / parts


@cache
def _known_mistakes() -> list[tuple[str, tuple[float | None, ...]]]:
    """(what to say, the results on the held-out sentences), those with fewest mistakes first."""
    found = []
    for unit, special, none, turned in product(UNITS, SPECIALS, BLANKS, TURNED):
        told = [said for said in (UNITS[unit], SPECIALS[special], BLANKS[none], TURNED[turned]) if said]
        results = tuple(_fertility(text, encode, unit, special, none, turned) for text in held_out())
        found.append((len(told), " ".join(told), results))
    return [(told, results) for _, told, results in sorted(found, key=lambda each: each[0])]


def check_fertility(answer: Any, given: Any) -> tuple[bool, str]:
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    function: Callable[..., Any] = answer

    @wraps(function)
    def boxed(text: str, encode: Encode) -> tuple[Any]:  # None is an answer here
        return (function(text, encode),)

    found: list[float | None] = []
    for text in held_out():
        result, problem = attempt(boxed, (text, encode), "(text, encode)")
        if problem:
            return False, problem
        number = as_number(result[0])
        if number is None and result[0] is not None:
            return False, f"For “{text}” it returns a {type(result[0]).__name__}; return a number, or None."
        found.append(number)
    if all(each is None for each in found):
        return False, "It returns nothing yet: end the function with `return` and the result."
    for told, results in _known_mistakes():
        if all(_same(a, b) for a, b in zip(found, results, strict=True)):
            return (False, told) if told else (True, _praise(found))
    wrong = [(t, a, fertility(t, encode)) for t, a in zip(held_out(), found, strict=True)]
    text, mine, right = next(each for each in wrong if not _same(each[1], each[2]))
    count = sum(not _same(a, b) for _, a, b in wrong)
    return False, (
        f"Not yet, and not a mistake this checker knows: wrong for {count} of {len(found)} sentences. For “{text}” it "
        f"says {_number(mine)}, not {_number(right)}."
    )


def _same(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else abs(a - b) <= 1e-6 * max(1.0, abs(b))


def _number(value: float | None) -> str:
    return "None" if value is None else f"{value:.3f}"


def _praise(found: Sequence[float | None]) -> str:
    numbers = [each for each in found if each is not None]
    return (
        f"Right for {len(found)} sentences that you have not seen: {min(numbers):.2f} to {max(numbers):.2f} tokens per "
        f"word, and {len(found) - len(numbers)} of them have no words that blanks part."
    )


# ----------------------------------------------------------------------------------- 01.3  five languages in order

ENOUGH = 0.7  # rank correlation: two neighbours, or two pairs of neighbours, may be exchanged


def check_order(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge an order of languages by the rank correlation with what `given`, a `Fertility`, has counted."""
    if not isinstance(given, Fertility) or len(given.texts) < 3:
        raise InputError("This exercise is about texts that were counted; pass given=lab.analysis.fertility(texts, …).")
    names = list(given.texts)
    if answer is ... or answer is None:
        return False, f"No answer yet: put {', '.join(names)} in order, the largest saving first."
    if isinstance(answer, str) or not isinstance(answer, list | tuple):
        return False, f"Answer with a list of names; this is a {type(answer).__name__}."
    if problem := _not_the_names(list(answer), names):
        return False, problem
    saved = dict(zip(names, given.saved().tolist(), strict=True))
    places = [-n for n in range(len(answer))]
    score = rank_correlation(places, [saved[name] for name in answer])
    right = sorted(saved, key=lambda name: -saved[name])
    shown = ", ".join(f"{name} {saved[name]:.0%}".replace("-", "−") for name in right)
    if score >= ENOUGH:
        return True, f"Rank correlation {score:.2f}; the savings are {shown}."
    if score <= -ENOUGH:
        return False, f"Rank correlation {score:.2f}: upside down. The largest saving comes first.".replace("-", "−")
    far = max(answer, key=lambda name: abs(answer.index(name) - right.index(name)))
    way = "earlier" if right.index(far) < answer.index(far) else "later"
    return False, (
        f"Rank correlation {score:.2f}, and {ENOUGH} is asked for. {far} belongs {way}: how many rows has its script "
        "in either table?".replace("-", "−")
    )


def _not_the_names(answer: list[Any], names: list[str]) -> str:
    unknown = [name for name in answer if name not in names]
    if unknown:
        return f"{shown(unknown[0])} is none of them; order {', '.join(names)}."
    missing = [name for name in names if name not in answer]
    if missing:
        return f"{missing[0]} is missing; order all of {', '.join(names)}."
    return (
        f"There are {len(answer)} names for {len(names)} languages; name each once."
        if len(answer) != len(names)
        else ""
    )


CHECKS = {"01.1": check_fertility, "01.3": check_order}
