"""The third exercise of notebook 12: what a log says about waiting."""

import math
import random
from collections.abc import Sequence
from typing import Any

from .numbers import as_number, shown
from .verdict import attempt

# ----------------------------------------------------------------------------------- 12.3  latency(log) -> (ttft, itl)

Log = list[tuple[float, str, str]]  # seconds on some clock, what happened, text


def latency(log: Log) -> tuple[float, float]:
    """The oracle: seconds from `sent` to the first text, and the mean gap between one text and the next."""
    return _latency(log)


def _latency(
    log: Log, *, since: str = "sent", first: str = "text", lanes: Sequence[str] = ("reasoning", "content"),
    per: int = 1, wait: bool = False, done: bool = False, scale: float = 1.0, inverse: bool = False,
) -> tuple[float, float]:  # fmt: skip
    """The measure with one thing changed."""
    at = {what: t for t, what, _ in reversed(log)}
    texts = [t for t, what, text in log if what in lanes and text]
    starts = [t for t, what, text in log if what in lanes] if first == "event" else texts
    ttft = starts[0] - (at[since] if since else 0.0)
    span = (at["done"] if done else texts[-1]) - (at["sent"] if wait else texts[0])
    itl = span / (len(texts) - per)
    return scale * ttft, (1 / itl if inverse else scale * itl)


LATENCY_MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("The first wait begins when the request is sent, not when the server's head comes back.", {"since": "head"}),
    ("The clock does not begin at 0 with the request: subtract the time of `sent`.", {"since": ""}),
    ("An event without text is no token: servers send one first that names the role only.", {"first": "event"}),
    ("The first token may be one of a thought: both lanes count.", {"lanes": ("content",)}),
    ("n texts have n − 1 gaps between them.", {"per": 0}),
    ("The first wait is among your gaps; it is the other number, and much longer than they are.", {"wait": True}),
    ("The first wait is among your gaps; it is the other number, and much longer than they are.",
     {"wait": True, "per": 0}),
    ("The last gap ends with the last text, not with `done`, which may come later.", {"done": True}),
    ("That is in milliseconds; return seconds.", {"scale": 1000.0}),
    ("The second number is a rate; return the gap, in seconds.", {"inverse": True}),
)  # fmt: skip


def logs(seed: int = 0) -> list[Log]:
    """What a client wrote down, on clocks that begin anywhere."""
    draw, made = random.Random(seed), []
    for n in range(8):
        now, log = draw.uniform(100, 9000), []
        log.append((now, "sent", ""))
        for what, text, least in (
            ("head", "", 0.01), ("content", "", 0.02), *[("reasoning", "word", 0.2)] * (3 * (n % 2)),
            *[("content", "word", 0.03)] * draw.randrange(4, 9), ("done", "", 0.05),
        ):  # fmt: skip
            now += least * draw.uniform(1, 2)
            log.append((round(now, 4), what, text))
        made.append(log)
    return made


def check_latency(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge `latency(log)`, (time to first token, mean inter-token latency), both in seconds."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    asked, said = logs(), list[tuple[float, float]]()
    for log in asked:
        result, problem = attempt(answer, (list(log),), "(log)")
        if problem:
            return False, problem
        pair = [as_number(each) for each in result] if isinstance(result, tuple | list) else []
        pair = [each for each in pair if each is not None and math.isfinite(each)]
        if len(pair) != 2 or len(result) != 2:
            return False, f"It returns {shown(result)}; return two numbers, (time to first token, gap between tokens)."
        said.append((pair[0], pair[1]))
    if _same(said, [latency(log) for log in asked]):
        return True, f"`{answer.__name__}` is right about {len(asked)} logs."
    if _same([(b, a) for a, b in said], [latency(log) for log in asked]):
        return False, "The two are exchanged: first the time to the first token, then the gap."
    for diagnosis, change in LATENCY_MISTAKES:
        if _same(said, [_latency(log, **change) for log in asked]):
            return False, diagnosis
    right = latency(asked[0])
    halves = [_same([(mine[n], 0) for mine in said], [(latency(log)[n], 0) for log in asked]) for n in (0, 1)]
    clue = " The first is right." if halves[0] else " The second is right." if halves[1] else ""
    return False, f"Not yet: a log gives ({right[0]:.4f}, {right[1]:.4f}), you say {said[0]}.{clue}"


def _same(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-6) for one, other in zip(a, b) for x, y in zip(one, other))


CHECKS = {"12.3": check_latency}
