"""The exercises of notebook 11: a monthly bill, a row with source and date, and a comparison of unlike things."""

import random
from collections.abc import Mapping
from typing import Any

from ..claims import article_claim
from ..errors import InputError
from ..prices import price_list
from ..published import check_row
from .numbers import numbers_of, shown

# ------------------- 11.1  monthly_cost(requests, prompt, cached, thinking, answer, usd_in, usd_cached, usd_out) -> usd

ARGUMENTS = "(requests, prompt, cached, thinking, answer, usd_in, usd_cached, usd_out)"
Bill = tuple[float, float, float, float, float, float, float | None, float]


def monthly_cost(*bill: Any) -> float:
    """The oracle: thirty days of requests, in US dollars; tokens are those of one request."""
    return _bill(bill)


def _bill(
    bill: tuple[Any, ...], *, full: bool = False, free: bool = False, same: bool = False, thinks: str = "out",
    per: float = 1e6, days: float = 30, swapped: bool = False, no_price: str = "in",
) -> float:  # fmt: skip
    """The bill with one thing changed."""
    requests, prompt, cached, thinking, answer, usd_in, usd_cached, usd_out = bill
    if swapped:
        usd_in, usd_out = usd_out, usd_in
    if usd_cached is None:
        usd_cached = usd_in if no_price == "in" else 0.0
    new = prompt if full else prompt - cached
    usd = new * usd_in + cached * (0 if free else usd_in if same else usd_cached) + answer * usd_out
    usd += thinking * {"out": usd_out, "in": usd_in, "no": 0}[thinks]
    return usd * requests * days / per


MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Tokens from the cache are charged twice: once in the whole `prompt`, and once more as `cached`. They are a "
        "part of the prompt; only `prompt - cached` costs the full price.",
        {"full": True},
    ),
    ("Tokens from the cache cost nothing in your bill; they cost `usd_cached`.", {"free": True}),
    ("Tokens from the cache cost the full price in your bill; they cost `usd_cached`.", {"same": True}),
    (
        "Without a price for the cache (`usd_cached` is None) tokens from it are not free: they cost what input costs.",
        {"no_price": "free"},
    ),
    ("The prices are for a million tokens; you divide by a thousand.", {"per": 1e3}),
    ("The prices are for a million tokens; you divide by nothing.", {"per": 1.0}),
    ("Thinking is forgotten; it is charged as output.", {"thinks": "no"}),
    ("Thinking is charged as input; a model writes it, so it is output.", {"thinks": "in"}),
    ("That is one day; a month has thirty here.", {"days": 1}),
    ("That is a month of 31 days; take thirty.", {"days": 31}),
    ("That is a twelfth of a year; take thirty days.", {"days": 365 / 12}),
    ("That is a whole year; take thirty days.", {"days": 365}),
    ("The prices of input and output are exchanged.", {"swapped": True}),
)


def bills(seed: int = 0) -> list[Bill]:
    """Random workloads, and the edges: nothing cached, all cached, no price for the cache, no thinking, no request."""
    draw = random.Random(seed)
    made: list[Bill] = []
    for n in range(12):
        prompt = draw.randrange(200, 50_000)
        cached = (0, prompt)[n % 2] if n in (1, 2) else draw.randrange(1, prompt)
        usd_in = draw.choice([0.28, 0.6, 1.75, 5.0])
        usd_cached = None if n in (3, 4) else usd_in / 8
        made.append((draw.randrange(1, 5000), prompt, cached, 0 if n == 5 else draw.randrange(100, 9000),
                     draw.randrange(50, 900), usd_in, usd_cached, usd_in * 7))  # fmt: skip
    return [*made, (0, *made[0][1:])]


def check_bill(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge the monthly cost on random workloads and on the edges."""
    asked = bills()
    results, problem = numbers_of(answer, asked, ARGUMENTS, "a number of US dollars")
    if not problem and all(_near(a, monthly_cost(*bill)) for a, bill in zip(results, asked, strict=True)):
        return True, f"`{getattr(answer, '__name__', 'it')}` is right for {len(asked)} workloads, edges among them."
    done = asked[: len(results)]
    if any(not _near(result, monthly_cost(*bill)) for result, bill in zip(results, done, strict=True)):
        for diagnosis, change in MISTAKES:
            if all(_near(result, _bill(bill, **change)) for result, bill in zip(results, done, strict=True)):
                return False, diagnosis
    if problem:
        none = asked[len(results)][6] is None and "NoneType" in problem
        return False, problem + (" Here `usd_cached` is None: the list names no price for the cache." if none else "")
    n = next(n for n, result in enumerate(results) if not _near(result, monthly_cost(*asked[n])))
    named = dict(zip(ARGUMENTS.strip("()").split(", "), asked[n], strict=True))
    said = ", ".join(f"{name}={value}" for name, value in named.items())
    return False, (
        f"Not yet, and not a mistake this checker knows: for {said} it returns {results[n]:,.4g}; "
        f"{monthly_cost(*asked[n]):,.4g} is right."
    )


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * max(1e-9, abs(b))


# ------------------------------------------------------------------------------------- 11.2  a row for pricing.csv


def check_price_row(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a new row: the schema of data/pricing.csv, and what a reader would stumble over."""
    if answer is None or answer is ...:
        return False, "No answer yet: write a dict, column -> value."
    if not isinstance(answer, Mapping):
        return False, f"This is a {type(answer).__name__}; write a dict, column -> value."
    try:
        row = check_row("pricing", answer)
    except InputError as error:
        return False, str(error)
    if 0 < row["usd_out"] < 0.02 or 0 < row["usd_in"] < 0.004:
        return False, "These look like prices for a thousand tokens; the table has them for a million: times 1,000."
    if row["usd_cached"] is not None and row["usd_cached"] > row["usd_in"]:
        return False, "Tokens from the cache cost more than new ones; are `usd_cached` and `usd_in` exchanged?"
    if row["usd_out"] < row["usd_in"]:
        return False, "Output costs less than input, which no list here does; are the two exchanged?"
    higher = [row[name] is not None for name in ("usd_in_above", "usd_out_above")]
    if (row["above_tokens"] is not None) != all(higher) or any(higher) != all(higher):
        return False, "`above_tokens`, `usd_in_above` and `usd_out_above` belong together: give all three, or none."
    keys = {(p.date, p.model, p.provider, p.listed_as) for p in price_list()}
    if (row["date"], row["model"], row["provider"], row["listed_as"]) in keys:
        return False, "The table has this very offer on this day already; add one of another day, model or provider."
    return True, f"{row['model']} at {row['provider']} on {row['date']}: the table would take this row."


# ------------------------------------------------------------------ 11.3  (id of a claim, what differs between the two)

DIFFERS = ("context strategy", "test set", "model", "what is charged", "prompt", "context length", "what is counted")
KEY: dict[str, dict[str, str]] = {  # claim -> what differs -> why
    "browsecomp": {"context strategy": "78.6 was made with discard-all; the rivals' numbers do not say how."},
    "gui": {"context strategy": "78.6 was made with discard-all; the rivals' numbers do not say how."},
    "aime": {"test set": "AIME 2025 for one model; for Qwen3.5 there is AIME26, a later contest."},
    "swe-codex": {"test set": "its vendor published SWE-Bench Pro, not SWE-bench Verified."},
    "mmmu-pro-9b": {"model": "the columns say 397B and GPT-5.2, the row compares the 9B with GPT-5-Nano."},
    "mathvista-9b": {"model": "the column says 397B; the number is the 9B's."},
    "ocrbench-9b": {"model": "the column says 397B; the number is the 9B's."},
    "gpt-oss-gpqa": {"model": "71.5 is GPT-OSS-20B's number, not GPT-OSS-120B's."},
    "maverick-free": {"what is charged": "weights without machines stand beside prices of served tokens."},
    "host-free": {"what is charged": "weights without machines stand beside prices of served tokens."},
    "gemini-price-in": {"context length": "2 holds up to 200,000 tokens of prompt; above it is 4."},
    "gemini-price-out": {"context length": "12 holds up to 200,000 tokens of prompt; above it is 18."},
    "mathvision": {"prompt": "Qwen fixed the prompt for its own model; how the rival was asked is not said."},
    "share-4-3": {"what is counted": "a share of experts is given the number of the share of parameters."},
}


def check_unlike(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a pair: the id of a claim, and which of `DIFFERS` it is that differs between what is compared."""
    if answer is None or answer is ...:
        return False, "No answer yet: write (id of a claim, what differs)."
    pair = isinstance(answer, tuple | list) and len(answer) == 2
    if not pair or not all(isinstance(part, str) for part in answer):
        return False, f"Write a pair: the id of a claim, and one of {', '.join(DIFFERS)}."
    id, differs = answer
    if differs not in DIFFERS:
        return False, f"{shown(differs)} is not among the things that can differ here: {', '.join(DIFFERS)}."
    try:
        claim = article_claim(id)
    except InputError as error:
        return False, str(error).replace(repr(id), shown(id))
    if id not in KEY:
        hint = "it is wrong, but not by its setting" if claim.verdict == "wrong" else "both sides are of one kind"
        return False, f"“{claim.claim}”: {hint}. Look for two numbers side by side that were not made alike."
    if differs not in KEY[id]:
        return False, f"“{claim.claim}” does compare unlike things, but what differs is not the {differs}."
    return True, f"“{claim.claim}”: {KEY[id][differs]}"


CHECKS = {"11.1": check_bill, "11.2": check_price_row, "11.3": check_unlike}
