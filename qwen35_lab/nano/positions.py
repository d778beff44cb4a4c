"""Positions of text, pictures and clips in one conversation (interleaved M-RoPE, as in Qwen3-VL, arXiv 2511.21631).

Text counts on along all three axes together. The tokens of a picture share one time and differ in height and width;
what follows begins after the longer of the two edges, not after the number of tokens. A clip is pictures in a row.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Grid = tuple[int, int, int]  # time, height, width, in patches
TEXT, IMAGE, VIDEO = 0, 1, 2  # modality, as in `mm_token_type_ids`


def mrope_positions(
    modality: NDArray[np.int8], images: Iterable[Grid], clips: Iterable[Grid], merge: int
) -> NDArray[np.int64]:
    """Time, height and width of every token, [3, token].

    Args:
        modality: `TEXT`, `IMAGE` or `VIDEO` of each token, [token].
        images, clips: their grids in patches, in order.
        merge: patches along the edge of one token.
    """
    grids = {IMAGE: iter(images), VIDEO: (grid for grid in clips for _ in range(grid[0]))}
    edges = (np.flatnonzero(np.diff(modality)) + 1).tolist()
    positions = np.empty((3, len(modality)), np.int64)
    now = 0
    for start, stop in zip([0, *edges], [*edges, len(modality)]):
        if modality[start] == TEXT:
            positions[:, start:stop] = np.arange(now, now + stop - start)
            now += stop - start
        else:
            _, height, width = next(grids[int(modality[start])])
            positions[:, start:stop] = _inside(height // merge, width // merge) + now
            now += max(height, width) // merge
    return positions


@cache
def _inside(height: int, width: int) -> NDArray[np.int64]:
    """Within one picture of so many tokens, [3, token]."""
    return np.array([(0, y, x) for y in range(height) for x in range(width)], np.int64).T
