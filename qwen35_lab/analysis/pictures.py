"""What a model makes of a picture, brought back to where it stands in the picture.

Patches lie cell by cell, and row by row within a cell; cells lie row by row. `on_grid` puts either on rows and columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..config import FULL
from ..edits import edit
from ..errors import InputError
from ..qwen import Qwen
from ..trace import Trace
from .attention import attention_map
from .influence import influence_map
from .residual import layer_kinds


def on_grid(values: Tensor, grid: Sequence[int], merge: int = 1) -> Tensor:
    """Values of patches or cells, put where they stand: [frame, row, column, …]

    Args:
        values: [patch, …] in the model's order; of cells with merge = 1.
        grid: frames, rows and columns of what the values are of.
        merge: patches per side of a cell.
    Raises:
        InputError: the grid has another number of places.
    """
    frames, rows, columns = (int(n) for n in grid)
    if len(values) != frames * rows * columns:
        raise InputError(
            f"There are {len(values)} values for a grid of {frames}×{rows}×{columns}; pass the grid that is theirs."
        )
    pattern = "(t h w a b) ... -> t (h a) (w b) ..."
    return rearrange(values, pattern, t=frames, h=rows // merge, w=columns // merge, a=merge, b=merge)


def likeness(values: Tensor) -> Tensor:
    """The cosine between any two rows: [row, feature] -> [row, row]"""
    unit = torch.nn.functional.normalize(values.double(), dim=-1)
    return unit @ unit.T


def shares_read(trace: Trace, layer: int) -> Tensor:
    """Which share of all that a token reads in a layer comes from which token: [head, token that reads, token read].

    The softmax weights of an attention layer; of a DeltaNet layer the magnitudes of the exact influence map, scaled so
    that they sum to one. (There is no other unit that both have.)
    """
    if layer_kinds(trace)[layer] == FULL:
        return attention_map(trace, layer)
    size = influence_map(trace, layer).abs()
    return size / size.sum(-1, keepdim=True).clamp(min=1e-30)


@dataclass(frozen=True)
class Covering:
    """What covering each cell of a picture does to the next token."""

    answer: int  # the first choice with the whole picture
    before: float  # its probability
    after: Tensor  # [row, column], with that cell covered
    choice: Tensor  # [row, column], the first choice then

    @property
    def changed(self) -> int:
        """How many cells change the first choice."""
        return int((self.choice != self.answer).sum())


@torch.inference_mode()
def cover_each(qwen: Qwen, made: Mapping[str, Any], side: int = 1, how: str = "paint") -> Covering:
    """Cover the squares of a prompt's only image one after the other, and ask for the next token each time.

    Args:
        made: what `qwen.processor` made of the prompt.
        side: of a square, in cells; rows and columns of the result are then those of squares.
        how: as in `next_token`.
    Raises:
        InputError: there is not exactly one image, or no such way to cover.
    """
    rows, columns = (-(-n // side) for n in cells_of(qwen, made))
    whole = next_token(qwen, made)
    squares = [square(qwen, made, r * side, c * side, side) for r in range(rows) for c in range(columns)]
    p = torch.stack([next_token(qwen, made, cells, how) for cells in squares])
    answer = int(whole.argmax())
    after, choice = p[:, answer].view(rows, columns), p.argmax(-1).view(rows, columns)
    return Covering(answer, float(whole[answer]), after, choice)


def square(qwen: Qwen, made: Mapping[str, Any], row: int, column: int, side: int) -> list[int]:
    """The numbers of the cells in the square that has a cell at its top left; edges of the picture cut it off."""
    rows, columns = cells_of(qwen, made)
    down, across = range(row, min(row + side, rows)), range(column, min(column + side, columns))
    return [r * columns + c for r in down for c in across]


def cells_of(qwen: Qwen, made: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of cells of a prompt's only image."""
    grid = made.get("image_grid_thw")
    if grid is None or len(grid) != 1 or qwen.config.vision is None:
        raise InputError("This looks at exactly one image; pass what qwen.processor made of a text with one.")
    merge = qwen.config.vision.spatial_merge_size
    return int(grid[0, 1]) // merge, int(grid[0, 2]) // merge


def covered(qwen: Qwen, made: Mapping[str, Any], cells: Sequence[int]) -> dict[str, Any]:
    """The same inputs, cells of the image painted over with the picture's most common shade (its median pixel)."""
    assert qwen.config.vision is not None
    pixels, four = made["pixel_values"].clone(), qwen.config.vision.spatial_merge_size**2
    each = pixels.view(len(pixels), qwen.config.vision.in_channels, -1)  # [patch, channel, pixel]
    shade = each.transpose(0, 1).flatten(1).median(-1).values[:, None]
    each[[cell * four + n for cell in cells for n in range(four)]] = shade
    return {**made, "pixel_values": pixels}


@torch.no_grad()
def next_token(qwen: Qwen, made: Mapping[str, Any], cells: Sequence[int] = (), how: str = "paint") -> Tensor:
    """Probabilities of the next token, [vocabulary], float64, with cells covered.

    Args:
        how: "paint" paints the pixels over; "zero" leaves them, and puts zeros in place of the vectors that the tower
            makes of the cells.
    """
    if how not in ("paint", "zero"):
        raise InputError(f'There is no way {how!r} to cover a cell; choose "paint" or "zero".')
    edits = [edit("vision.merged", cell=list(cells)).zero()] if how == "zero" and cells else []
    inputs = covered(qwen, made, cells) if how == "paint" and cells else dict(made)
    with qwen.edited(*edits):
        return qwen.model(**inputs, logits_to_keep=1).logits[0, -1].double().cpu().softmax(-1)


def as_picture(qwen: Qwen, made: Mapping[str, Any]) -> Tensor:
    """The only image of a prompt as the model is given it: [row of pixels, column, colour], 0 to 255.

    Undoes the cutting and the usual normalisation, (x/255 − ½)/½.
    """
    cells_of(qwen, made)
    assert qwen.config.vision is not None
    cut = qwen.config.vision
    patches = made["pixel_values"].view(-1, cut.in_channels, cut.temporal_patch_size, cut.patch_size, cut.patch_size)
    placed = on_grid(patches[:, :, 0], made["image_grid_thw"][0].tolist(), cut.spatial_merge_size)[0]
    pixels = rearrange(placed, "h w c p q -> (h p) (w q) c")
    return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
