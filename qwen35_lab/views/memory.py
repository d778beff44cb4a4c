"""What happens to a DeltaNet memory: what each token writes, erases and lets fade, and how long memories last."""

import math

import torch

from ..analysis.state import Ledger, half_life
from ..errors import InputError
from ..trace import Trace
from . import theme
from .figure import Figure
from .maps import crowded, token_axis
from .words import numbered, short, visible

FOREVER = 1e7  # tokens; longer half-lives are drawn here
BARS = (("write", 1, "positive", ""), ("erase", -1, "negative", "/"), ("decay", -1, "stream", "."))


def write_erase_decay(ledger: Ledger, tokens: list[str], head: int, *, provenance: object, name: str = "") -> Figure:
    """What each token did to one head's memory: what it wrote upwards, what was erased and what faded downwards.

    Args:
        ledger: `analysis.ledger(trace, layer)`.
        tokens: the texts of the tokens.
        head: of the ledger.
        name: of the memory in the caption, "layer 0, head 2".
    Raises:
        InputError: the ledger is of another text, or has no such head.
    """
    length, heads = ledger.write.shape
    if length != len(tokens) or not -heads <= head < heads:
        raise InputError(
            f"The ledger has {length} tokens and {heads} heads, asked were {len(tokens)} tokens and head {head}; "
            "pass the tokens of its trace and a head that exists."
        )
    parts = {part: getattr(ledger, part)[:, head] for part, *_ in BARS}
    change, norm = ledger.change[:, head], ledger.norm[:, head]
    most = {part: int(values.argmax()) for part, values in parts.items()}
    names = numbered(tokens)
    figure = Figure(
        caption=f"{name or f'Head {head}'}: "
        + "; ".join(f"{part} is largest at token {n} “{visible(tokens[n])}”, {short(float(parts[part][n]))}"
                    for part, n in most.items())
        + f". Norms do not add up: what is erased mostly cancels what was there. At the end ‖S‖ is "
        f"{short(float(norm[-1]))}.",
        alt="Stacked bars per token. "
        + "; ".join(f"{token}: write {short(float(parts['write'][n]))}, erase {short(float(parts['erase'][n]))}, "
                    f"decay {short(float(parts['decay'][n]))}" for n, token in enumerate(names)),
        provenance=provenance,
    )  # fmt: skip
    for part, sign, colour, hatching in BARS:
        figure.add_bar(
            x=names, y=(sign * parts[part]).tolist(), name=part, customdata=parts[part].tolist(),
            marker={"color": theme.COLOURS[colour], "line": {"width": 0}, "pattern": {"shape": hatching}},
            hovertemplate=f"%{{x}}: {part} %{{customdata:.3g}}<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=names, y=change.tolist(), mode="markers", name="‖S<sub>t</sub> − S<sub>t−1</sub>‖",
        marker={"symbol": "diamond-open", "size": 8, "color": theme.COLOURS["stream"], "line": {"width": 1.5}},
        hovertemplate="%{x}: change %{y:.3g}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="token", type="category", tickangle=-90 if crowded(tokens) else 0, **token_axis(tokens))
    figure.update_yaxes(title="Frobenius norm; down: taken out")
    figure.update_layout(barmode="relative", bargap=0.25)
    return figure


def half_lives(trace: Trace) -> Figure:
    """How long each DeltaNet head's memory lasts: ln 2 / −g, median and the middle 80 % of all tokens.

    Raises:
        InputError: no `layers.N.mixer.decay` was recorded.
    """
    found = [int(name.split(".")[1]) for name in trace if name.endswith(".mixer.decay")]
    if not found:
        raise InputError('The trace holds no decay; record "layers.*.mixer.decay" of a model with DeltaNet layers.')
    tokens = len(trace.tokens)
    rows = []  # (layer, head, low, median, high)
    for layer in sorted(found):
        lives = half_life(torch.as_tensor(trace[f"layers.{layer}.mixer.decay"]).double().cpu()).clamp(max=FOREVER)
        spread = torch.quantile(lives, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), dim=0).T.tolist()
        rows += [(layer, head, *three) for head, three in enumerate(spread)]
    shortest, longest = min(rows, key=lambda row: row[3]), max(rows, key=lambda row: row[3])
    beyond = sum(row[3] > tokens for row in rows)
    figure = Figure(
        caption=f"Half-lives of {len(rows)} memories, medians from {_life(shortest)} to {_life(longest)}. "
        f"{beyond} of {len(rows)} outlast this text of {tokens} tokens (dashed). Lines span the middle 80 % of tokens.",
        alt="Dot plot on a log scale. " + "; ".join(_life(row) for row in rows),
        provenance=trace.provenance,
    )
    symbols = ("circle", "square", "diamond", "triangle-up", "cross", "x")
    for place, layer in enumerate(sorted(found)):
        own = [row for row in rows if row[0] == layer]
        figure.add_scatter(
            x=[row[3] for row in own], y=[f"layer {layer} · head {row[1]}" for row in own], mode="markers",
            name=f"layer {layer}", showlegend=False,
            marker={"symbol": symbols[place % len(symbols)], "size": 9, "color": theme.COLOURS["deltanet"]},
            error_x={"type": "data", "symmetric": False, "array": [row[4] - row[3] for row in own],
                     "arrayminus": [row[3] - row[2] for row in own], "width": 4, "thickness": 1.5},
            hovertemplate="%{y}: %{x:.3g} tokens<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=tokens, line={"dash": "dash", "width": 1, "color": theme.COLOURS["stream"]})
    low, high = min(tokens, min(row[2] for row in rows)), max(tokens, max(row[4] for row in rows))
    figure.update_xaxes(title="half-life (tokens, log scale)", type="log",
                        range=[math.log10(low) - 0.15, math.log10(high) + 0.15], dtick=1)  # fmt: skip
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_layout(height=max(240, min(1400, 110 + 20 * len(rows))))
    return figure


def _life(row: tuple[int, int, float, float, float]) -> str:
    layer, head, _, median, _ = row
    return f"{'∞' if median >= FOREVER else short(median)} (layer {layer}, head {head})"
