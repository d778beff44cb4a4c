"""The clock wall: a clock for every rotated pair, run to a position, with YaRN or without; below, q·k against distance.

The rules (analysis/clocks.py) are written once more in clock_wall_rules.js, so that a move asks no kernel and an
exported page works; a test holds the two equal.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import traitlets

from ..analysis.clocks import KINDS, Spectrum, kernel, rope_spectrum, unseen
from ..config import ModelConfig, TextConfig
from ..errors import InputError
from .clock_wall_png import draw
from .widget import LabWidget, css, encode, esm
from .words import short

PLACES, REACH = 600, 4  # steps of the position slider, and native lengths that it reaches; as in clock_wall_rules.js
FACTORS = tuple(1 + n / 4 for n in range(13))
KEY = (
    "Ring, thick: the angles that the hand has been at in training. A whole ring has been everywhere. Below a clock: "
    "how often it has turned, its number, and by what YaRN divides its speed."
)
LEGEND = (
    "Green: with the chosen factor. Grey, dashed: as trained, factor 1. Dotted upright: the native length. Orange "
    "upright: the position above. In the long chart a point is the mean over neighbouring distances."
)
HEADING = "q·k of the rotated features against distance, if q and k agree in every pair; 1 is distance 0 as trained"


@dataclass(frozen=True)
class Clocks:
    """Whose clocks: a name and the config that has them."""

    name: str
    text: TextConfig
    native: int | None = None

    def spectrum(self, factor: float) -> Spectrum:
        return rope_spectrum(self.text, factor, self.native)

    def describe(self) -> dict[str, Any]:
        found = self.spectrum(1)
        return {"name": self.name, "native": found.native, "own": found.own.tolist(), "keep": found.keep.tolist()}


def position_of(place: int, native: int) -> int:
    """The position that a place of the slider stands for, 0 to `REACH` native lengths: its share to the fourth."""
    share = place / PLACES
    return math.floor(REACH * native * share * share * share * share + 0.5)


def place_of(position: int, native: int) -> int:
    """The place of the slider nearest to a position."""
    return max(0, min(PLACES, round(PLACES * (position / (REACH * native)) ** 0.25)))


class ClockWall(LabWidget):
    """The widget. `payload` is all it knows, as JSON; the other traits say where it stands, and can be set."""

    TITLE = "Clock wall"
    _esm = esm("kit", "controls", "clock_wall_rules", "clock_wall")
    _css = css("kit", "controls", "clock_wall")
    payload = traitlets.Unicode().tag(sync=True)
    start = traitlets.Unicode("{}").tag(sync=True)
    kind = traitlets.Int(0).tag(sync=True)
    factor = traitlets.Int(0).tag(sync=True)  # its place in `FACTORS`
    place = traitlets.Int(0).tag(sync=True)  # of the position slider

    def __init__(self, kinds: Sequence[Clocks], provenance: object, caption: str, **at: int):
        self._kinds, self._provenance, self._caption = list(kinds), str(provenance), caption
        payload = {
            **self.head(), "kinds": [kind.describe() for kind in kinds], "factors": list(FACTORS), "key": KEY,
            "legend": LEGEND, "heading": HEADING, "caption": caption,
        }  # fmt: skip
        super().__init__(payload=json.dumps(encode(payload)), **at)
        self.start = json.dumps({name: getattr(self, name) for name in ("kind", "factor", "place")})

    def provenance(self) -> str:
        return self._provenance

    def caption(self) -> str:
        return self._caption

    def spectrum(self) -> Spectrum:
        """The clocks that are shown."""
        return self._kinds[self.kind].spectrum(FACTORS[self.factor])

    def position(self) -> int:
        return position_of(self.place, self.spectrum().native)

    def facts(self) -> list[tuple[str, str, bool]]:
        """What the widget says now: name, value, and whether it is written large."""
        found, position = self.spectrum(), self.position()
        kinds = found.kinds
        return [
            ("position", f"{position:,}", True),
            (f"of the {found.native:,} in training", f"{short(position / found.native)} ×", False),
            ("clocks that had not once been round", f"{int((found.turns < 1).sum())} of {len(kinds)}", False),
            ("hands where they never stood", f"{int(unseen(found, position).sum())}", True),
            ("left alone, blended, divided by the factor", ", ".join(str(kinds.count(k)) for k in KINDS), False),
            ("attention factor, on cos and sin", f"{found.attention_factor:.4f}", False),
            ("q·k of rotated features", f"× {found.temperature:.3f}", True),
        ]

    def said(self) -> str:
        count, at = int(unseen(self.spectrum(), self.position()).sum()), f"At position {self.position():,}"
        if count:
            return f"{at} {count} hands stand at angles that training never showed them."
        return f"{at} every hand stands where training has seen it."

    def alt(self) -> str:
        """The present view in words."""
        near = kernel(self.spectrum(), [0, 16]).tolist(), kernel(self.spectrum(), [0, 16], yarn=False).tolist()
        told = ", ".join(f"{name} {value}" for name, value, _ in self.facts())
        return (
            f"A wall of {len(self.spectrum().own)} clocks. {self.said()} {told}. q·k at distance 0 and 16 is "
            f"{near[0][0]:.3f} and {near[0][1]:.3f}; as trained {near[1][0]:.3f} and {near[1][1]:.3f}."
        )

    def static(self) -> bytes:
        """The present view as a PNG."""
        told = [(name, value, big) for name, value, big in self.facts()]
        return draw(self.provenance(), self.spectrum(), self.position(), told, self.said(), HEADING, self._caption)


def clock_wall(
    kinds: Mapping[str, ModelConfig | TextConfig], *, provenance: object, native: Mapping[str, int] | None = None,
    factor: float = 1, position: int | None = None,
) -> ClockWall:  # fmt: skip
    """Clocks to run and to slow.

    Args:
        kinds: name -> the config whose clocks they are.
        native: name -> positions of the training, where that is not the config's `max_position_embeddings`.
        factor: of YaRN, to begin with: one of `FACTORS`.
        position: to begin with; by default the native length of the first.
    Raises:
        InputError: no config, a factor that is not on the slider, a negative position, or nothing that turns.
    """
    if not kinds:
        raise InputError("A clock wall needs clocks; pass at least one config.")
    if factor not in FACTORS:
        raise InputError(f"The slider has no factor {factor}; choose one of {', '.join(f'{f:g}' for f in FACTORS)}.")
    if position is not None and position < 0:
        raise InputError(f"There is no position {position}; the first token of a text has position 0.")
    found = [
        Clocks(name, config.text if isinstance(config, ModelConfig) else config, (native or {}).get(name))
        for name, config in kinds.items()
    ]
    first = found[0].spectrum(4)
    counts = [first.kinds.count(kind) for kind in KINDS]
    caption = (
        f"{found[0].name}: {len(first.own)} clocks, from {short(float(first.wavelength[0]))} to "
        f"{float(first.wavelength[-1]):,.0f} positions for a turn. Within {first.native:,} positions "
        f"{int((first.turns < 1).sum())} have not once been round. YaRN by 4 leaves {counts[0]} alone, blends "
        f"{counts[1]} and divides the speed of {counts[2]}."
    )
    at = place_of(first.native if position is None else position, first.native)
    return ClockWall(found, provenance, caption, factor=FACTORS.index(factor), place=at)


def long_means(spectrum: Spectrum, end: int, columns: int, probes: int, *, yarn: bool = True) -> torch.Tensor:
    """The kernel over distances 1 to `end` that grow by a factor, as means over neighbours: [column]."""
    steps = (torch.arange(columns * probes, dtype=torch.float64) + 0.5) / (columns * probes)
    return kernel(spectrum, (steps * math.log(end)).exp().round(), yarn=yarn).view(columns, probes).mean(1)
