"""What a pass costs, from the config alone: FLOPs, weights and cache read, and arrays written in between.

A pass reads `new` tokens of each of `batch` texts behind `past` earlier ones: prefill has past = 0, a decode step
new = 1. Everything is a sum of operations (cost_layers.py has them, layer by layer), so it can be asked by part.

A multiplication and an addition are two FLOPs. Operations that are products of matrices or convolutions are exact, and
`seen` by PyTorch's counter. What it does not see has its own rows: fused attention, the triangular solve, and the
update of the state. What is done element by element (norms, gates, copies) has no FLOPs here, but the bytes that our
PyTorch code moves for it, which is approximate: a fused kernel moves fewer. Training is not covered.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..config import FULL, LINEAR, ModelConfig
from ..errors import InputError
from ..family import Memory, load_config, memory
from ..family.sizes import BITS
from .cost_layers import Operation, Work, ends, feed_forward, mixer, norms, vision
from .recorded import counted

__all__ = [
    "MIXES", "Cost", "Operation", "Work", "bytes_held", "crossover", "ends_cost", "layer_cost", "mixed", "mixer_cost",
    "pass_cost", "vision_cost",
]  # fmt: skip

MIXES = {"all DeltaNet": (1, 0), "7 : 1": (7, 1), "3 : 1": (3, 1), "1 : 1": (1, 1), "all attention": (0, 1)}
DTYPES = ("float64", "float32", "bfloat16", "float16", "fp8", "int8", "int4")
MOST = 2**26  # tokens that a crossover is looked for


@dataclass(frozen=True)
class Cost:
    """The operations of a pass, all texts of the batch together."""

    operations: tuple[Operation, ...]

    @property
    def flops(self) -> int:
        return sum(op.flops for op in self.operations)

    @property
    def seen(self) -> int:
        """FLOPs that PyTorch's counter finds."""
        return sum(op.flops for op in self.operations if op.seen)

    @property
    def weights(self) -> float:
        """Bytes of weights that are read, each once; of experts, as many as are expected to be chosen."""
        return sum(op.weights for op in self.operations)

    @property
    def cache(self) -> float:
        """Bytes read from the cache and written to it."""
        return sum(op.cache for op in self.operations)

    @property
    def traffic(self) -> float:
        """Bytes that no code can save: weights and cache."""
        return self.weights + self.cache

    @property
    def moved(self) -> float:
        """Bytes that our code reads and writes beside those: arrays in between."""
        return sum(op.moved for op in self.operations)

    def by_part(self, what: str = "flops") -> dict[str, float]:
        """`flops`, `weights`, `cache` or `moved` by part of the model, in order."""
        found: dict[str, float] = {}
        for op in self.operations:
            found[op.part] = found.get(op.part, 0) + getattr(op, what)
        return found

    def part(self, *names: str) -> "Cost":
        """Of these parts alone."""
        return Cost(tuple(op for op in self.operations if op.part in names))

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.operations + other.operations)

    def __mul__(self, times: int) -> "Cost":
        return Cost(tuple(op.times(times) for op in self.operations)) if times else Cost(())

    def __repr__(self) -> str:
        parts = ", ".join(f"{part} {flops:.3g}" for part, flops in self.by_part().items())
        return f"Cost({self.flops:.4g} FLOPs: {parts}; {self.traffic:.4g} bytes of weights and cache)"


def pass_cost(
    config: ModelConfig | str, new: int, past: int = 0, batch: int = 1, *, dtype: str = "bfloat16",
    attention: str = "fused", logits: int = 1,
) -> Cost:  # fmt: skip
    """What one pass of the language model costs.

    Args:
        config: one of the eight by name, or any `ModelConfig`; see `mixed` for other ratios of layers.
        new: tokens that the pass reads of each text.
        past: those that the cache holds already.
        dtype: of the weights. Activations and cache have it too, or bfloat16 where it has fewer than 16 bits; states
            have the config's own.
        attention: "fused", one kernel that skips what the causal rule forbids; "written out", product by product over
            the whole square of queries and keys, as the counter can see it.
        logits: tokens of each text whose logits are computed; 0 for all.
    Raises:
        InputError: a count, dtype or form that is none.
        ConfigError: no such model.
    """
    config = _config(config)
    kinds, total = config.text.layer_types, Cost(())
    for kind in (LINEAR, FULL):
        total += layer_cost(config, kind, new, past, batch, dtype=dtype, attention=attention) * kinds.count(kind)
    return total + ends_cost(config, new, batch, dtype=dtype, logits=logits)


def ends_cost(
    config: ModelConfig | str, new: int, batch: int = 1, *, dtype: str = "bfloat16", logits: int = 1
) -> Cost:  # fmt: skip
    """Of what is there once: the table of tokens, the last norm and the head. Arguments as of `pass_cost`."""
    work = _work(new, 0, batch, dtype, "fused")
    kept = work.new if counted(logits, "logits") == 0 else min(logits, work.new)
    return Cost(tuple(ends(_config(config).text, work, kept)))


def layer_cost(
    config: ModelConfig | str, kind: str, new: int, past: int = 0, batch: int = 1, *, dtype: str = "bfloat16",
    attention: str = "fused",
) -> Cost:  # fmt: skip
    """Of one layer of that kind ("linear_attention" or "full_attention"): mixer, feed-forward, and their norms."""
    text, work = _config(config).text, _work(new, past, batch, dtype, attention)
    rest = (*norms(text, work), *feed_forward(text, work))
    return mixer_cost(config, kind, new, past, batch, dtype=dtype, attention=attention) + Cost(rest)


def mixer_cost(
    config: ModelConfig | str, kind: str, new: int, past: int = 0, batch: int = 1, *, dtype: str = "bfloat16",
    attention: str = "fused",
) -> Cost:  # fmt: skip
    """Of one mixer alone, DeltaNet ("linear_attention") or gated attention ("full_attention")."""
    if kind not in (LINEAR, FULL):
        raise InputError(f"There is no layer of kind {kind!r}; pass {LINEAR!r} or {FULL!r}.")
    return Cost(tuple(mixer(_config(config).text, kind, _work(new, past, batch, dtype, attention))))


def vision_cost(config: ModelConfig | str, grids: Iterable[tuple[int, int, int]], *, dtype: str = "bfloat16") -> Cost:
    """Of the vision tower on pictures, by their grids of patches: (frames, rows, columns)."""
    config = _config(config)
    if config.vision is None:
        raise InputError("This model has no vision tower; pass the config of one that sees.")
    return Cost(tuple(vision(config.vision, list(grids), _work(1, 0, 1, dtype, "fused"))))


def bytes_held(config: ModelConfig | str, tokens: int, batch: int = 1, *, dtype: str = "bfloat16") -> Memory:
    """What a model and the caches of `batch` texts of so many tokens weigh; dtypes as of `pass_cost`."""
    kept = "bfloat16" if BITS.get(dtype, 16) < 16 else dtype
    return memory(_config(config), counted(tokens, "tokens"), counted(batch, "batch", 1), dtype=dtype, kv_dtype=kept)


def mixed(config: ModelConfig | str, mix: str | tuple[int, int], layers: int | None = None) -> ModelConfig:
    """The same model with another mix of layers, which nobody has trained.

    Args:
        mix: "all DeltaNet", "7 : 1", "3 : 1", "1 : 1", "all attention", or (DeltaNet layers, attention layers) that
            take turns, DeltaNet first.
        layers: how many in all; as many as the model has if not given.
    Raises:
        InputError: a mix that is none.
    """
    config = _config(config)
    if isinstance(mix, str) and mix not in MIXES:
        raise InputError(f"There is no mix {mix!r}; pass one of {', '.join(MIXES)}, or two numbers such as (4, 1).")
    try:
        linear, full = MIXES[mix] if isinstance(mix, str) else mix
    except (TypeError, ValueError):
        raise InputError(f"A mix is two numbers of layers such as (3, 1), and not {mix!r}.") from None
    linear, full = (counted(n, "a number of layers") for n in (linear, full))
    if linear + full == 0:
        raise InputError("A mix of no layers is no model; pass two numbers such as (3, 1).")
    period = (LINEAR,) * linear + (FULL,) * full
    count = config.text.num_hidden_layers if layers is None else counted(layers, "layers", 1)
    kinds = (period * (count // len(period) + 1))[:count]
    return replace(config, text=replace(config.text, layer_types=kinds, num_hidden_layers=count))


def crossover(a: Callable[[int], float], b: Callable[[int], float], low: int = 1, most: int = MOST) -> float:
    """The smallest number of tokens, from `low` on, at which `a` costs at least what `b` does; infinite if none.

    For costs that cross once: the place is found by halving.
    """
    if a(low) >= b(low):
        return low
    high = low
    while a(high) < b(high):
        if high >= most:
            return math.inf
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if a(middle) >= b(middle) else (middle, high)
    return high


def _config(config: ModelConfig | str) -> ModelConfig:
    found = load_config(config) if isinstance(config, str) else config
    if not isinstance(found, ModelConfig):
        raise InputError(f"A {type(found).__name__} is no config of this family; pass a ModelConfig, or a name of it.")
    return found


def _work(new: int, past: int, batch: int, dtype: str, attention: str) -> Work:
    if attention not in ("fused", "written out"):
        raise InputError(f"There is no form of attention {attention!r}; pass 'fused' or 'written out'.")
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise InputError(f"The dtype {dtype!r} is not known; use one of {', '.join(DTYPES)}.")
    return Work(
        counted(new, "new", 1), counted(past, "past"), counted(batch, "batch", 1), name, attention == "written out"
    )
