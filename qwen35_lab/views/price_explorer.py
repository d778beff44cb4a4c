"""The price explorer: a workload on five controls, and what it costs a month at each offer of one day's price list.

The rules (prices.py) are written once more in price_rules.js, so that a move asks no kernel and an exported page works;
a test holds the two equal.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from ..errors import InputError
from ..prices import DAYS, Price, Workload, monthly_cost
from . import theme
from .pen import FAINT, MARGIN, TRACK, WIDTH, Pen, wrap
from .widget import LabWidget, css, esm

REQUESTS = (1, 10, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
PROMPTS = (100, 300, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 100_000, 128_000, 180_000, 200_000, 210_000,
           250_000, 400_000, 800_000)  # fmt: skip
CACHED = tuple(range(0, 101, 5))  # percent of the prompt
THINKING = (0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
KNOBS = {"requests": REQUESTS, "prompt": PROMPTS, "cached": CACHED, "thinking": THINKING}


class PriceExplorer(LabWidget):
    """The widget. `payload` is all it knows, as JSON; the other traits are places of its controls, and can be set."""

    TITLE = "Price explorer"
    _esm = esm("kit", "controls", "price_rules", "price_explorer")
    _css = css("kit", "controls", "price_explorer")
    payload = traitlets.Unicode().tag(sync=True)
    requests = traitlets.Int(5).tag(sync=True)
    prompt = traitlets.Int(5).tag(sync=True)
    cached = traitlets.Int(0).tag(sync=True)
    thinking = traitlets.Int(3).tag(sync=True)
    language = traitlets.Int(0).tag(sync=True)

    def __init__(self, data: dict[str, Any], offers: Sequence[Price], provenance: str, **at: int):
        self._data, self._offers, self._provenance = data, tuple(offers), provenance
        super().__init__(payload=json.dumps({**self.head(), **data}), **at)

    def provenance(self) -> str:
        return self._provenance

    def caption(self) -> str:
        return self._data["caption"]

    def workload(self) -> Workload:
        """What the controls say now."""
        return Workload(
            REQUESTS[self.requests], PROMPTS[self.prompt], self._data["answer"], THINKING[self.thinking],
            CACHED[self.cached] / 100, self._data["language"][self.language]["factor"],
        )  # fmt: skip

    def costs(self) -> list[tuple[str, float | None]]:
        """(offer, US dollars a month) as shown now, the cheapest first; None where a request does not fit."""
        work = self.workload()
        listed = [monthly_cost(offer, work) for offer in self._offers]
        usd = [*listed, *(offer["month"] for offer in self._data["offers"][len(listed) :])]
        rows = [(offer["name"], cost) for offer, cost in zip(self._data["offers"], usd, strict=True)]
        return sorted(rows, key=lambda row: math.inf if row[1] is None else row[1])

    def alt(self) -> str:
        """The present view in words."""
        told = [f"{name} {'does not fit' if usd is None else dollars(usd)}" for name, usd in self.costs()]
        return f"{self._said()} US dollars a month: " + "; ".join(told) + "."

    def static(self) -> bytes:
        """The present view as a PNG."""
        rows, pen, y = self.costs(), Pen(180 + 20 * len(self._data["offers"])), 46.0
        pen.head(theme.kind_of(self.provenance()), self.provenance())
        for line in wrap(self._said()):
            pen.text(MARGIN, y, line)
            y += 16
        most = max([usd for _, usd in rows if usd] or [1])
        pen.text(WIDTH - MARGIN, y + 8, "US$ a month", 11, FAINT, anchor="rm")
        y += 6
        own = {offer["name"] for offer in self._data["offers"] if offer["month"] is not None}
        for name, usd in rows:
            y += 20
            pen.text(MARGIN, y, name, 11, bold=name in own, width=250)
            pen.box(MARGIN + 260, y - 6, WIDTH - 2 * MARGIN - 380, 12, TRACK, radius=2)
            colour = theme.COLOURS["attention" if name in own else "deltanet"]
            pen.box(MARGIN + 260, y - 6, (WIDTH - 2 * MARGIN - 380) * (usd or 0) / most, 12, colour, radius=2)
            said = "does not fit" if usd is None else dollars(usd)
            pen.text(WIDTH - MARGIN, y, said, 11, FAINT if usd is None else "#222222", anchor="rm")
        for line in wrap(self.caption()):
            y += 18
            pen.text(MARGIN, y + 4, line, 11, FAINT)
        return pen.png(y + 18)

    def _said(self) -> str:
        work = self.workload()
        return (
            f"{work.requests:,} requests a day, {work.prompt:,} tokens of prompt ({work.cached:.0%} of them from the "
            f"cache), {work.thinking:,} of thinking, {work.answer:,} of answer, "
            f"{self._data['language'][self.language]['name']}."
        )


def dollars(usd: float) -> str:
    """$1,234 or $0.123"""
    return f"${usd:,.0f}" if usd >= 100 else f"${usd:.3g}"


def price_explorer(
    offers: Sequence[Price], languages: Mapping[str, float], *, answer: int = 500,
    own: Mapping[str, float] | None = None, **at: int,
) -> PriceExplorer:  # fmt: skip
    """What a workload costs a month at each of these offers.

    Args:
        offers: lines of the price list of one day.
        languages: name -> tokens for the same content, relative to English; the first is chosen at first.
        answer: tokens of an answer, without thinking.
        own: machines of one's own -> US dollars a month, whatever they do.
        at: where to begin, as places of `REQUESTS`, `PROMPTS`, `CACHED`, `THINKING`.
    Raises:
        InputError: nothing to compare, offers of several days, or a place that is none.
    """
    days = sorted({offer.date for offer in offers})
    if len(days) != 1 or not languages or any(not 0 < factor < math.inf for factor in languages.values()):
        raise InputError("Pass offers of one day, and at least one language with a factor above 0.")
    for name, place in at.items():
        if name not in KNOBS or not 0 <= place < len(KNOBS[name]):
            sizes = {knob: len(values) for knob, values in KNOBS.items()}
            raise InputError(f"There is no place {place} of {name!r}; the controls have {sizes} places.")
    data = {
        **{name: list(values) for name, values in KNOBS.items()}, "answer": answer, "days": DAYS,
        "language": [{"name": name, "factor": factor} for name, factor in languages.items()],
        "offers": [*map(_offer, offers), *({**_NOTHING, "name": n, "month": usd} for n, usd in (own or {}).items())],
        "caption": f"List prices of {days[0]}, from the models.dev catalogue of that day; not present ones. Every "
        f"request has an answer of {answer:,} tokens; thinking is charged as output. The factor of a language is that "
        "of Qwen3.5's tokenizer; other models cut text in other ways. Writing into a cache is not counted.",
    }  # fmt: skip
    return PriceExplorer(data, offers, f"PUBLISHED · list prices of {days[0]} · models.dev", **at)


_NOTHING: dict[str, Any] = {
    "in": 0, "out": 0, "cached": None, "above": None, "inAbove": None, "outAbove": None, "cachedAbove": None,
    "context": None, "month": None, "told": "the same however much they do",
}  # fmt: skip


def _offer(p: Price) -> dict[str, Any]:
    return {
        "name": f"{p.model} · {p.provider}", "in": p.usd_in, "out": p.usd_out, "cached": p.usd_cached,
        "above": p.above_tokens, "inAbove": p.usd_in_above, "outAbove": p.usd_out_above,
        "cachedAbove": p.usd_cached_above, "context": p.context, "month": None,
        "told": f"{p.usd_in:g} / {p.usd_out:g} dollars for a million tokens on {p.date}, {p.source}",
    }  # fmt: skip
