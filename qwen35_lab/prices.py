"""What a workload costs: by a provider's price list of a certain day, and on machines of one's own.

A request reads a prompt, part of it from the provider's cache, then thinks and answers; thinking is charged as output.
Lists change: nothing here is a present price, and every `Price` carries the day on which it stood.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from .errors import InputError
from .published import matching, read_table

DAYS = 30  # of a month
HOURS = 24 * DAYS
MILLION = 1e6


@dataclass(frozen=True)
class Price:
    """One line of a price list, in US dollars for a million tokens (`data/pricing.csv`)."""

    date: str  # on which the list said so
    model: str
    provider: str
    usd_in: float
    usd_out: float
    usd_cached: float | None  # of a prompt's tokens that the provider has in its cache; None: no such price
    above_tokens: int | None  # prompts longer than this are charged, whole, by the next three
    usd_in_above: float | None
    usd_out_above: float | None
    usd_cached_above: float | None
    context: int | None  # most tokens of prompt, thinking and answer together, where it was said
    listed_as: str
    source: str
    note: str

    @property
    def free(self) -> bool:
        """Listed at nothing: a trial endpoint, or weights for whoever hosts them."""
        return self.usd_in == self.usd_out == 0

    def rates(self, prompt: float) -> tuple[float, float, float]:
        """US dollars for a million tokens of input, of input from the cache, and of output, for a prompt's length.

        Without a price for cached tokens they cost what input costs.
        """
        usd_in, usd_cached, usd_out = self.usd_in, self.usd_cached, self.usd_out
        if self.above_tokens is not None and prompt > self.above_tokens:
            usd_in = self.usd_in if self.usd_in_above is None else self.usd_in_above
            usd_out = self.usd_out if self.usd_out_above is None else self.usd_out_above
            usd_cached = self.usd_cached_above
        return usd_in, usd_in if usd_cached is None else usd_cached, usd_out


@dataclass(frozen=True)
class Workload:
    """What is asked day by day. Tokens are those of English text; `language` says how many more another one takes."""

    requests: float  # a day
    prompt: float  # tokens of a request
    answer: float  # tokens, without thinking
    thinking: float = 0.0  # tokens; models think in a language of their own, so `language` leaves them alone
    cached: float = 0.0  # share of the prompt, 0 to 1, that the provider has read before
    language: float = 1.0  # tokens for the same content, as a multiple of English

    def __post_init__(self) -> None:
        for name in ("requests", "prompt", "answer", "thinking", "language"):
            value = getattr(self, name)
            if not 0 <= value < math.inf or (name == "language" and value == 0):
                raise InputError(f"A workload's {name} is {value:g}; pass a number that is not negative.")
        if not 0 <= self.cached <= 1:
            raise InputError(f"A workload's cached share is {self.cached:g}; pass a share from 0 to 1.")

    @property
    def tokens(self) -> tuple[float, float, float]:
        """Of one request: input that is read, input from the cache, output."""
        prompt = self.prompt * self.language
        return prompt * (1 - self.cached), prompt * self.cached, self.answer * self.language + self.thinking


def request_cost(price: Price, work: Workload) -> float | None:
    """US dollars for one request; None where it does not fit the context that the list names."""
    new, cached, out = work.tokens
    if price.context is not None and new + cached + out > price.context:
        return None
    usd_in, usd_cached, usd_out = price.rates(new + cached)
    return (new * usd_in + cached * usd_cached + out * usd_out) / MILLION


def monthly_cost(price: Price, work: Workload, days: float = DAYS) -> float | None:
    """US dollars for `days` days; None where a request does not fit the context."""
    one = request_cost(price, work)
    return None if one is None else one * work.requests * days


def blend(mix: dict[str, float], factors: dict[str, float]) -> float:
    """The `language` of a workload in several languages: shares of the content times tokens relative to English.

    Raises:
        InputError: shares that do not add up to 1, or a language without a factor.
    """
    if missing := [name for name in mix if name not in factors]:
        raise InputError(f"There is no factor for {missing[0]}; there is one for {', '.join(factors)}.")
    if any(share < 0 for share in mix.values()) or not math.isclose(sum(mix.values()), 1, abs_tol=1e-6):
        raise InputError(f"The shares of the languages add up to {sum(mix.values()):g}; make them add up to 1.")
    return sum(share * factors[name] for name, share in mix.items())


# ------------------------------------------------------------------------------------------------ the lists


@cache
def _prices() -> tuple[Price, ...]:
    return tuple(Price(**row) for row in read_table("pricing"))


def dates() -> tuple[str, ...]:
    """The days of which we have a list, the earliest first."""
    return tuple(sorted({price.date for price in _prices()}))


def price_list(
    *, date: str | None = None, model: str | Iterable[str] | None = None, provider: str | None = None
) -> tuple[Price, ...]:
    """Lines of the price lists; each filter keeps those of that very name.

    Raises:
        InputError: a name that no line has.
    """
    return matching(_prices(), date=date, model=model, provider=provider)


def price(model: str, provider: str, date: str) -> Price:
    """The one line of a model at a provider on a day; where a provider lists it twice, the first."""
    found = price_list(model=model, provider=provider, date=date)
    if not found:
        raise InputError(f"{provider} did not list {model} on {date}; see price_list(model={model!r}).")
    return found[0]


# ------------------------------------------------------------------------------------------------ one's own machines


@dataclass(frozen=True)
class BreakEven:
    """From where on machines of one's own are cheaper than a list price."""

    usd_per_month: float  # of the machines, used or not
    requests: float  # a day, at which the list asks as much
    tokens_per_second: float  # input and output together, while the machines work


def gpus_needed(weight_bytes: float, gpu_bytes: float, room: float = 0.15) -> int:
    """The smallest power of two of GPUs that hold the weights and leave a share `room` of each for caches."""
    if weight_bytes <= 0 or gpu_bytes <= 0 or not 0 <= room < 1:
        raise InputError("Pass sizes above 0 in bytes, and a room from 0 to below 1.")
    return 2 ** max(0, math.ceil(math.log2(weight_bytes / (gpu_bytes * (1 - room)))))


def break_even(
    price: Price, work: Workload, *, gpus: int, usd_per_gpu_hour: float, utilisation: float = 1.0
) -> BreakEven:
    """How much has to be asked of rented machines until each request costs what the list says.

    Args:
        work: what a request looks like; its number of requests does not matter.
        utilisation: share of the hours in which they work at all, above 0 and up to 1. All hours are paid.
    """
    if not 0 < utilisation <= 1 or usd_per_gpu_hour <= 0 or gpus < 1:
        raise InputError("Pass a utilisation above 0 and up to 1, at least one GPU, and a price above 0.")
    one = request_cost(price, work)
    if not one:
        raise InputError(f"A request costs nothing or does not fit at {price.provider}; there is no break-even.")
    month = gpus * usd_per_gpu_hour * HOURS
    requests = month / DAYS / one
    return BreakEven(month, requests, requests * sum(work.tokens) / (24 * 3600 * utilisation))


def with_requests(work: Workload, requests: float) -> Workload:
    """The same requests, more or fewer of them."""
    return replace(work, requests=requests)
