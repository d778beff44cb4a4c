"""The exercises of notebook 13: a parser of calls, a mask by enumeration, and when to try a tool again."""

import itertools
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..agents.faults import write_call
from ..inputs import parse_answer
from .numbers import shown
from .verdict import NOTHING, attempt

Call = tuple[str, dict[str, str]]
Check = tuple[bool, str]

# ----------------------------------------------------------------------------------- 13.1  calls(text)


def calls_of(text: str) -> list[Call]:
    """The oracle: the package's own parser, which knows no schema and so leaves values as text."""
    return [(call.name, call.arguments) for call in parse_answer(text).tool_calls]


WORDS = ("Mia", "31", "a b", "naïve 数", "two\nlines", "", '{"a": [1]}', "x < y", "</parameter> is a tag")


def texts(seed: int = 0, n: int = 60) -> list[str]:
    """Answers with no call, one or several, closed or not."""
    draw, found = random.Random(seed), []
    for _ in range(n):
        keys = draw.sample(("name", "field", "code", "q"), draw.randint(0, 3))
        calls = [write_call(draw.choice(("lookup", "run")), {key: draw.choice(WORDS) for key in keys})]
        calls += [write_call("lookup", {"name": draw.choice(WORDS)})] * draw.randint(0, 1)
        said = draw.choice(("", "I look it up.\n\n"))
        text = said + "\n".join(calls)
        found.append(draw.choice((text, text, text, said + "Done.", text[: -len("</function>\n</tool_call>")])))
    return found


ONE = re.compile(r"<tool_call>\n<function=([^>\n]+)>\n(.*?)</function>\n</tool_call>", re.DOTALL)
OPEN_END = re.compile(r"<tool_call>\n<function=([^>\n]+)>\n(.*?)(?:</function>|$)", re.DOTALL)
PAIR = re.compile(r"<parameter=([^>\n]+)>\n(.*?)\n</parameter>\n", re.DOTALL)


def _by_pattern(text: str, one: re.Pattern[str] = ONE, pair: re.Pattern[str] = PAIR) -> list[Call]:
    return [(name, dict(pair.findall(inner))) for name, inner in one.findall(text)]


CALL_MISTAKES: tuple[tuple[str, Callable[[str], list[Call]]], ...] = (
    ("You find the first call only; a turn may hold several.", lambda text: calls_of(text)[:1]),
    (
        "A value may have several lines: in a pattern, `.` needs re.DOTALL.",
        lambda text: _by_pattern(text, pair=re.compile(r"<parameter=([^>\n]+)>\n(.*?)\n</parameter>\n")),
    ),
    (
        "A call that is not closed is none: it was cut off, and its last value may be too.",
        lambda text: _by_pattern(text, OPEN_END),
    ),
    (
        "A value may hold `<` itself; it ends at a line break and `</parameter>`, not at the first `<`.",
        lambda text: _by_pattern(text, pair=re.compile(r"<parameter=([^>\n]+)>\n([^<]*)\n</parameter>\n")),
    ),
    (
        "The line breaks after <parameter=…> and before </parameter> do not belong to the value.",
        lambda text: [(name, {k: f"\n{v}\n" for k, v in given.items()}) for name, given in calls_of(text)],
    ),
    ("Without a call the list is empty, not None.", lambda text: calls_of(text) or None),  # type: ignore[return-value]
)  # fmt: skip


def check_calls(answer: Any, given: Any) -> Check:
    """Judge `calls(text)` on answers with no call, one or several."""
    wanted = "a list of pairs, (name, arguments), where arguments is a dict of texts"
    return _compare(answer, [(text,) for text in texts()], calls_of, CALL_MISTAKES, "(text)", (_as_calls, wanted))


def _as_calls(value: Any) -> list[Call] | None:
    """What was returned, if it is of that form."""
    if not isinstance(value, list | tuple):
        return None
    pairs = [tuple(each) for each in value if isinstance(each, list | tuple) and len(each) == 2]
    fits = all(isinstance(name, str) and isinstance(given, dict) for name, given in pairs)
    fits = fits and all(isinstance(part, str) for _, given in pairs for item in given.items() for part in item)
    return pairs if fits and len(pairs) == len(value) else None


# ----------------------------------------------------------------------------------- 13.2  mask(written, tokens, texts)


def mask_of(written: str, tokens: Sequence[str], valid: Sequence[str]) -> list[bool]:
    """The oracle: a token may come if what is then written is the beginning of something valid."""
    return [bool(token) and any(text.startswith(written + token) for text in valid) for token in tokens]


TOKENS = (
    "", "{", "}", '"', ":", ",", "1", "2", "10", '{"', '":', '{"n":', '"n"', "n", "a", '"a', "true", "tr", "ue", "[",
    "]", "2}",
)  # fmt: skip
SCHEMAS = (
    tuple(f'{{"n":{n}}}' for n in (1, 2, 10, 12)), ("true", "false", "null"), ('"a"', '"an"', '"n"'),
    tuple("[" + ",".join(part) + "]" for k in range(3) for part in itertools.product("12", repeat=k)),
)  # fmt: skip


def masks() -> list[tuple[str, list[str], list[str]]]:
    """Every beginning of every valid text of four small schemas."""
    found = []
    for valid in SCHEMAS:
        for written in sorted({text[:n] for text in valid for n in range(len(text) + 1)}):
            found.append((written, list(TOKENS), list(valid)))
    return found


MASK_MISTAKES: tuple[tuple[str, Callable[..., list[bool]]], ...] = (
    (
        "The empty token is allowed, and a model may choose it for ever; what adds nothing is out.",
        lambda written, tokens, valid: [any(text.startswith(written + t) for text in valid) for t in tokens],
    ),
    (
        "You forget what is already written: the token must continue it.",
        lambda written, tokens, valid: [bool(t) and any(text.startswith(t) for text in valid) for t in tokens],
    ),
    (
        "A token need not finish the text: a beginning of a valid one is enough.",
        lambda written, tokens, valid: [bool(t) and written + t in valid for t in tokens],
    ),
    (
        "A token may occur in a valid text, and still not come next.",
        lambda written, tokens, valid: [bool(t) and any(t in text for text in valid) for t in tokens],
    ),
    (
        "Tokens of several characters must fit to their end, not only with their first character.",
        lambda written, tokens, valid: [
            bool(t) and any(text.startswith(written + t[:1]) for text in valid) for t in tokens
        ],
    ),
)  # fmt: skip


def check_mask(answer: Any, given: Any) -> Check:
    """Judge `mask(written, tokens, valid)` at every place of four small schemas."""
    how = (_as_mask, "a list of True and False, one for each token")
    return _compare(answer, masks(), mask_of, MASK_MISTAKES, "(written, tokens, valid)", how)


def _as_mask(value: Any) -> list[bool] | None:
    """What was returned, if it is of that form."""
    right = isinstance(value, list | tuple) and len(value) == len(TOKENS) and all(isinstance(v, bool) for v in value)
    return list(value) if right else None


# ----------------------------------------------------------------------------------- 13.3  retry(attempt, budget)

PASSING, LASTING = ("timeout", "error"), ("arguments", "unknown", "not allowed")
EPISODES: tuple[tuple[tuple[str, ...], int], ...] = (
    (("result",), 3), (("timeout", "error", "result"), 3), (("error", "arguments", "result"), 5),
    (("timeout", "timeout", "timeout", "result"), 3), (("not allowed", "result"), 4),
)  # fmt: skip


def retry_of(attempt: Callable[[], tuple[str, str]], budget: int) -> str | None:
    """The oracle: again after what may pass, never after what will stay, and within the budget."""
    for _ in range(budget):
        kind, text = attempt()
        if kind == "result":
            return text
        if kind not in PASSING:
            return None
    return None


class Tool:
    """A tool whose fortunes are written down; counts how often it is asked."""

    def __init__(self, kinds: Sequence[str]):
        self.kinds, self.asked = kinds, 0

    def __call__(self) -> tuple[str, str]:
        kind = self.kinds[min(self.asked, len(self.kinds) - 1)]
        self.asked += 1
        if self.asked > 50:
            raise RuntimeError("The tool was asked more than 50 times.")
        return kind, f"{kind} {self.asked}"


def _always(attempt: Callable[[], tuple[str, str]], budget: int) -> str | None:
    tries = (attempt() for _ in range(budget))
    return next((text for kind, text in tries if kind == "result"), None)


def _late(attempt: Callable[[], tuple[str, str]], budget: int) -> str | None:
    return retry_of(attempt, budget + 1)


RETRY_MISTAKES: tuple[tuple[str, Callable[..., str | None]], ...] = (
    ("You try again after a mistake that stays: wrong arguments are as wrong the second time.", _always),
    ("You go over the budget.", _late),
    (
        "You give up after the first failure; a timeout or an error may pass.",
        lambda attempt, budget: retry_of(attempt, 1),
    ),
    (
        "The last text is no result: return None where there was none.",
        lambda attempt, budget: retry_of(attempt, budget) or "no result",
    ),
)  # fmt: skip


def check_retry(answer: Any, given: Any) -> Check:
    """Five episodes: what is returned, and how often the tool was asked."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."

    def played(policy: Callable[..., Any]) -> tuple[list[Any], str]:
        found = []
        for kinds, budget in EPISODES:
            tool = Tool(kinds)
            result, problem = _attempt(policy, (tool, budget), "(attempt, budget)")
            if not problem and not isinstance(result, str | None):
                problem = f"It returns {shown(result)}; return the text of the first result, or None."
            if problem:
                return [], problem
            found.append((result, tool.asked))
        return found, ""

    mine, problem = played(answer)
    if problem:
        return False, problem
    if all(result is None for result, _ in mine) and not any(asked for _, asked in mine):
        return False, "It returns nothing yet, and asks nothing: call `attempt()`, and look at what comes."
    if mine == (right := played(retry_of)[0]):
        return True, f"Right in {len(EPISODES)} episodes, with {sum(asked for _, asked in mine)} calls in all."
    for told, mistake in RETRY_MISTAKES:
        if mine == played(mistake)[0]:
            return False, told
    n = next(n for n, (a, b) in enumerate(zip(mine, right, strict=True)) if a != b)
    (result, asked), (wanted, often) = mine[n], right[n]
    return False, (
        f"Not yet: where the tool says {', '.join(EPISODES[n][0])} and the budget is {EPISODES[n][1]}, you return "
        f"{shown(result)} after {asked} calls; it should be {wanted!r} after {often}."
    )


def _compare(
    answer: Any, cases: Sequence[tuple[Any, ...]], oracle: Callable[..., Any],
    mistakes: Sequence[tuple[str, Callable[..., Any]]], taken: str, form: tuple[Callable[[Any], Any], str],
) -> Check:  # fmt: skip
    """Run an answer on all cases; known mistakes are told by their sign, others by the first case that differs.

    Args:
        form: reads a result, None if it is of another form; and what it should be, in words.
    """
    read, wanted = form
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    found, right = [], [oracle(*case) for case in cases]
    for case in cases:
        result, problem = _attempt(answer, case, taken)
        if problem:
            return False, problem
        found.append(None if result is None else read(result))
        if found[-1] is None and result is not None:
            return False, f"It returns {shown(result)}; return {wanted}."
    if all(each is None for each in found):
        return False, NOTHING
    if found == right:
        return True, f"`{answer.__name__}` is right in all {len(cases)} cases."
    for told, mistake in mistakes:
        if found == [mistake(*case) for case in cases]:
            return False, told
    case, mine, best = next(each for each in zip(cases, found, right, strict=True) if each[1] != each[2])
    return False, f"Not yet: for {shown(case[0])} it returns {shown(mine)}, and it should be {shown(best)}."


def _attempt(answer: Callable[..., Any], args: tuple[Any, ...], taken: str) -> tuple[Any, str]:
    """As `attempt`, but None may be an answer."""
    result, problem = attempt(answer, args, taken)
    return (None, "") if problem == NOTHING else (result, problem)


CHECKS = {"13.1": check_calls, "13.2": check_mask, "13.3": check_retry}
