"""Numbers in few bits, as decks: the bits of one number in every format, and what a large weight does to small ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..analysis.outliers import HIGHEST, LOWEST, Spoilt, octaves, spoilt_by_outliers
from ..errors import InputError
from ..formats import Format, bits, find_format, round_to
from .deck import Axis, Bars, Curves, Deck, Dial, Heat
from .words import short

SHOWN = ("bf16", "fp16", "e4m3", "e5m2", "int8", "int4")
SMALL = ("e4m3", "e5m2", "int8", "int4")  # those whose errors are drawn at every number
NUMBERS = (
    0.001, 0.003, 0.01, 0.02, 0.1, 0.3, 0.7, 0.9, 0.99, 0.999, 1.0, 1.3, 2.6, 3.4, 5.5, 7.3, 11.7, 20.5, 42.0, 99.0,
    130.0, 300.0, 460.0, 1_000.0, 60_000.0, 70_000.0,
)  # fmt: skip
COLUMNS = ("±", *(f"e{n}" for n in reversed(range(8))), *(f"f{n}" for n in range(1, 11)))
BY = {"tensor": "tensor", "channel": "row", "block": "128 × 128", "group": "row of 128"}


def number_deck(numbers: Sequence[float] = NUMBERS, formats: Sequence[str] = SHOWN, start: float = 3.4) -> Deck:
    """One number on the dial: its bits in every format, which number they stand for, and how far off that is.

    Args:
        numbers: the places of the dial, rising.
        formats: of up to 16 bits.
        start: where the dial stands at first.
    Raises:
        InputError: no numbers, or a format with more bits.
    """
    found = [find_format(name) for name in formats]
    if not numbers or not found or any(fmt.bits > 16 for fmt in found):
        raise InputError("Pass at least one number, and formats of up to 16 bits.")
    x = torch.tensor(list(numbers), dtype=torch.float64)
    shown = torch.stack([torch.stack([_places(float(value), fmt) for fmt in found]) for value in x])
    near = torch.stack([round_to(x, fmt) for fmt in found], 1)  # [number, format]
    off = ((near - x[:, None]) / x[:, None]).abs()
    grid = torch.logspace(-3, 3, 241, dtype=torch.float64)
    off_at = {name: ((round_to(grid, name) - grid) / grid).abs() * 100 for name in SMALL}
    at = min(range(len(x)), key=lambda n: abs(numbers[n] - start))
    nearest, farthest = (found[int(pick)].name for pick in (off[at].argmin(), off[at].argmax()))
    return Deck(
        [
            Heat("Bits", shown, ("number",), Axis("format", list(formats)), Axis("bit", COLUMNS), signed=False,
                 limit=1.0, text=True, reading="{row}, {column}"),
            Bars("Off by, of the number", list(formats), {"error": 100 * off}, ("number",), signed=False, unit="%"),
            Curves("Off by, from 0.001 to 1,000", Axis("number", [short(v) for v in grid.tolist()]), off_at, unit="%"),
        ],
        [Dial("number", [f"{value:g}" for value in numbers], start=at)],
        notes=[" · ".join(f"{fmt.name} {value:.6g}" for fmt, value in zip(found, row)) for row in near.tolist()],
        caption=f"{numbers[at]:g} is "
        + ", ".join(f"{value:.5g} in {fmt.name}" for fmt, value in zip(found, near[at].tolist()))
        + f". {nearest} is nearest, {farthest} farthest off.",
        provenance="RANDOM · no model, numbers alone · float64",
    )  # fmt: skip


def _places(x: float, fmt: Format) -> Tensor:
    """The bits of x under `COLUMNS`; nan where the format has none. A whole number's bits stand under sign and f."""
    row = torch.full((len(COLUMNS),), torch.nan)
    text = bits(x, fmt)
    sign, exponent, fraction = text.split(" ") if fmt.exponent_bits else (text[0], "", text[1:])
    row[0] = int(sign)
    for n, bit in enumerate(exponent):
        row[9 - len(exponent) + n] = int(bit)
    for n, bit in enumerate(fraction):
        row[9 + n] = int(bit)
    return row


def scale_deck(found: Spoilt | None = None) -> Deck:
    """Weights of a tile before and after rounding, where the errors lie, and what they do to the output.

    Dials: the format, what shares a scale, and how strong the tile's outliers are.
    """
    found = found or spoilt_by_outliers()
    over = ("format", "one scale for", "outliers ×")
    before = torch.stack([octaves(found.tile.spoiled(s)) for s in found.strengths])
    whole = before.expand(len(found.formats), len(found.shared_by), *before.shape)
    strengths, by = [f"{s:,.0f}" for s in found.strengths], [BY[name] for name in found.shared_by]
    labels = ["smaller", *(f"2^{n}" for n in range(LOWEST, HIGHEST)), "larger"]
    percent = 100 * found.output
    return Deck(
        [
            Heat("Where weights are off, root of the mean square", found.off, over, Axis("rows"), Axis("columns"),
                 signed=False, limit=1.0),
            Bars("Weights by size, share", labels, {"before": whole, "after": found.octaves}, over, signed=False),
            Bars("Error of the output", by, {"error": percent.transpose(1, 2)}, (over[0], over[2]), signed=False,
                 unit="%"),
            Curves("The same, by strength of the outliers", Axis(over[2], strengths),
                   {name: percent[:, n] for n, name in enumerate(by)}, over[:1], cursor=over[2], unit="%", log=True),
        ],
        [Dial(over[0], found.formats, start=_at(found.formats, "int8")),
         Dial(over[1], by, start=_at(found.shared_by, "block")),
         Dial(over[2], strengths, start=min(4, len(strengths) - 1))],
        caption=_caption(found), provenance="RANDOM · Gaussian weights and inputs, no model · float32",
    )  # fmt: skip


def _at(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else 0


def _caption(found: Spoilt) -> str:
    """What the weakest and the strongest outliers do, by the first and the last way of sharing scales."""
    first, last = BY[found.shared_by[0]], BY[found.shared_by[-1]]
    said = [
        f"{fmt} {short(float(rows[0, 0]))} → {short(float(rows[0, -1]))} % and {short(float(rows[-1, 0]))} → "
        f"{short(float(rows[-1, -1]))} %"
        for fmt, rows in zip(found.formats, 100 * found.output)
    ]
    return (
        f"{int(found.tile.outliers.sum())} outliers among {found.tile.weights.numel():,} weights. Error of the output, "
        f"outliers × {found.strengths[0]:,} → × {found.strengths[-1]:,}, with one scale for the {first} and for "
        f"{last}: {'; '.join(said)}."
    )
