"""Numbers of the article, computed anew from the shipped configs and published tables.

`data/claims.csv` names one of these functions with its arguments where a claim can be computed, such as
`experts_share("397B-A17B")`; `recount` looks it up and calls it. Arguments are literals: nothing is evaluated.
"""

import ast
from collections.abc import Callable
from typing import Any

from ..config import FULL
from ..errors import InputError
from ..family import (
    OFFICIAL,
    PREDECESSORS,
    full_name,
    kv_bytes_per_token,
    load_any,
    parameters,
    published,
    weight_bytes,
)
from ..family.sizes import Parameters
from ..prices import price, price_list
from ..published import features, scores
from .scoreboard import FLAGSHIP, at_least

FLAGSHIP_MODEL = "Qwen3.5-397B-A17B"
DAY = "2026-03-11"  # of the article
GB, GIB = 1e9, 2**30


def _counts(model: str) -> Parameters:
    return parameters(load_any(model))


# ------------------------------------------------------------------------------------------------ from configs


def text_billions(model: str) -> float:
    """Parameters of the language model, in billions."""
    return _counts(model).text / 1e9


def checkpoint_billions(model: str) -> float:
    """Parameters of the whole checkpoint, in billions."""
    return _counts(model).total / 1e9


def vision_millions(model: str) -> float:
    """Parameters of the vision tower, in millions."""
    return _counts(model).vision / 1e6


def active_billions(model: str) -> float:
    """Parameters that work on one token of text, both token tables included, in billions."""
    return _counts(model).active / 1e9


def active_share(model: str) -> float:
    """Active parameters of all of the language model's, in percent."""
    return 100 * _counts(model).active / _counts(model).text


def experts(model: str) -> int:
    """Routed experts of a layer."""
    return load_any(model).text.num_experts or 0


def experts_per_token(model: str) -> int:
    """Routed experts that work on a token, in every layer."""
    return load_any(model).text.num_experts_per_tok or 0


def experts_share(model: str, shared: int = 1) -> float:
    """Experts that work on a token, `shared` ones too, of a layer's routed experts, in percent."""
    return 100 * (experts_per_token(model) + shared) / experts(model)


def linear_per_full(model: str) -> float:
    """DeltaNet layers for each attention layer."""
    kinds = load_any(model).text.layer_types
    return (len(kinds) - kinds.count(FULL)) / kinds.count(FULL)


def native_context(model: str) -> int:
    """Tokens, from `max_position_embeddings`."""
    return load_any(model).text.max_position_embeddings


def vocabulary(model: str) -> int:
    """Rows of the token table."""
    return load_any(model).text.vocab_size


def kv_gib(model: str, tokens: int) -> float:
    """The key-value cache of one sequence in bfloat16, in GiB."""
    return kv_bytes_per_token(load_any(model)) * tokens / GIB


def kv_saving(model: str) -> float:
    """How many times larger the cache would be if every layer had attention."""
    text = load_any(model).text
    return len(text.layer_types) / text.layer_types.count(FULL)


def weights_gb(model: str, dtype: str = "bfloat16") -> float:
    """Weights in decimal gigabytes: what the numbers occupy."""
    return weight_bytes(load_any(model), dtype) / GB


def released(model: str) -> str:
    return published()[full_name(model, OFFICIAL + PREDECESSORS)].released


# ------------------------------------------------------------------------------------------------ from score tables


def score(benchmark: str, model: str, table: str, setting: str | None = None) -> float:
    """The one number that a table prints, of `setting` where it prints several."""
    found = [s for s in scores(benchmark=benchmark, model=model, table=table) if setting in (None, s.setting)]
    if len(found) != 1:
        raise InputError(f"{table} has {len(found)} numbers for {model} in {benchmark}; name a table and setting.")
    return found[0].score


def lead(benchmark: str, table: str, ours: str, theirs: str) -> float:
    """Points by which `ours` is ahead of `theirs`."""
    return round(score(benchmark, ours, table) - score(benchmark, theirs, table), 6)


def rank(benchmark: str, model: str, table: str) -> int:
    """1 for the highest number of a row."""
    own = score(benchmark, model, table)
    return 1 + len({s.model for s in scores(benchmark=benchmark, table=table) if s.score > own})


def won(rivals: tuple[str, ...], tables: tuple[str, ...] = FLAGSHIP, way: str = "leave gaps out") -> float:
    """Rows in which the flagship matches or beats all rivals, in percent of those in which all have a number."""
    return 100 * at_least(FLAGSHIP_MODEL, rivals, tables).share(way)


# ------------------------------------------------------------------------------------------------ from price lists


def usd(model: str, provider: str, what: str, date: str = DAY) -> float:
    """A list price: `what` is a field of `Price`, such as "usd_in"."""
    return getattr(price(model, provider, date), what)


def times_dearer(model: str, provider: str, what: str, date: str = DAY) -> float:
    """A price, as a multiple of the flagship's at Novita."""
    return usd(model, provider, what, date) / usd(FLAGSHIP_MODEL, "novita-ai", what, date)


def cheaper_offers(model: str, provider: str, date: str = DAY, same_model: bool = True) -> int:
    """Lines of that day's list with a lower price for input and for output alike, trial endpoints left out."""
    mine = price(model, provider, date)
    lines = price_list(date=date, model=model if same_model else None)
    return sum(not p.free and p.usd_in < mine.usd_in and p.usd_out < mine.usd_out for p in lines)


def context_of(model: str, provider: str, date: str = DAY) -> int:
    """Tokens of context that a price list names."""
    found = price(model, provider, date).context
    if found is None:
        raise InputError(f"The list of {date} names no context for {model} at {provider}.")
    return found


def times_larger(model: str, than: float) -> float:
    """A model's published total, as a multiple of `than` billion parameters."""
    totals = {f.model: float(f.value) for f in features() if f.feature == "total parameters (billions)"}
    return totals[model] / than


RECOUNT: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        active_billions, active_share, cheaper_offers, checkpoint_billions, context_of, experts, experts_per_token,
        experts_share, kv_gib, kv_saving, lead, linear_per_full, native_context, rank, released, score, text_billions,
        times_dearer, times_larger, usd, vision_millions, vocabulary, weights_gb, won,
    )
}  # fmt: skip


def recount(call: str) -> Any:
    """Compute what a call such as `score("GPQA", "GPT5.2", "397b_language")` says.

    Raises:
        InputError: it is not one call of a function in `RECOUNT` with literal arguments.
    """
    try:
        node = ast.parse(call, mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            raise ValueError
        function = RECOUNT[node.func.id]
        args = [ast.literal_eval(argument) for argument in node.args]
        named = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in node.keywords}
    except (SyntaxError, ValueError, KeyError):
        raise InputError(
            f"{call!r} cannot be computed; write one call with literal arguments, of {', '.join(RECOUNT)}."
        ) from None
    return function(*args, **named)
