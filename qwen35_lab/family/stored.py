"""What a checkpoint weighs in the precisions in which it is really stored: few bits for most matrices, 16 for the rest.

`weight_bytes` has the ideal size, every number in so many bits. Published files keep more: the FP8 checkpoints of this
family (e4m3, a 16-bit scale for every block of 128 x 128) round the matrices of layers, and those alone (fp8.py). The
same matrices are rounded here in int8 and int4 (a 16-bit scale for every 128 inputs of a row, no zero point).
Approximate: makers differ. The family's own GPTQ-Int4 files quantise less (no attention), Ollama's quantise the tables
too, and torchao's int8 has a scale for each row, its int4 a zero point for each group.
"""

from collections import Counter
from math import prod

from ..errors import InputError
from ..fp8 import is_rounded
from .shapes import Config, component, is_float32, tensor_shapes
from .sizes import BITS, memory

BLOCK = 128  # inputs that share a scale; in fp8 so many rows share it too
SCALE_BITS = {"fp8": 16, "int8": 16, "int4": 16}
# the parts of `loaded_bytes`
WEIGHTS = TEXT, VISION, MTP = ("text weights", "vision tower", "MTP head")
CACHE = ("keys and values", "DeltaNet states", "convolutions")


def stored_bytes(config: Config, dtype: str = "bfloat16") -> dict[str, int]:
    """Bytes of a checkpoint by component, in "float64", "float32", "bfloat16", "float16", "fp8", "int8" or "int4".

    In 16 bits it is `weight_bytes`, part by part. Below them what `is_rounded` has so many bits, with its scales,
    and all else is as in bfloat16.

    Raises:
        InputError: no such dtype.
    """
    if dtype not in BITS:
        raise InputError(f"The dtype {dtype!r} is not known; use one of {', '.join(BITS)}.")
    bits: Counter[str] = Counter()
    for name, shape in tensor_shapes(config).items():
        bits[component(name)] += _bits(name, shape, dtype)
    return {part: -(-size // 8) for part, size in bits.items()}


def loaded_bytes(config: Config, dtype: str = "bfloat16", tokens: int = 0, batch: int = 1) -> dict[str, int]:
    """Bytes of what is in memory as long as a model is used: its weights, and the caches of `batch` texts.

    Args:
        dtype: of the weights, as of `stored_bytes`; of the cache too, or bfloat16 where it has fewer than 16 bits.
        tokens: of each text.
    Returns:
        bytes of each of `WEIGHTS`, then of each of `CACHE`; "convolutions" are their last inputs.
    Raises:
        InputError: no such dtype, or a count that is none.
    """
    weights = stored_bytes(config, dtype)
    cache = memory(config, tokens, batch, kv_dtype=dtype if BITS[dtype] >= 16 else "bfloat16")
    own = {VISION: weights.pop("vision", 0), MTP: weights.pop("mtp", 0)}
    return {TEXT: sum(weights.values())} | own | dict(zip(CACHE, (cache.kv, cache.state, cache.conv_state)))


def routed_bytes(config: Config, dtype: str = "bfloat16") -> dict[str, int]:
    """Bytes of all routed experts, which `experts="disk"` leaves in the files: of `TEXT` and of `MTP`.

    Args:
        dtype: as of `stored_bytes`.
    Raises:
        InputError: a model without such experts.
    """
    if not config.text.is_moe:
        raise InputError("This model has no routed experts that could stay on disk; leave out experts='disk'.")
    bits = {TEXT: 0, MTP: 0}
    for name, shape in tensor_shapes(config).items():
        if ".mlp.experts." in name:
            bits[MTP if component(name) == "mtp" else TEXT] += _bits(name, shape, dtype)
    return {part: size // 8 for part, size in bits.items()}


def kept_share(config: Config) -> float:
    """The share of all parameters that keep 16 bits or more in a quantised checkpoint."""
    counts = Counter[bool]()
    for name, shape in tensor_shapes(config).items():
        counts[is_rounded(name)] += prod(shape)
    return counts[False] / counts.total()


def _bits(name: str, shape: tuple[int, ...], dtype: str) -> int:
    numbers = prod(shape)
    if dtype in SCALE_BITS and is_rounded(name):
        *outer, rows, columns = shape
        if name.endswith("gate_up_proj"):  # FP8 files have its two halves apart
            outer, rows = [*outer, 2], rows // 2
        groups = -(-columns // BLOCK) * (-(-rows // BLOCK) if dtype == "fp8" else rows) * prod(outer)
        return numbers * BITS[dtype] + groups * SCALE_BITS[dtype]
    width = BITS["bfloat16"] if dtype in SCALE_BITS else BITS[dtype]
    return numbers * (max(width, BITS["float32"]) if is_float32(name) else width)
