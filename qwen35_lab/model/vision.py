"""The vision tower: pictures -> one vector of the language model's width for every cell of 2×2 patches.

    x = W·pixels + b + position(row, column)     a patch is 16×16 pixels of two frames; a still image is taken twice
    x += attention(norm(x));  x += mlp(norm(x))  `depth` blocks, with LayerNorm, and biases everywhere
    y = W₂·gelu(W₁·[norm(x) of 2×2 patches])     the merger: four patches become one token

Differences from a plain ViT (Dosovitskiy et al. 2020, arXiv 2010.11929): pictures keep their own size and shape, so the
learned position table is stretched over each grid; position enters a second time as a rotation of q and k, by row and
column (see rope.py for the one of text); no class token; every frame of a video attends to itself alone.

All pictures of a call lie one behind the other in one row of patches (batch 1), in the order that the processors make:
frame by frame, cell by cell, row by row within a cell. A grid is (frames, rows, columns), counted in patches.
Reference: `Qwen3_5VisionModel` in transformers; Qwen3-VL (arXiv 2511.21631).
"""

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import VisionConfig
from ..errors import ConfigError
from .norm import wide
from .product import ACTIVATIONS, Linear, through
from .taps import Tap

Grid = tuple[int, int, int]
THETA = 10_000.0  # of the rotation


class VisionTower(nn.Module):
    def __init__(self, config: VisionConfig):
        super().__init__()
        if (config.hidden_size // config.num_heads) % 4:
            raise ConfigError(
                f"The vision tower has {config.hidden_size // config.num_heads} features per head, which are rotated "
                "in pairs by row and by column; choose `vision_config.num_heads` so that it is a multiple of 4."
            )
        self.config = config
        width = config.hidden_size
        self.patch_embed = PatchEmbedding(config)
        self.pos_embed = nn.Embedding(config.num_position_embeddings, width)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config)
        self.patches = Tap("batch patch feature", "each patch's pixels, embedded", feature=width)
        self.positions = Tap(
            "batch patch feature", "what the position table adds, stretched over the picture's grid", feature=width
        )
        self.merged = Tap(
            "batch cell feature",
            "what the language model gets in place of a placeholder's embedding",
            feature=config.out_hidden_size,
        )

    def forward(self, pixels: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Pictures as the language model sees them.

        Args:
            pixels: [patch, channel · frame · row · column], all pictures behind one another.
            grids: (frames, rows, columns) of each picture.
        Returns:
            [cell, out_hidden_size], in the order of the patches.
        """
        x = self.patches(self.patch_embed(pixels)[None])
        x = x + self.positions(self.stretched(grids).to(x.dtype)[None])
        rotary = self.rotary(grids, x.dtype)
        for block in self.blocks:
            x = block(x, rotary, grids)
        return self.merged(self.merger(x))[0]

    def stretched(self, grids: Sequence[Grid]) -> Tensor:
        """The square position table, interpolated to every picture's grid, its corners kept: [patch, feature]"""
        side = int(self.config.num_position_embeddings**0.5)
        table = rearrange(wide(self.pos_embed.weight)[: side * side], "(h w) d -> 1 d h w", h=side)
        parts = []
        for frames, rows, columns in grids:
            grown = F.interpolate(table, (rows, columns), mode="bilinear", align_corners=True)[0]
            parts.append(self._in_order(rearrange(grown, "d h w -> h w d"), frames))
        return torch.cat(parts)

    def rotary(self, grids: Sequence[Grid], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin of every patch, [1, patch, 1, pair]: half of the pairs turn by row, half by column."""
        device, wide_dtype = self.pos_embed.weight.device, torch.promote_types(dtype, torch.float32)
        half = self.config.hidden_size // self.config.num_heads // 2
        frequencies = THETA ** -(torch.arange(0, half, 2, device=device, dtype=wide_dtype) / half)
        parts: dict[Grid, Tensor] = {}  # many pictures share a grid
        for grid in dict.fromkeys(grids):
            lines = (torch.arange(n, device=device) for n in grid[1:])
            parts[grid] = self._in_order(torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1), grid[0])
        where = torch.cat([parts[grid] for grid in grids])
        angles = (where[..., None] * frequencies).flatten(1)[None, :, None]  # by row, then by column
        return angles.cos(), angles.sin()

    def _in_order(self, grid: Tensor, frames: int) -> Tensor:
        """[rows, columns, …] -> [patch, …], cell by cell, the same for every frame."""
        m = self.config.spatial_merge_size
        return repeat(grid, "(h a) (w b) d -> (t h w a b) d", t=frames, a=m, b=m)


class PatchEmbedding(nn.Module):
    """One patch, seen through its time, height and width at once: W·pixels + b. The weight is stored as the kernel of
    a convolution whose steps are as long as itself, which is the same thing."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        side = config.patch_size
        self.weight = nn.Parameter(
            torch.empty(config.hidden_size, config.in_channels, config.temporal_patch_size, side, side)
        )
        self.bias = nn.Parameter(torch.empty(config.hidden_size))

    def forward(self, pixels: Tensor) -> Tensor:
        """[patch, channel · frame · row · column] -> [patch, feature]"""
        return F.linear(pixels.to(self.weight.dtype), self.weight.flatten(1), self.bias)

    def extra_repr(self) -> str:
        return " × ".join(map(str, self.weight.shape))


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig):
        super().__init__()
        width = config.hidden_size
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = VisionAttention(config)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = VisionMLP(config)
        stream = {"axes": "batch patch feature", "feature": width}
        self.input = Tap(meaning="a patch as it enters the block", **stream)
        self.after_attention = Tap(meaning="a patch between attention and feed-forward", **stream)
        self.output = Tap(meaning="a patch as it leaves the block", **stream)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], grids: Sequence[Grid]) -> Tensor:
        """x [1, patch, feature] -> [1, patch, feature]"""
        x = self.input(x)
        x = self.after_attention(x + self.attention(self.norm1(x), rotary, grids))
        return self.output(x + self.mlp(self.norm2(x)))


class VisionAttention(nn.Module):
    """softmax(q kᵀ/√d) v among the patches of one frame, in both directions."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        width, heads = config.hidden_size, config.num_heads
        self.heads, self.head_dim = heads, width // heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        each = {"axes": "batch patch head feature", "head": heads, "feature": self.head_dim}
        self.q = Tap(meaning="queries, rotated by row and column", **each)
        self.k = Tap(meaning="keys, rotated by row and column", **each)
        self.v = Tap(meaning="values", **each)
        looks: dict = {"axes": "batch head patch seen_patch", "lazy": True, "head": heads}
        self.scores = Tap(meaning="q·k/√d, −inf between frames, before the softmax", **looks)
        self.weights = Tap(meaning="how a patch looks at the others of its frame; each row sums to one", **looks)
        self.out = Tap("batch patch feature", "what attention adds to the patch", feature=width)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], grids: Sequence[Grid]) -> Tensor:
        """x [1, patch, feature] -> [1, patch, feature]"""
        q, k, v = rearrange(self.qkv(x), "b p (three h d) -> three b p h d", three=3, h=self.heads)
        q = self.q(_rotate(q, *rotary))
        k = self.k(_rotate(k, *rotary))
        v = self.v(v)
        attend = self._attend_readably if self.scores.wanted or self.weights.wanted else self._attend_fused
        return self.out(self.proj(attend(q, k, v, grids).flatten(2)))

    def _attend_fused(self, q: Tensor, k: Tensor, v: Tensor, grids: Sequence[Grid]) -> Tensor:
        """By PyTorch's kernel, all frames of one size as a batch: q, k, v, and the result [1, patch, head, feature]"""
        frames = [h * w for t, h, w in grids for _ in range(t)]
        sizes = sorted(set(frames))
        if len(sizes) == 1:
            return _frame_by_frame(q[0], k[0], v[0], sizes[0])[None]
        patches = torch.tensor(frames)
        order = patches.repeat_interleave(patches).argsort(stable=True).to(q.device)
        widths = [size * frames.count(size) for size in sizes]
        queries, keys, values = (z[0, order].split(widths) for z in (q, k, v))
        done = [_frame_by_frame(*each) for each in zip(queries, keys, values, sizes, strict=True)]
        return torch.cat(done)[order.argsort()][None]

    def _attend_readably(self, q: Tensor, k: Tensor, v: Tensor, grids: Sequence[Grid]) -> Tensor:
        """The same, written out over all patches of the call, so that scores and weights can be seen and changed."""
        frames = [h * w for t, h, w in grids for _ in range(t)]
        frame = torch.arange(len(frames), device=q.device).repeat_interleave(torch.tensor(frames, device=q.device))
        apart = frame[:, None] != frame
        q, k, v = (rearrange(z, "b p h d -> b h p d") for z in (q, k, v))
        scores = self.scores((q @ k.mT / self.head_dim**0.5).masked_fill(apart, -torch.inf))
        scores = scores.masked_fill(apart, -torch.inf)  # once more: an edit does not open other frames
        weights = self.weights(wide(scores).softmax(-1).to(q.dtype)).masked_fill(apart, 0)  # nor one of the weights
        return rearrange(weights @ v, "b h p d -> b p h d")


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + half) of every head: x [batch, patch, head, feature], cos and sin [1, patch, 1, pair]"""
    first, second = wide(x).chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def _frame_by_frame(q: Tensor, k: Tensor, v: Tensor, size: int) -> Tensor:
    """Attention within each frame of so many patches: q, k, v, and the result [patch, head, feature]"""
    q, k, v = (rearrange(z, "(t p) h d -> t h p d", p=size) for z in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v), "t h p d -> (t p) h d")


class VisionMLP(nn.Module):
    def __init__(self, config: VisionConfig):
        super().__init__()
        if config.hidden_act not in ACTIVATIONS:
            raise ConfigError(
                f"The field `vision_config.hidden_act` is {config.hidden_act!r}; use {', '.join(ACTIVATIONS)}."
            )
        self.linear_fc1 = Linear(config.hidden_size, config.intermediate_size)
        self.linear_fc2 = Linear(config.intermediate_size, config.hidden_size)
        self.activation = config.hidden_act
        self.out = Tap("batch patch feature", "what the feed-forward adds to the patch", feature=config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """x [1, patch, feature] -> [1, patch, feature]"""
        return self.out(self.linear_fc2(through(self.linear_fc1, x, self.activation)))


class PatchMerger(nn.Module):
    """The patches of a cell side by side, through two layers, to the language model's width."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.cell = config.spatial_merge_size**2
        width = config.hidden_size * self.cell
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.linear_fc1 = Linear(width, width)
        self.linear_fc2 = Linear(width, config.out_hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """x [1, patch, feature] -> [1, cell, out_hidden_size]"""
        x = rearrange(self.norm(x), "b (cell four) d -> b cell (four d)", four=self.cell)
        return self.linear_fc2(through(self.linear_fc1, x, "gelu"))
