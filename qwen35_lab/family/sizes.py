"""Parameters and memory of a model, from its config alone. Pure functions; units are parameters, tokens and bytes.

Memory is what the numbers themselves occupy: no activations, no allocator overhead, no padding.
"""

import math
from collections import Counter
from dataclasses import dataclass, fields
from math import prod

from ..config import FULL, LINEAR
from ..errors import InputError
from .shapes import COMPONENTS, Config, component, is_float32, tensor_shapes

BITS = {"float64": 64, "float32": 32, "bfloat16": 16, "float16": 16, "fp8": 8, "int8": 8, "int4": 4}


@dataclass(frozen=True)
class Parameters:
    """How many parameters each component has. The eleven components add up to `total`."""

    embedding: int  # token table, V x H
    head: int  # output table, V x H; 0 where the embedding table serves as head (tied)
    deltanet: int  # mixers of the linear-attention layers, with their own norms
    attention: int  # mixers of the full-attention layers, with their own norms
    dense_ffn: int
    routed_experts: int
    shared_experts: int  # with their gates
    router: int
    norms: int  # of the residual stream
    vision: int
    mtp: int  # multi-token-prediction head, with its experts if it has any
    active_experts: int  # of `routed_experts`: the top-k that work on one token

    @property
    def total(self) -> int:
        """The whole checkpoint: text, vision and MTP, a tied table counted once."""
        return sum(self.split().values())

    @property
    def text(self) -> int:
        """The language model without vision tower and MTP head."""
        return self.total - self.vision - self.mtp

    @property
    def active(self) -> int:
        """Text parameters that work on one token.

        Both token tables, all mixers and norms, the dense FFN or the shared expert, the router, and the top-k of the
        routed experts. Not the vision tower and not the MTP head.
        """
        return self.text - self.routed_experts + self.active_experts

    @property
    def active_without_embedding(self) -> int:
        """`active` less the input table. In a tied model the head is that table, so the head is left out with it."""
        return self.active - self.embedding

    @property
    def read_per_token(self) -> int:
        """Parameters that decoding one token has to read: `active`, less an input table of which one row is enough.

        A tied table is read whole, as the head.
        """
        return self.active_without_embedding if self.head else self.active

    def split(self) -> dict[str, int]:
        """Component -> parameters, in the order of the fields; the values add up to `total`."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in COMPONENTS}


@dataclass(frozen=True)
class Memory:
    """Bytes needed to run a model on `batch` sequences of `tokens` tokens each."""

    tokens: int
    batch: int
    weights: int
    kv: int  # grows with tokens and batch
    state: int  # grows with batch only
    conv_state: int  # grows with batch only

    @property
    def cache(self) -> int:
        """Everything that is kept from token to token."""
        return self.kv + self.state + self.conv_state

    @property
    def total(self) -> int:
        return self.weights + self.cache


def parameters(config: Config) -> Parameters:
    """Count by component: the product of each tensor's sizes, summed over the table of `tensor_shapes`."""
    counts: Counter[str] = Counter()
    for name, shape in tensor_shapes(config).items():
        counts[component(name)] += prod(shape)
    text = config.text
    routed = counts["routed_experts"]
    active = routed // text.num_experts * text.num_experts_per_tok if text.is_moe else 0
    return Parameters(**{part: counts[part] for part in COMPONENTS}, active_experts=active)


def kv_bytes_per_token(config: Config, dtype: str = "bfloat16") -> int:
    """Bytes that one more token adds to the cache: 2 (k and v) x full layers x kv heads x head_dim x bytes."""
    text = config.text
    return _bytes(2 * text.layer_types.count(FULL) * text.num_key_value_heads * text.head_dim, dtype)


def state_bytes(config: Config, dtype: str | None = None) -> int:
    """Bytes of the DeltaNet states of one sequence: linear layers x value heads x d_k x d_v x bytes, at any length.

    `dtype` defaults to the config's own (`mamba_ssm_dtype`, float32 in the eight).
    """
    text = config.text
    per_layer = text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim
    return _bytes(text.layer_types.count(LINEAR) * per_layer, dtype or text.state_dtype)


def conv_state_bytes(config: Config, dtype: str = "bfloat16") -> int:
    """Bytes of the convolutions' memory of one sequence: linear layers x (q + k + v channels) x (kernel - 1) x bytes.

    A kernel of 4 needs the last 3 inputs; transformers keeps 4 columns, of which the oldest is never used.
    """
    text = config.text
    channels = 2 * text.linear_num_key_heads * text.linear_key_head_dim
    channels += text.linear_num_value_heads * text.linear_value_head_dim
    return _bytes(text.layer_types.count(LINEAR) * channels * max(text.linear_conv_kernel_dim - 1, 0), dtype)


def break_even_tokens(config: Config, dtype: str = "bfloat16") -> float:
    """The length in tokens at which the KV cache has grown to the size of the fixed DeltaNet states.

    0 in a model without DeltaNet layers, infinite in one without full attention. Without the conv states.
    """
    per_token = kv_bytes_per_token(config, dtype)
    return state_bytes(config) / per_token if per_token else math.inf


def weight_bytes(config: Config, dtype: str = "bfloat16", *, text_only: bool = False) -> int:
    """Bytes of the checkpoint's weights in `dtype`; `text_only` leaves out the vision tower and the MTP head.

    In bfloat16 and float16, `A_log` and the gated norm's weight stay float32, as in the published files (assumed for
    the predecessors too). fp8, int8 and int4 are ideal sizes: every parameter in that many bits, no scales. Real
    quantised checkpoints are larger, since they keep tables, norms and the vision tower in bfloat16.
    """
    total_bits = 0
    for name, shape in tensor_shapes(config).items():
        if text_only and component(name) in ("vision", "mtp"):
            continue
        keeps_float32 = is_float32(name) and _bits(dtype) == BITS["bfloat16"]
        total_bits += prod(shape) * _bits("float32" if keeps_float32 else dtype)
    return -(-total_bits // 8)


def memory(
    config: Config, tokens: int, batch: int = 1, *, dtype: str = "bfloat16", kv_dtype: str = "bfloat16"
) -> Memory:
    """What `batch` sequences of `tokens` tokens need: weights in `dtype`, KV cache and conv states in `kv_dtype`.

    The DeltaNet states have their own dtype, see `state_bytes`.
    """
    for name, value in (("tokens", tokens), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"`{name}` is {value!r}, not a count; pass a whole number that is not negative.")
    return Memory(
        tokens=tokens,
        batch=batch,
        weights=weight_bytes(config, dtype),
        kv=kv_bytes_per_token(config, kv_dtype) * tokens * batch,
        state=state_bytes(config) * batch,
        conv_state=conv_state_bytes(config, kv_dtype) * batch,
    )


def _bits(dtype: str) -> int:
    """Bits of one number. Takes names and, spelled out, torch dtypes (`torch.bfloat16`, `torch.float8_e4m3fn`)."""
    name = str(dtype).removeprefix("torch.")
    name = "fp8" if name.startswith("float8") else name
    if name not in BITS:
        raise InputError(f"The dtype {dtype!r} is not known; use one of {', '.join(BITS)}.")
    return BITS[name]


def _bytes(numbers: int, dtype: str) -> int:
    return -(-numbers * _bits(dtype) // 8)  # rounded up
