"""M-RoPE positions: every token has a time, a height and a width (rope.py says how they turn q and k).

* A text token's three positions are one and the same number, one more than the text token before.
* The cells of a picture that begins at position p have time p, height p + row, width p + column.
* What follows a picture goes on at p + its longer side, so a picture of 20×30 cells takes up 30 positions, not 600.

A video is a row of pictures, one for every two frames; between them stands their time as text, "<1.5 seconds>".
Padding has no position. Reference: Qwen2-VL (arXiv 2409.12191), §2.1; `Qwen3_5Model.get_rope_index` in transformers.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .vision import Grid

TEXT, IMAGE, VIDEO = 0, 1, 2  # kinds of token, as in the processors' mm_token_type_ids


def mrope_positions(
    kinds: Tensor, real: Tensor | None, images: Sequence[Grid], videos: Sequence[Grid], start: Tensor
) -> Tensor:
    """Positions of a call's tokens: [3, batch, token], 0 at padding.

    Args:
        kinds: [batch, token], which tokens are text, and which placeholders of an image or of a video.
        real: bool [batch, token], False at padding; None if there is none.
        images, videos: (frames, rows, columns) in cells, over all rows of the batch in the order of the text.
        start: [batch], the position of every row's next token.
    Raises:
        InputError: the placeholders of a picture are not as many as its cells, or not side by side.
    """
    frames = [(1, rows, columns) for t, rows, columns in videos for _ in range(t)]
    grids = {IMAGE: iter(images), VIDEO: iter(frames)}
    positions = kinds.new_zeros(3, *kinds.shape)
    for row, (of_row, begin) in enumerate(zip(kinds, start.tolist(), strict=True)):
        here = slice(None) if real is None else real[row]
        positions[:, row, here] = torch.cat([*_row(of_row[here], begin, grids)], dim=1)
    for kind, left in (("image", grids[IMAGE]), ("video frame", grids[VIDEO])):
        if (grid := next(left, None)) is not None:
            raise InputError(
                f"There is no place in input_ids for an {kind} of {_size(grid)}; let the processor make it."
            )
    return positions


def _row(kinds: Tensor, place: int, grids: dict[int, Iterator[Grid]]) -> Iterator[Tensor]:
    """The positions of one row without padding, piece by piece, each [3, some tokens]."""
    marks = kinds.nonzero()[:, 0].tolist()  # of the placeholders
    at, mark = 0, 0
    while mark < len(marks):
        first = marks[mark]
        yield _text(place, first - at, kinds)
        place += first - at
        kind = int(kinds[first])
        grid = next(grids[kind], None)
        count = 0 if grid is None else grid[0] * grid[1] * grid[2]
        if grid is None or not bool((kinds[first : first + count] == kind).all()) or first + count > len(kinds):
            raise InputError(
                f"At token {first} begin placeholders for a picture that does not fit: {_size(grid)} were expected; "
                "use the input_ids and the grids of one and the same processor call."
            )
        yield _picture(place, grid, kinds)
        place += max(grid[1:])
        at, mark = first + count, mark + count
    yield _text(place, len(kinds) - at, kinds)


def _text(place: int, count: int, like: Tensor) -> Tensor:
    return torch.arange(place, place + count, device=like.device, dtype=like.dtype).expand(3, -1)


def _picture(place: int, grid: Grid, like: Tensor) -> Tensor:
    axes = (torch.arange(place, place + n, device=like.device, dtype=like.dtype) for n in grid)
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)


def _size(grid: Grid | None) -> str:
    return "no more pictures" if grid is None else f"{grid[1]}×{grid[2]} cells"
