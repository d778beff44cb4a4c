"""Which script a text is written in, and what its words are where blanks part them."""

import unicodedata
from collections import Counter
from functools import cache
from typing import Any

# As Unicode names them; one that is not here is "Other".
SCRIPTS = (
    "Latin", "Cyrillic", "Greek", "Han", "Hiragana", "Katakana", "Hangul", "Arabic", "Hebrew", "Devanagari", "Bengali",
    "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao", "Khmer",
    "Myanmar", "Tibetan", "Georgian", "Armenian", "Ethiopic", "Cherokee", "Syriac", "Thaana", "Nko", "Tifinagh",
    "Ol_Chiki", "Chakma", "Vai", "Adlam", "Mongolian", "Canadian_Aboriginal", "Yi", "Bopomofo", "Gothic", "Coptic",
)  # fmt: skip
# They write no blanks between words; where a word ends is then a question for a dictionary.
WITHOUT_BLANKS = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})


@cache
def _named() -> Any:
    import regex

    return regex.compile("|".join(rf"(?P<{name}>\p{{Script={name}}})" for name in (*SCRIPTS, "Common", "Inherited")))


@cache
def script(character: str) -> str:
    """The script of a letter or mark; "" for what has none, such as digits, signs and emoji."""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    found = _named().match(character)
    name = found.lastgroup if found else "Other"
    return "" if name in ("Common", "Inherited") else name


def scripts(text: str) -> Counter[str]:
    """Letters and marks of each script."""
    return Counter(found for character in text if (found := script(character)))


def main_script(text: str) -> str:
    """The script of most letters, Japanese counted as one ("Japanese"); "" where there are none."""
    found = scripts(text)
    if found["Hiragana"] + found["Katakana"]:
        found["Japanese"] = found.pop("Hiragana", 0) + found.pop("Katakana", 0) + found.pop("Han", 0)
    return max(found, key=lambda name: found[name]) if found.total() else ""


def words(text: str) -> list[str] | None:
    """Runs of letters, marks and digits; None if a letter is of a script that puts no blanks between words.

    Marks belong to the letter before them: in Hindi every second character is one.
    """
    import regex

    if WITHOUT_BLANKS & scripts(text).keys():
        return None
    return regex.findall(r"[\p{L}\p{M}\p{N}]+", unicodedata.normalize("NFC", text))
