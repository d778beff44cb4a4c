"""Two exercises of notebook 12: events out of bytes, and a thought that must end."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from ..inputs.answer import THOUGHT
from .numbers import shown
from .verdict import attempt

# ------------------------------------------------------------------------------------ 12.1  events(pieces) -> texts

LETTERS = ("a", "b ", " c", ":", "ü", "日", "🐸", "\u2028", "\x0b", "data: ")


def events(pieces: Sequence[bytes]) -> list[str]:
    """The oracle: the data of every event that an empty line ends, several data lines joined by line breaks."""
    return _events(pieces)


def _events(
    pieces: Sequence[bytes], *, alone: bool = False, letters: bool = False, cut: str = "\r\n|\n", last: bool = False,
    strip: bool = False, joined: bool = True, blank: str = " ?", others: bool = False,
) -> list[str]:  # fmt: skip
    """The rule with one thing changed."""
    if alone:  # every piece is taken for whole events
        return [found for piece in pieces for found in _events([piece], last=True)]
    raw = b"".join(pieces)
    text = "".join(p.decode("utf-8", "replace") for p in pieces) if letters else raw.decode("utf-8", "replace")
    found, data = [], list[str]()
    lines = re.split(cut, text)
    for line in [*lines, ""] if last else lines[:-1]:
        if not line:
            found += ["\n".join(data)] if data and joined else data
            data = []
        elif match := re.match(f"data:{blank}(.*)", line, re.DOTALL):
            data.append(match[1].strip() if strip else match[1])
        elif others and ":" in line:
            data.append(line.partition(":")[2].removeprefix(" "))
    return found


EVENT_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Every piece is read as if whole events stood in it. A piece ends anywhere: keep what is not finished, and put "
        "the next piece behind it.",
        {"alone": True},
    ),
    (
        "Every piece is decoded on its own, so that a letter of several bytes is lost where a piece ends in it. Join "
        "the bytes first, or use codecs.getincrementaldecoder.",
        {"letters": True},
    ),
    (
        "Lines are cut at more than line ends: str.splitlines also cuts at U+2028 and U+000B, which may stand in a "
        "value. Split at \\n and \\r\\n alone.",
        {"cut": "\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"},
    ),
    (
        "With \\r\\n at the ends of lines no event is found: the empty line between two events is then \\r.",
        {"cut": "\n"},
    ),
    ("The last event was cut off, no empty line ends it: leave it out, half of it may be missing.", {"last": True}),
    ("Blanks are stripped that belong to the value: only one, right behind the colon, does not.", {"strip": True}),
    ("The blank behind the colon stays: `data: x` and `data:x` carry the same value.", {"blank": ""}),
    ("`data:x`, without a blank, is overlooked: the blank behind the colon is optional.", {"blank": " "}),
    ("Several data lines before an empty line are one event: join them by line breaks.", {"joined": False}),
    ("Only lines that begin with `data:` carry text; others are comments, names and ids.", {"others": True}),
)


def streams(seed: int = 0) -> list[list[bytes]]:
    """Streams of every kind, cut at random places, also within letters and line ends."""
    draw, made = random.Random(seed), []
    for n in range(40):
        end, text = ("\n", "\r\n")[n % 2], ""
        for _ in range(draw.randrange(1, 4)):
            for _ in range(1 if n < 8 else draw.randrange(1, 3)):
                value = "".join(draw.choice(LETTERS[: 3 if n < 8 else 10]) for _ in range(draw.randrange(1, 5)))
                blank = " " if value.startswith(" ") or n < 4 else draw.choice(("", " "))
                text += draw.choice(("", "", f": still here{end}", f"id: 7{end}")) if n > 6 else ""
                text += f"data:{blank}{value}{end}"
            text += end
        raw = text.encode() + (b"data: cut off" + (end * (n % 2)).encode() if n % 5 == 4 else b"")
        places = sorted(draw.sample(range(len(raw) + 1), min(len(raw), draw.randrange(7)))) if n else []
        made.append([raw[a:b] for a, b in zip([0, *places], [*places, len(raw)])])
    return [*made, []]


def check_events(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge `events(pieces)` on streams that are cut anywhere."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    asked, said = streams(), []
    for pieces in asked:
        result, problem = attempt(answer, (list(pieces),), "(pieces)")
        if problem:
            return False, problem + (f" The pieces were {pieces}." if "It raises" in problem else "")
        texts = _texts(result)
        if texts is None:
            return False, f"It returns {shown(result)}; return a list of texts."
        said.append(texts)
    right = [events(pieces) for pieces in asked]
    if said == right:
        return True, f"`{answer.__name__}` finds the same events as the package in {len(asked)} streams, cut anywhere."
    for diagnosis, change in EVENT_MISTAKES:
        if said == [_events(pieces, **change) for pieces in asked]:
            return False, diagnosis
    wrong = [n for n in range(len(asked)) if said[n] != right[n]]
    n = min(wrong, key=lambda n: sum(map(len, asked[n])))
    found = f"holds {right[n]}, and you find {shown(said[n])}"
    return False, f"Not yet: {asked[n]} {found}; so in {len(wrong)} of {len(asked)}."


def _texts(value: Any) -> list[str] | None:
    """What was returned, as a list, if it is one of texts."""
    if isinstance(value, str | bytes | Tensor) or not isinstance(value, Iterable):
        return None
    found = list(value)
    return found if all(isinstance(text, str) for text in found) else None


# -------------------------------------------------------------------------- 12.2  think(model, prompt, budget) -> pair

Model = Callable[[str], Iterator[str]]
CLOSING = f"\n{THOUGHT}\n\n"
PATIENCE = 200  # pieces that a fake model gives before it complains


def think(model: Model, prompt: str, budget: int) -> tuple[str, str]:
    """The oracle: at most `budget` pieces of thought; then the thought is closed for the model, and it goes on."""
    return _think(model, prompt, budget)


def _think(
    model: Model, prompt: str, budget: int, *, closing: str = CLOSING, keep: bool = True, resume: bool = True,
    early: int = 0, whole: bool = False, always: bool = False,
) -> tuple[str, str]:  # fmt: skip
    """The rule with one thing changed."""
    thought: list[str] = []
    pieces = model(prompt)
    for piece in pieces:
        if piece == THOUGHT:
            rest = [piece for n, piece in enumerate(pieces) if not whole or n < budget - len(thought)]
            return "".join(thought), "".join(rest)
        if len(thought) >= budget - early and not always:
            break
        thought.append(piece)
    if not resume:
        return "".join(thought), ""
    return "".join(thought), "".join(model(prompt + "".join(thought) * keep + closing))


class Loud(Exception):
    """Raised by a fake model that has been read for too long."""


def fake(length: int | None, asked: list[str] | None = None) -> Model:
    """A model that thinks for `length` pieces, or for ever; it answers with what it has read of its own thought."""

    def model(text: str) -> Iterator[str]:
        if asked is not None:
            asked.append(text)
        if not text.rstrip().endswith(THOUGHT):
            begun = len(re.findall(r"wait (\d+)\.", text))
            for n in range(begun, PATIENCE if length is None else length):
                yield f"wait {n}. "
            if length is None:
                raise Loud(f"it has been read for {PATIENCE} pieces")
            yield THOUGHT
            yield "\n\n"
            known = length
        else:
            known = len(re.findall(r"wait (\d+)\.", text))
            if not text.endswith(CLOSING):
                yield "(lost) "
        yield from ("After", " ", str(known), " ", "thoughts", ":", " ", "yes", ".")

    return model


BUDGET_CASES = ((3, 10), (10, 10), (11, 10), (None, 10), (None, 1), (0, 5), (None, 0), (40, 25))  # length, budget
BUDGET_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "The thought is cut off and nothing comes after it. Close it for the model, and let it go on: "
        'model(prompt + thought + "\\n</think>\\n\\n").',
        {"resume": False},
    ),
    (
        "The model goes on without its own thought: put the pieces that have come between the prompt and the closing "
        "mark.",
        {"keep": False},
    ),
    (
        "The closing mark is missing where the model goes on, so that it keeps thinking: end with "
        '"\\n</think>\\n\\n".',
        {"closing": ""},
    ),
    ("The thought is closed, but not as the template does it: a line break before the mark and two behind it.",
     {"closing": THOUGHT}),
    ("A thought of exactly `budget` pieces is cut, though it had just ended: cut where one more piece comes.",
     {"early": 1}),
    ("The answer is cut as well: the budget is for the thought alone.", {"whole": True}),
)  # fmt: skip


def check_think(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge `think(model, prompt, budget)` on models that think for a while, and on one that loops."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    said: list[Any] = []
    for length, budget in BUDGET_CASES:
        result, problem = attempt(answer, (fake(length), "?<think>\n", budget), "(model, prompt, budget)")
        if "Loud" in problem:
            result, problem = ("loops", ""), ""
        if problem:
            return False, problem
        if not isinstance(result, tuple | list) or len(result) != 2 or not all(isinstance(t, str) for t in result):
            return False, f"It returns {shown(result)}; return two texts, (thought, answer)."
        said.append(_bare(result))
    right = [_tried(length, budget) for length, budget in BUDGET_CASES]
    if said == right:
        return True, f"`{answer.__name__}` ends every thought in time, and every answer is whole."
    for diagnosis, change in BUDGET_MISTAKES:
        if said == [_tried(*case, **change) for case in BUDGET_CASES]:
            return False, diagnosis
    if ("loops", "") in said:
        return False, "One of the models never ends its thought, and you read on: count its pieces, and stop reading."
    n = next(n for n in range(len(right)) if said[n] != right[n])
    length, budget = BUDGET_CASES[n]
    kind = "that never ends its thought" if length is None else f"that thinks for {length} pieces"
    return False, f"Not yet: a model {kind}, with a budget of {budget}, gives {right[n]}; you return {shown(said[n])}."


def _bare(pair: Sequence[str]) -> tuple[str, str]:
    return pair[0].strip(), pair[1].strip()


def _tried(length: int | None, budget: int, **change: Any) -> tuple[str, str]:
    try:
        return _bare(_think(fake(length), "?<think>\n", budget, **change))
    except Loud:
        return "loops", ""


CHECKS = {"12.1": check_events, "12.2": check_think}
