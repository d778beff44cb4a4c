"""A picture as the model looks at it: what a patch looks at, what a token reads of it, what covering a part does."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..analysis import pictures
from ..analysis.residual import layer_kinds
from ..errors import InputError
from ..qwen import Qwen
from ..trace import Trace
from . import theme
from .deck import Axis, Bars, Deck, Dial, Heat, Picture, Strip
from .words import short, signed, visible

GUESSES = 5  # next tokens that are shown
SIDES = (1, 2, 4)  # of the square that is covered, in cells
WAYS = {"paint": "paint it over", "zero": "zero its vector"}


def picture_map(
    picture: Any, values: Tensor, *, provenance: object, what: str = "value", title: str = "", caption: str = "",
    unit: str = "",
) -> Deck:  # fmt: skip
    """A picture with a square for every cell's value, beside the numbers.

    Args:
        picture: uint8 [height, width, 3].
        values: [row, column], none negative.
        what: what a cell's value is.
    """
    rows, columns = values.shape
    most, least = (divmod(int(at), columns) for at in (values.argmax(), values.argmin()))
    ends = [f"{short(float(values[at]))} in row {at[0]}, column {at[1]}" for at in (most, least)]
    return Deck(
        [
            Picture(title or what, picture, (rows, columns), values, unit=unit),
            Heat(what, values, rows=Axis("row"), columns=Axis("column"), signed=False, text=True, unit=unit),
        ],
        caption=caption or f"{what}: most {ends[0]}, least {ends[1]}; mean {short(float(values.mean()))}.",
        provenance=provenance,
    )


def tower_deck(trace: Trace, picture: Any, grid: Sequence[int], merge: int = 2, start: int | None = None) -> Deck:
    """What each patch of a picture looks at in the tower, and which cells come out like its own.

    Args:
        trace: of one image; with `vision.merged` and, asked for by name, "vision.blocks.*.attention.weights".
        picture: uint8 [height, width, 3].
        grid: frames, rows and columns in patches, as the processor says.
        start: the patch to begin with, counted row by row; by default the brightest.
    Raises:
        InputError: something was not recorded, or it is no still image.
    """
    frames, rows, columns = (int(n) for n in grid)
    blocks = [name for name in trace if name.startswith("vision.blocks.") and name.endswith(".attention.weights")]
    if not blocks or "vision.merged" not in trace or frames != 1:
        raise InputError(
            'A still image, "vision.merged" and "vision.blocks.*.attention.weights" are needed; record the two of one.'
        )
    places = pictures.on_grid(torch.arange(rows * columns), (1, rows, columns), merge)[0].flatten()  # row by row
    looks = torch.cat([trace[name].float() for name in blocks])[:, places][:, :, places]
    names = [f"block {n}, head {h}" for n, name in enumerate(blocks) for h in range(len(trace[name]))]
    vectors = trace["vision.merged"].float()
    alike = pictures.likeness(vectors - vectors.mean(0))  # what all cells share tells none of them apart
    cells = [r // merge * (columns // merge) + c // merge for r in range(rows) for c in range(columns)]
    reach, cosines = _reach(looks, rows, columns), alike[~torch.eye(len(alike), dtype=torch.bool)]
    grid = (rows // merge, columns // merge)
    nearest, farthest = int(reach.argmin()), int(reach.argmax())
    return Deck(
        [
            Picture(
                "What the chosen patch looks at", picture, (rows, columns), looks.unflatten(2, (rows, columns)),
                over=("head", "patch"), dial="patch", unit="of its attention",
            ),
            Picture(
                "Cells whose vectors are like its own", picture, grid, alike[cells].clamp(min=0).unflatten(1, grid),
                over=("patch",), unit="centred cosine",
            ),
        ],
        [
            Dial("head", names, start=farthest),
            Dial("patch", [f"row {n // columns}, column {n % columns}" for n in range(rows * columns)],
                 start=_brightest(picture, rows, columns) if start is None else start),
        ],
        caption=f"Weighted by attention, a patch looks {reach[nearest]:.1f} patches far in {names[nearest]} and "
        f"{reach[farthest]:.1f} in {names[farthest]}, on average over all {rows * columns} patches. Without their "
        f"mean, two cells' vectors have cosines from {signed(cosines.min())} to {signed(cosines.max())}.",
        provenance=trace.provenance,
    )  # fmt: skip


def _reach(looks: Tensor, rows: int, columns: int) -> Tensor:
    """How far a patch looks on average, in patches: looks [head, patch, seen patch] -> [head]"""
    where = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
    return (looks * torch.cdist(where, where)).sum(-1).mean(-1)


def _brightest(picture: Any, rows: int, columns: int) -> int:
    pixels = torch.as_tensor(picture).float().amax(-1)
    return int(torch.nn.functional.adaptive_avg_pool2d(pixels[None], (rows, columns)).argmax())


def gaze_deck(
    trace: Trace, picture: Any, grid: tuple[int, int], cells: Sequence[int], tokens: Sequence[int] | None = None
) -> Deck:
    """How much of what a token reads comes from each cell of a picture, head by head, in every layer.

    Args:
        trace: with q, k, decay and beta of the DeltaNet layers and "layers.*.mixer.weights" of the others.
        picture: uint8 [height, width, 3].
        grid: rows and columns of cells.
        cells: the places of the picture's tokens in the text.
        tokens: those that may be asked about; by default all that come after the picture.
    """
    asked = list(range(max(cells) + 1, len(trace.tokens)) if tokens is None else tokens)
    kinds = layer_kinds(trace)
    maps = [pictures.shares_read(trace, n).float() for n in range(len(kinds))]  # each [head, reader, source]
    looks = torch.cat([m[:, asked] for m in maps])
    names = [f"{n} {theme.LETTERS[k]}, head {h}" for n, k in enumerate(kinds) for h in range(len(maps[n]))]
    seen = looks[:, :, list(cells)]
    total = seen.sum(-1)  # [head, token]
    most = int(total[:, -1].argmax())
    named = [visible(trace.tokens[n]) for n in asked]
    return Deck(
        [
            Strip(named, total, over=("layer, head",), title="Share read from the picture", signed=False, limit=1.0),
            Picture(
                "Of which cells", picture, grid, seen.unflatten(2, grid), over=("layer, head", "token"),
                unit="of all that it reads",
            ),
            Bars("Read from the picture, by head", names, {"share": total.T}, over=("token",), signed=False),
        ],
        [Dial("layer, head", names, start=most), Dial("token", named, start=-1)],
        caption=f"The last token reads from the picture {total[most, -1]:.0%} of all that it reads in {names[most]}, "
        f"the most of {len(names)} heads, and {total[:, -1].mean():.0%} on average. L is Gated DeltaNet (magnitudes of "
        "the exact influence map), F gated attention (softmax).",
        provenance=trace.provenance,
    )  # fmt: skip


def cover_deck(qwen: Qwen, made: Mapping[str, Any], start: int = 0) -> Deck:
    """Cover a part of a prompt's image, by a click, and watch the next token: the model runs again each time.

    Args:
        made: what `qwen.processor` made of a text with one image.
        start: the cell that is covered first, counted from 1 row by row; 0 is none.
    """
    twin = qwen.twin()
    rows, columns = pictures.cells_of(qwen, made)
    before = pictures.next_token(twin, made)
    labels = ["none", *(f"row {n // columns}, column {n % columns}" for n in range(rows * columns))]

    def panels(places: Mapping[str, int]) -> list[Any]:
        cell, how, side = places["cell"] - 1, list(WAYS)[places["how"]], SIDES[places["square"]]
        hidden = [] if cell < 0 else pictures.square(twin, made, *divmod(cell, columns), side)
        after = pictures.next_token(twin, made, hidden, how)
        painted = pictures.covered(twin, made, hidden) if hidden and how == "paint" else made
        shown = torch.maximum(before, after).topk(GUESSES).indices
        shown = shown[before[shown].argsort(descending=True, stable=True)]
        words = [visible(twin.token_text(int(n))) for n in shown]
        picture = pictures.as_picture(twin, painted).numpy()
        return [
            Picture("Click to cover a square from that cell on", picture, (rows, columns), dial="cell", first=1,
                    side=side),
            Bars("Probability of the next token, %", words,
                 {"whole": (100 * before[shown]).round(decimals=2), "covered": (100 * after[shown]).round(decimals=2)},
                 signed=False),
        ]  # fmt: skip

    top = int(before.argmax())
    return Deck(
        dials=[
            Dial("cell", labels, start=start), Dial("square", [f"{n} × {n} cells" for n in SIDES], start=1),
            Dial("how", list(WAYS.values())),
        ],
        live=panels, live_dials=["cell", "square", "how"],
        caption=f"With the whole picture the next token is “{visible(twin.token_text(top))}”, {before[top]:.0%}. "
        f"The picture has {rows} × {columns} cells.",
        provenance=qwen.provenance,
    )  # fmt: skip
