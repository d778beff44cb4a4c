"""Charts of rotation: how long every clock takes with YaRN and without, and what heads prefer by distance alone."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..analysis.clocks import KINDS, Spectrum
from ..errors import InputError
from . import theme
from .curves import LOOKS
from .figure import Figure
from .words import short, signed

MARKED = 24  # more points than this are a line without marks
SYMBOLS = {"left": "circle", "blended": "diamond", "divided": "square"}


def spectrum_chart(spectrum: Spectrum, *, provenance: object, name: str = "") -> Figure:
    """Positions for one turn of every clock, as trained and with YaRN, against the native length."""
    kinds, own, slowed = spectrum.kinds, spectrum.wavelength.tolist(), (2 * math.pi / spectrum.slowed).tolist()
    counts = [kinds.count(kind) for kind in KINDS]
    slow = int((spectrum.turns < 1).sum())
    figure = Figure(
        caption=f"{name + ': ' if name else ''}{slow} of {len(own)} clocks need more than {spectrum.native:,} "
        f"positions for a turn. YaRN by {spectrum.factor:g} leaves {counts[0]} alone, blends {counts[1]}, and divides "
        f"the speed of {counts[2]} by {spectrum.factor:g}.",
        alt="Positions for a turn, as trained and with YaRN: "
        + ", ".join(
            f"{n} {short(a)} and {short(b)} ({kind})" for n, (a, b, kind) in enumerate(zip(own, slowed, kinds))
        ),
        provenance=provenance,
    )  # fmt: skip
    pairs = list(range(len(own)))
    grey: dict[str, Any] = {"color": theme.COLOURS["stream"], "dash": "dash", "width": 2}
    figure.add_scatter(
        x=pairs, y=own, mode="lines", name="as trained", line=grey,
        hovertemplate="pair %{x}<br>a turn takes %{y:.4s} positions<extra></extra>",
    )  # fmt: skip
    for kind, colour in zip(KINDS, ("deltanet", "ffn", "attention"), strict=True):
        own_pairs = [n for n in pairs if kinds[n] == kind]
        figure.add_scatter(
            x=own_pairs, y=[slowed[n] for n in own_pairs], mode="markers", name=f"with YaRN: {kind}",
            marker={"color": theme.COLOURS[colour], "symbol": SYMBOLS[kind], "size": 9},
            hovertemplate=f"pair %{{x}}, {kind}<br>a turn takes %{{y:.4s}} positions<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=spectrum.native, line={"dash": "dot", "width": 1.5, "color": theme.COLOURS["stream"]})
    figure.add_annotation(
        x=0, y=math.log10(spectrum.native), text=f"native length, {spectrum.native:,}", showarrow=False, xanchor="left",
        yanchor="bottom", font_color=theme.COLOURS["stream"],
    )  # fmt: skip
    figure.update_xaxes(title="rotated pair of features")
    figure.update_yaxes(title="positions for one turn, log scale", type="log", dtick=1, exponentformat="power")
    return figure


def distance_curves(distances: Sequence[int], logits: Tensor, *, provenance: object) -> Figure:
    """The score of an average query and an average key against their distance, head by head.

    Args:
        distances: tokens back from the query.
        logits: [head, distance], from `clocks.mean_logit`.
    Raises:
        InputError: not one score for every distance.
    """
    if logits.ndim != 2 or logits.shape[1] != len(distances) or not logits.numel():
        raise InputError(f"The scores have shape {list(logits.shape)}; pass [head, {len(distances)}].")
    change = logits[:, -1] - logits[:, 0]
    low, high = int(change.argmin()), int(change.argmax())
    figure = Figure(
        caption=f"From distance {distances[0]} to {distances[-1]} the score of an average pair changes by "
        f"{signed(change[low])} in head {low} to {signed(change[high])} in head {high}. A difference of 1 is a factor "
        "of e between two weights.",
        alt="Scores by distance. "
        + "; ".join(f"head {h}: {signed(row[0])} at {distances[0]}, {signed(row[-1])} at {distances[-1]}"
                    for h, row in enumerate(logits)),
        provenance=provenance,
    )  # fmt: skip
    for h, row in enumerate(logits.tolist()):
        colour, dash, symbol = LOOKS[h % len(LOOKS)]
        figure.add_scatter(
            x=list(distances), y=row, name=f"head {h}", mode="lines+markers" if len(row) <= MARKED else "lines",
            line={"color": theme.COLOURS[colour], "dash": dash, "width": 2 if h < len(LOOKS) else 1},
            marker={"symbol": symbol + "-open" * (h >= len(LOOKS)), "size": 6},
            hovertemplate=f"head {h}, %{{x}} tokens back: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="distance, tokens back from the query")
    figure.update_yaxes(title="q·k/√d of an average pair")
    return figure
