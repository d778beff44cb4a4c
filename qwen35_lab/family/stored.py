"""What a checkpoint weighs in the precisions in which it is really stored: few bits for most matrices, 16 for the rest.

`weight_bytes` has the ideal size, every number in so many bits. Published files keep more: the FP8 checkpoints of this
family (e4m3, a scale for every block of 128 x 128) leave in bfloat16 what `KEPT` names. The same tensors are left alone
here in int8 and int4 (a 16-bit scale for every 128 inputs of a row, no zero point). Approximate: makers differ. The
family's own GPTQ-Int4 files quantise less (no attention), Ollama's quantise the tables too.
"""

import re
from collections import Counter
from math import prod

from ..errors import InputError
from .shapes import Config, component, is_float32, tensor_shapes
from .sizes import BITS

# embeddings and head, all norms, routers, the shared expert's gate, β and g of DeltaNet, its convolution, the tower
KEPT = re.compile(
    r"embed_tokens|lm_head|norm|\.mlp\.gate\.|shared_expert_gate|in_proj_(a|b|ba)\.|conv1d|\.visual\.|A_log|dt_bias"
)
BLOCK = 128  # inputs that share a scale; in fp8 so many rows share it too
SCALE_BITS = {"fp8": 32, "int8": 16, "int4": 16}


def stays(name: str) -> bool:
    """Whether a tensor, by its official name, keeps 16 bits or more in a quantised checkpoint."""
    return bool(KEPT.search(name)) or name.endswith(".bias")


def stored_bytes(config: Config, dtype: str = "bfloat16") -> dict[str, int]:
    """Bytes of a checkpoint by component, in "float64", "float32", "bfloat16", "float16", "fp8", "int8" or "int4".

    In 16 bits it is `weight_bytes`, part by part. Below them the matrices that do not `stay` have so many bits, with
    their scales, and all others are as in bfloat16.

    Raises:
        InputError: no such dtype.
    """
    if dtype not in BITS:
        raise InputError(f"The dtype {dtype!r} is not known; use one of {', '.join(BITS)}.")
    bits: Counter[str] = Counter()
    for name, shape in tensor_shapes(config).items():
        bits[component(name)] += _bits(name, shape, dtype)
    return {part: -(-size // 8) for part, size in bits.items()}


def kept_share(config: Config) -> float:
    """The share of all parameters that keep 16 bits or more in a quantised checkpoint."""
    counts = Counter[bool]()
    for name, shape in tensor_shapes(config).items():
        counts[stays(name)] += prod(shape)
    return counts[True] / counts.total()


def _bits(name: str, shape: tuple[int, ...], dtype: str) -> int:
    numbers = prod(shape)
    if dtype in SCALE_BITS and not stays(name):
        *outer, rows, columns = shape
        groups = -(-columns // BLOCK) * (-(-rows // BLOCK) if dtype == "fp8" else rows) * prod(outer)
        return numbers * BITS[dtype] + groups * SCALE_BITS[dtype]
    width = BITS["bfloat16"] if dtype in SCALE_BITS else BITS[dtype]
    return numbers * (max(width, BITS["float32"]) if is_float32(name) else width)
