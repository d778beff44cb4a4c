"""The operations of every kind of layer, read off the code in `model/`, one row each.

Symbols: B texts, T new tokens of each, P tokens that they look at, N = B T. H hidden; a DeltaNet mixer has G query/key
heads and J value heads, K and V features, C tokens in a chunk; an attention mixer has Q query features and R key
features, all heads together, D in a head. e bytes of a number, w the same in float32 at least.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..config import FULL, TextConfig, VisionConfig
from ..estimate import CHUNK
from ..family.sizes import BITS


@dataclass(frozen=True)
class Operation:
    """One step of a pass; counts for the whole batch."""

    part: str  # of the model
    name: str
    flops: int = 0
    seen: bool = True  # by PyTorch's counter
    weights: float = 0  # bytes read
    cache: float = 0  # bytes read and written
    moved: float = 0  # bytes of arrays in between, read and written

    def times(self, n: int) -> "Operation":
        return replace(self, flops=n * self.flops, weights=n * self.weights, cache=n * self.cache, moved=n * self.moved)


@dataclass(frozen=True)
class Work:
    """What a pass reads, and in which form."""

    new: int
    past: int
    batch: int
    dtype: str
    written_out: bool = False

    @property
    def tokens(self) -> int:
        return self.batch * self.new

    @property
    def stored(self) -> float:
        """Bytes of a weight."""
        return BITS[self.dtype] / 8

    @property
    def e(self) -> float:
        """Bytes of an activation."""
        return max(2.0, self.stored)

    @property
    def w(self) -> float:
        return max(4.0, self.stored)

    @property
    def pairs(self) -> int:
        """Of a query and a key, for one head of one text, that are computed; blocks with a mask, as on a GPU, compute
        up to `BLOCK` more for each query (model/attention.py)."""
        own = self.new**2 if self.written_out else self.new * (self.new + 1) // 2
        return self.new * self.past + own


def mixer(text: TextConfig, kind: str, work: Work) -> Iterator[Operation]:
    if kind == FULL:
        return _attention(text, work)
    return _deltanet(text, work)


def _deltanet(t: TextConfig, work: Work) -> Iterator[Operation]:
    N, e, w = work.tokens, work.e, work.w
    H, G, J = t.hidden_size, t.linear_num_key_heads, t.linear_num_value_heads
    K, V = t.linear_key_head_dim, t.linear_value_head_dim
    channels, kernel = 2 * G * K + J * V, t.linear_conv_kernel_dim
    part, rows = "deltanet", channels + J * V + 2 * J  # q, k and v; z; β and g
    small = (channels * kernel + J) * work.stored + (J + V) * work.w  # A_log and the norm stay in float32
    conv_state = 2 * work.batch * channels * (kernel - 1) * e
    yield Operation(part, "projections", 2 * N * H * rows, weights=H * rows * work.stored)
    seen = work.new > 1  # the window of one token is a plain sum
    yield Operation(
        part, "convolution", 2 * N * channels * kernel, seen=seen, weights=small, cache=conv_state,
        moved=4 * N * channels * e,
    )  # fmt: skip
    yield from (_recurrent if work.new == 1 else _chunked)(t, work)
    around = 4 * channels * e + (12 * G * K + 14 * J * V) * w  # window, silu, L2 norms; the gated norm
    yield Operation(part, "element by element", moved=N * around)
    yield Operation(part, "output", 2 * N * J * V * H, weights=J * V * H * work.stored)


def _recurrent(t: TextConfig, work: Work) -> Iterator[Operation]:
    """Fade; read under the key; write, in place; read with the query (fast_delta_rule.recurrent)."""
    state = work.batch * t.linear_num_value_heads * t.linear_key_head_dim * t.linear_value_head_dim
    kept = BITS[t.state_dtype] / 8
    yield Operation("deltanet", "delta rule", 4 * state, cache=2 * state * kept)
    passes = 4 + (work.past == 0)  # an empty memory is written first
    yield Operation("deltanet", "state update", 3 * state, seen=False, moved=passes * state * work.w)


def _chunked(t: TextConfig, work: Work) -> Iterator[Operation]:
    """In chunks of C, and what is left of them (fast_delta_rule.chunked)."""
    J, K, V = t.linear_num_value_heads, t.linear_key_head_dim, t.linear_value_head_dim
    rows = work.batch * J
    chunks = [CHUNK] * (work.new // CHUNK) + [work.new % CHUNK] * (work.new % CHUNK > 0)
    tokens, squares, cubes = (sum(C**power for C in chunks) for power in (1, 2, 3))
    kept = 2 * rows * K * V * BITS[t.state_dtype] / 8 if work.past else rows * K * V * 4
    inside = 4 * squares * (K + V)  # Q Kᵀ and K Kᵀ; the inverse and the scores times values
    through = 4 * tokens * K * V  # read for the keys, read for the queries
    write = (2 * tokens + len(chunks)) * K * V  # fade and write, in place, which PyTorch's counter does not see
    yield Operation("deltanet", "delta rule", rows * (inside + through), cache=kept)
    yield Operation("deltanet", "triangular solve", rows * cubes, seen=False)
    arrays = tokens * (6 * K + 13 * V) + 18 * squares + 4 * len(chunks) * K * V
    yield Operation("deltanet", "state update", rows * write, seen=False, moved=rows * arrays * work.w)


def _attention(t: TextConfig, work: Work) -> Iterator[Operation]:
    N, B, e, D = work.tokens, work.batch, work.e, t.head_dim
    H, Q, R = t.hidden_size, t.num_attention_heads * D, t.num_key_value_heads * D
    P, part, turned = work.new + work.past, "attention", int(D * t.rope.partial_rotary_factor) / D
    rows = 2 * Q + 2 * R  # queries and gates, keys, values
    biases = (rows + H) * t.attention_bias
    yield Operation(part, "projections", 2 * N * H * rows, weights=(H * rows + biases + 2 * D) * work.stored)
    kept = 2 * B * R * (work.past + work.new) * e  # what is there is read, what is new is written
    squares = 12 * t.num_attention_heads * work.new * P * e if work.written_out else 0
    shared = 2 * B * P * (Q + R) * e if work.written_out else 0  # keys and values, repeated for all query heads
    yield Operation(
        part, "scores and values", 4 * B * work.pairs * Q, seen=work.written_out, cache=kept, moved=B * squares + shared
    )
    yield Operation(part, "element by element", moved=N * ((16 + 10 * turned) * Q + (9 + 10 * turned) * R) * e)
    yield Operation(part, "output", 2 * N * Q * H, weights=Q * H * work.stored)


def feed_forward(t: TextConfig, work: Work) -> Iterator[Operation]:
    N, H, e = work.tokens, t.hidden_size, work.e
    if not t.is_moe:
        width = t.intermediate_size
        yield Operation("ffn", "SwiGLU", 6 * N * H * width, weights=3 * H * width * work.stored)
        yield Operation("ffn", "element by element", moved=5 * N * width * e)
        return
    E, k, width, shared = (
        t.num_experts, t.num_experts_per_tok, t.moe_intermediate_size, t.shared_expert_intermediate_size
    )  # fmt: skip
    chosen = E * (1 - (1 - k / E) ** N)  # different ones, if all are equally likely
    yield Operation("ffn", "router", 2 * N * H * E, weights=H * E * work.stored, moved=5 * N * E * work.w)
    yield Operation("ffn", "routed experts", 6 * N * k * H * width, weights=chosen * 3 * H * width * work.stored)
    yield Operation("ffn", "shared expert", 6 * N * H * shared + 2 * N * H, weights=(3 * H * shared + H) * work.stored)
    yield Operation("ffn", "element by element", moved=N * (k * (9 * H + 5 * width) + 5 * shared + 6 * H) * e)


def norms(t: TextConfig, work: Work) -> Iterator[Operation]:
    """Of the residual stream, and what is added to it, in one layer."""
    H = t.hidden_size
    yield Operation("norms", "element by element", weights=2 * H * work.stored, moved=20 * work.tokens * H * work.e)


def ends(t: TextConfig, work: Work, logits: int) -> Iterator[Operation]:
    """The table of tokens, the last norm, and the head on so many tokens of each text."""
    H, N = t.hidden_size, work.tokens
    yield Operation("head", "embedding and last norm", weights=H * work.stored, moved=9 * N * H * work.e)
    yield Operation(
        "head", "logits", 2 * work.batch * logits * H * t.vocab_size, weights=H * t.vocab_size * work.stored
    )


def vision(v: VisionConfig, grids: Sequence[tuple[int, int, int]], work: Work) -> Iterator[Operation]:
    """The tower, all pictures together; every frame looks at itself alone."""
    W, inner, depth, e = v.hidden_size, v.intermediate_size, v.depth, work.stored
    patches = sum(frames * rows * columns for frames, rows, columns in grids)
    pairs = sum(frames * (rows * columns) ** 2 for frames, rows, columns in grids)
    pixels = v.in_channels * v.temporal_patch_size * v.patch_size**2
    cells, wide = patches // v.spatial_merge_size**2, W * v.spatial_merge_size**2
    yield Operation("vision", "patches", 2 * patches * pixels * W, weights=(pixels * W + W) * e)
    block = 4 * W * W + 2 * W * inner
    yield Operation("vision", "projections", 2 * patches * block * depth, weights=depth * (block + 9 * W + inner) * e)
    yield Operation("vision", "scores and values", 4 * pairs * W * depth, seen=False)
    merge = wide * wide + wide * v.out_hidden_size
    table = v.num_position_embeddings * W + 2 * W + wide + v.out_hidden_size
    yield Operation("vision", "merger", 2 * cells * merge, weights=(merge + table) * e)
