"""Wrong answers to the exercises about words, positions, costs, experts, prices, servers and long texts.

That is, to those of notebooks 01, 05, 06, 07, 11, 12 and 14.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...analysis import Fertility, LayerTimes, fertility
from ...config import FULL, LINEAR, TextConfig
from ...inputs import Vocabulary
from .. import by_hand, cost, experts, pricing, streams, waiting, words
from ..active import ACTIVE_MISTAKES
from ..long_documents import PAGE_MISTAKES, RANK_MISTAKES
from ..patching import PATCH_MISTAKES
from ..rope import ROPE_MISTAKES, YARN_MISTAKES
from ..serving import DIAGNOSES, cases, reach_of
from ..verdict import Mistake
from .pairs import listed

# ------------------------------------------------------------------------------------------------- 01, words and tokens


def _per_word(**changed: Any) -> Callable[[str, words.Encode], float | None]:
    def fertility(text: str, encode: words.Encode) -> float | None:
        return words._fertility(text, encode, **changed)

    return fertility


PER_WORD = (
    *listed((said, _per_word(unit=unit)) for unit, said in words.UNITS.items() if said),
    Mistake(words.SPECIALS[True], _per_word(special=True)),
    Mistake(words.BLANKS[False], _per_word(none=False)),
    Mistake(words.TURNED[True], _per_word(turned=True)),
)


def _prompt(wrong: Callable[[str, by_hand.Messages], str]) -> Callable[[by_hand.Messages], str]:
    def render(messages: by_hand.Messages) -> str:
        return wrong(by_hand.render(messages), messages)

    return render


def _five() -> Fertility:
    """Texts A to E, each 100 tokens of an old table, and so many of a new one."""
    counts = {"A": 10, "C": 30, "B": 60, "D": 90, "E": 120}
    old = Vocabulary("old", {}, {}, ".", lambda text: [0] * 100)
    new = Vocabulary("new", {}, {}, ".", lambda text: [0] * int(text))
    return fertility({name: str(count) for name, count in counts.items()}, old, new)


ORDERS = (
    Mistake("upside down", ["E", "D", "B", "C", "A"], _five),
    Mistake("E belongs later", ["E", "A", "C", "B", "D"], _five),
    Mistake("is missing", ["A", "B"], _five),
    Mistake("is none of them", ["A", "x", "B", "C", "D"], _five),
    Mistake("Answer with a list of names", "ACBDE", _five),
    Mistake("No answer yet", None, _five),
)

# ---------------------------------------------------------------------------------------- 05, attention and positions


def _overlooks(kind: str) -> Callable[[Any, Any], tuple[bool, int]]:
    """Wrong about one kind of command alone."""
    about = {str(served) for what, served in cases() if what == kind}

    def reach(served: Any, config: Any) -> tuple[bool, int]:
        found = reach_of(served, config)
        return found.yarn, found.longest + (str(served) in about)

    return reach


SERVED = (
    *listed((said, _overlooks(kind)) for kind, said in DIAGNOSES.items()),
    Mistake("return two things", lambda served, config: 5),
    Mistake("a whole number of tokens", lambda served, config: (True, float("inf"))),
    Mistake("a whole number of tokens", lambda served, config: (True, 262144.5)),
)

# --------------------------------------------------------------------------------------------------- 06, three to one


def _layer(mistake: cost.Formula, kind: str) -> Callable[[TextConfig, str, int], float]:
    """Wrong about one kind of layer alone."""

    def layer_flops(text: TextConfig, asked: str, tokens: int) -> float:
        return mistake(text, tokens) if asked == kind else cost.layer_flops(text, asked, tokens)

    return layer_flops


def _times() -> LayerTimes:
    """DeltaNet takes twice as long for twice the text, attention 2.7 times."""
    once = torch.ones(2, dtype=torch.float64)
    both = torch.stack((once, torch.tensor([2.0, 2.7], dtype=torch.float64)), dim=-1)
    return LayerTimes((2048, 4096), both[:, None], both, "RANDOM · made up")


FACTORS = {"all DeltaNet": 2.0, "3 : 1": 2.2, "all attention": 2.7}
DOUBLED = (
    Mistake("projections, which only double", {**FACTORS, "all attention": 4}, _times),
    Mistake("so it doubles", {**FACTORS, "all DeltaNet": 3}, _times),
    Mistake("not yet, for 3 : 1", {**FACTORS, "3 : 1": 1.0}, _times),
    Mistake("Not written yet", dict.fromkeys(FACTORS), _times),
    Mistake("There is no mix", {"2 : 1": 2.0}, _times),
    Mistake("Pass a dict", 2.0, _times),
)

# ------------------------------------------------------------------------------------------------------- 07, experts


def _weights(mistake: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
        return experts.route(logits, k)[0], mistake(logits, k)

    return route


def _changed(change: Callable[[Tensor, Tensor, Tensor], Any]) -> Callable[[Tensor, int], Any]:
    """A right choice, handed back in a wrong way."""

    def route(logits: Tensor, k: int) -> Any:
        ids, weights = experts.route(logits, k)
        return change(ids, weights, logits.float().softmax(-1))

    return route


ROUTES = (
    *listed((said, _weights(mistake)) for said, mistake in experts.WEIGHT_MISTAKES),
    Mistake("computes in low precision", lambda logits, k: experts.route(logits.bfloat16(), k)),
    Mistake("ids first, then weights", _changed(lambda ids, weights, p: (weights, ids))),
    Mistake("weights of all 8 experts", _changed(lambda ids, weights, p: (ids, p))),
    Mistake("right experts in the wrong order", _changed(lambda ids, weights, p: (ids.flip(-1), weights.flip(-1)))),
    Mistake("return two tensors", _changed(lambda ids, weights, p: weights)),
)

# --------------------------------------------------------------------------------------------- 11, claims and prices


def _bill(change: dict[str, Any]) -> Callable[..., float]:
    def monthly_cost(requests, prompt, cached, thinking, answer, usd_in, usd_cached, usd_out) -> float:
        bill = (requests, prompt, cached, thinking, answer, usd_in, usd_cached, usd_out)
        return pricing._bill(bill, **change)

    return monthly_cost


ROW = {
    "date": "2026-07-02", "model": "Qwen3.5-9B", "provider": "example", "usd_in": 0.1, "usd_out": 0.4,
    "usd_cached": "", "above_tokens": "", "usd_in_above": "", "usd_out_above": "", "usd_cached_above": "",
    "context": 262144, "listed_as": "qwen3.5-9b", "source": "https://example.org/prices", "note": "",
}  # fmt: skip
ROWS = listed(
    (said, {**ROW, **change})
    for said, change in (
        ("plain number", {"usd_in": "$0.10"}), ("a day written as", {"date": "July 2"}),
        ("can be read again", {"source": ""}), ("whole site", {"source": "https://example.org"}),
        ("times 1,000", {"usd_in": 0.0001, "usd_out": 0.0004}), ("cache cost more than new", {"usd_cached": 0.3}),
        ("Output costs less than input", {"usd_in": 0.4, "usd_out": 0.1}),
        ("belong together", {"above_tokens": 200_000}), ("no column 'currency'", {"currency": "USD"}),
    )
)  # fmt: skip
UNLIKE = (
    Mistake("Write a pair", "aime"),
    Mistake("Write a pair", (["aime"], "model")),
    Mistake("not among the things", ("aime", "weather")),
    Mistake("There is no claim", ("nothing", "model")),
    Mistake("one kind", ("apache", "model")),
    Mistake("not by its setting", ("claude-price-in", "model")),
    Mistake("not the prompt", ("aime", "prompt")),
)

# -------------------------------------------------------------------------------------------------------- 12, run it


def _streamed(rule: Callable[..., Any], change: dict[str, Any]) -> Callable[..., Any]:
    """A rule of `streams` with one thing changed."""
    takes = {streams._events: lambda pieces: rule(pieces, **change), waiting._latency: lambda log: rule(log, **change)}
    return takes.get(rule, lambda model, prompt, budget: rule(model, prompt, budget, **change))


def _all(rule: Callable[..., Any], mistakes: Any) -> tuple[Mistake, ...]:
    return listed((said, _streamed(rule, change)) for said, change in mistakes)


# --------------------------------------------------------------------------------------------------- 14, long texts

PAGES = (
    Mistake("return a whole number of pages", lambda config, per_page, budget, reserve: float("nan")),
    Mistake("return a whole number of pages", lambda config, per_page, budget, reserve: float("inf")),
    Mistake("return a whole number of pages", lambda config, per_page, budget, reserve: budget / per_page),
)


WRONG: dict[str, tuple[Mistake, ...]] = {
    "01.1": PER_WORD,
    "01.2": listed((said, _prompt(wrong)) for said, wrong in by_hand.MISTAKES),
    "01.3": ORDERS,
    "05.1": ROPE_MISTAKES,
    "05.2": YARN_MISTAKES,
    "05.3": SERVED,
    "06.1": (
        *listed((said, _layer(mistake, FULL)) for said, mistake in cost.ATTENTION_MISTAKES),
        *listed((said, _layer(mistake, LINEAR)) for said, mistake in cost.DELTANET_MISTAKES),
    ),
    "06.2": listed(cost.EVEN_MISTAKES),
    "06.3": DOUBLED,
    "07.1": ROUTES,
    "07.2": experts.BALANCE_MISTAKES,
    "07.3": listed(ACTIVE_MISTAKES),
    "11.1": listed((said, _bill(change)) for said, change in pricing.MISTAKES),
    "11.2": ROWS,
    "11.3": UNLIKE,
    "12.1": _all(streams._events, streams.EVENT_MISTAKES),
    "12.2": (
        *_all(streams._think, streams.BUDGET_MISTAKES),
        Mistake("you read on", _streamed(streams._think, {"always": True})),
    ),
    "12.3": _all(waiting._latency, waiting.LATENCY_MISTAKES),
    "14.1": listed(PATCH_MISTAKES),
    "14.2": RANK_MISTAKES,
    "14.3": (*listed(PAGE_MISTAKES), *PAGES),
}
