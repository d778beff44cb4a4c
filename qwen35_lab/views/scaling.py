"""Seconds against the length of a text: what was measured, the power that fits it, and what was predicted."""

from collections.abc import Mapping, Sequence

from ..analysis.scaling import KINDS, LayerTimes
from ..config import FULL, LINEAR
from ..errors import InputError
from . import theme
from .figure import Figure
from .words import listed, short

LOOKS = {LINEAR: ("deltanet", "circle", "solid"), FULL: ("attention", "square", "solid")}
MIX = {LINEAR: (1, 0), FULL: (0, 1)}


def layer_times(times: LayerTimes, predicted: Mapping[str, Sequence[float]] | None = None) -> Figure:
    """Every repeat of both kinds of mixers as a point, the fitted power as a line, predictions dashed.

    Args:
        predicted: kind -> seconds at every length, "linear_attention" and "full_attention".
    Raises:
        InputError: predictions of another number of lengths.
    """
    predicted = dict(predicted or {})
    if any(len(line) != len(times.tokens) for line in predicted.values()):
        raise InputError(f"Pass one prediction for each of the {len(times.tokens)} lengths that were measured.")
    fits = {kind: times.fit(MIX[kind]) for kind in KINDS}
    said = [f"{theme.NAMES[kind]} grows as tokens^{fit.exponent:.2f} ± {fit.error:.2f}" for kind, fit in fits.items()]
    middle = {kind: times.median(MIX[kind]) for kind in KINDS}
    off = [p / m for kind, line in predicted.items() for p, m in zip(line, middle[kind], strict=True)]
    told = f" The prediction (dashed) is {min(off):.2f} to {max(off):.2f} times what was measured." if off else ""
    figure = Figure(
        caption=f"One mixer, {len(times.seconds[0])} repeats: {listed(said)}.{told}",
        alt="Seconds against tokens, both logarithmic. " + "; ".join(
            f"{theme.NAMES[kind]}: "
            + ", ".join(f"{short(s)} s at {n:,}" for n, s in zip(times.tokens, middle[kind], strict=True))
            for kind in KINDS
        ),
        provenance=times.provenance,
    )  # fmt: skip
    for kind, fit in fits.items():
        colour, symbol, dash = LOOKS[kind]
        ink, name = theme.COLOURS[colour], theme.NAMES[kind]
        repeats = times.of(MIX[kind])
        figure.add_scatter(
            x=list(times.tokens) * len(repeats), y=repeats.flatten().tolist(), mode="markers", name=f"{name}, measured",
            legendgroup=kind, marker={"color": ink, "symbol": symbol + "-open", "size": 8},
            hovertemplate=f"{name}<br>%{{x:,}} tokens: %{{y:.3g}} s<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=list(times.tokens), y=[fit.scale * n**fit.exponent for n in times.tokens], mode="lines", name="fitted",
            legendgroup=kind, line={"color": ink, "width": 2, "dash": dash}, showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        if kind in predicted:
            figure.add_scatter(
                x=list(times.tokens), y=list(predicted[kind]), mode="lines", name=f"{name}, predicted",
                legendgroup=kind, line={"color": ink, "width": 1.5, "dash": "dash"},
                hovertemplate=f"{name}, predicted<br>%{{x:,}} tokens: %{{y:.3g}} s<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(
        title="tokens, log scale", type="log", tickvals=times.tokens, ticktext=[f"{n:,}" for n in times.tokens]
    )
    figure.update_yaxes(title="seconds, log scale", type="log", dtick=1)
    return figure
