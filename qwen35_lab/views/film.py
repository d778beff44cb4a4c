"""A clip as the model reads it: frame by frame, with the time that stands before each pair, and what is read of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..analysis.pictures import shares_read
from ..analysis.residual import layer_kinds
from ..errors import InputError
from ..trace import Trace
from . import theme
from .deck import Bars, Deck, Dial, Picture


def film_deck(
    trace: Trace, clip: Any, grid: Sequence[int], cells: Sequence[int], seconds: Sequence[float], token: int = -1
) -> Deck:
    """Play a clip, and see how much of what a token reads comes from each cell of each moment.

    Args:
        trace: as for `gaze_deck`.
        clip: the frames that are looked at, uint8 [frame, height, width, 3].
        grid: moments, and rows and columns of cells.
        cells: the places of the clip's tokens in the text.
        seconds: the time of each moment.
        token: which token reads.
    Raises:
        InputError: the numbers of moments or cells do not fit each other.
    """
    moments, rows, columns = (int(n) for n in grid)
    if len(seconds) != moments or len(cells) != moments * rows * columns:
        raise InputError(
            f"There are {len(seconds)} times and {len(cells)} tokens for a grid of {moments}×{rows}×{columns}; pass "
            "what belongs to this clip."
        )
    kinds = layer_kinds(trace)
    shares = [shares_read(trace, n).float()[:, token, list(cells)] for n in range(len(kinds))]
    names = [f"{n} {theme.LETTERS[k]}, head {h}" for n, k in enumerate(kinds) for h in range(len(shares[n]))]
    looks = np.concatenate([x.numpy() for x in shares]).reshape(-1, moments, rows, columns)
    frames = np.asarray(clip, "uint8")
    pair = -(-len(frames) // moments)
    of_moment = [n // pair for n in range(len(frames))]
    stamps = [f"<{time:.1f} seconds>" for time in seconds]
    total = looks.sum((2, 3))  # [head, moment]
    most = int(total.sum(1).argmax())
    return Deck(
        [
            Picture(
                "Frame, and which cells are read", frames, (rows, columns), looks[:, of_moment], seen=("frame",),
                over=("layer, head", "frame"), unit="of all that is read",
            ),
            Bars("Read from each moment", [f"{time:.1f} s" for time in seconds], {"share": total},
                 over=("layer, head",), signed=False),
        ],
        [
            Dial("frame", [str(n) for n in range(len(frames))], play=True),
            Dial("layer, head", names, start=most),
        ],
        notes={"frame": [f"frame {n} goes into the moment {stamps[k]}" for n, k in enumerate(of_moment)]},
        caption=f"{len(frames)} frames become {moments} moments of {rows} × {columns} tokens. The last token reads "
        f"most from the clip in {names[most]}, {total[most].sum():.0%} of all that it reads, and there most from "
        f"{stamps[int(total[most].argmax())]}. The frames of a moment share its squares.",
        provenance=trace.provenance,
    )  # fmt: skip
