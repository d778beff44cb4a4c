"""The elevator's static twin: the same view as a PNG, for GitHub, nbviewer, paper and a kernel that is gone."""

from typing import Any

from . import theme
from .pen import FAINT, MARGIN, TEXT, TRACK, WIDTH, Pen, tint
from .words import sizes

LEFT = 196  # where the view begins, to the right of the shaft


def draw(data: dict[str, Any], floor: int, token: int) -> bytes:
    """One view of what `elevator_data.describe` gives, as PNG."""
    floors, taps = len(data["floors"]), data["floors"][floor]
    pitch = max(12, min(36, round(440 / floors)))
    view = 230 + 20 * data["lens"].shape[-1] + 26 * len(taps)
    height = max(84 + floors * pitch, view) + 14
    pen = Pen(height)
    pen.head(data["badge"], str(data["provenance"]))
    pen.tokens(38, data["tokens"], token)
    _shaft(pen, data, floor, token, pitch)
    kind = data["kinds"][floor - 1] if floor else "embedding"
    place = f"After layer {floor - 1} · {theme.NAMES[kind]}" if floor else "Embedding, before layer 0"
    pen.text(LEFT, 84, f"{place} · token {token} “{data['tokens'][token]}”", 13, bold=True)
    y = _norms(pen, data, floor, token, 104)
    y = _lens(pen, data, floor, token, y)
    _taps(pen, taps, token, y)
    return pen.png()


def _shaft(pen: Pen, data: dict[str, Any], floor: int, token: int, pitch: int) -> None:
    floors = len(data["floors"])
    for n in range(floors):
        y = 72 + (floors - 1 - n) * pitch
        if n == floor:
            pen.box(MARGIN, y, LEFT - MARGIN - 18, pitch, outline=TEXT, radius=5, line=2)
        kind = data["kinds"][n - 1] if n else "embedding"
        size = min(11, pitch - 3)
        pen.glyph(MARGIN + 19, y + pitch / 2, min(24, pitch - 3), kind)
        pen.text(MARGIN + 54, y + pitch / 2, str(n - 1) if n else "", size, FAINT, anchor="rm")
        guess = data["words"][data["lens"][n, token][0]]
        pen.text(MARGIN + 62, y + pitch / 2, guess, size, bold=n == floor, width=LEFT - MARGIN - 86)


def _bar(pen: Pen, y: float, name: str, share: float, colour: str, text: str) -> None:
    pen.text(LEFT, y, name, width=118)
    pen.box(LEFT + 124, y - 5, 270, 10, TRACK, radius=2)
    pen.box(LEFT + 124, y - 5, 270 * min(share, 1), 10, colour, radius=2)
    pen.text(LEFT + 402, y, text, width=WIDTH - LEFT - 402 - MARGIN)


def _norms(pen: Pen, data: dict[str, Any], floor: int, token: int, y: float) -> float:
    pen.text(LEFT, y, "Residual stream, norm", 10, FAINT)
    most = max(float(data[part][:, token].max()) for part in ("stream", "mixer", "ffn")) or 1
    rows = [("leaves", float(data["stream"][floor, token]), "stream", "")]
    if floor:
        mixer = "deltanet" if data["kinds"][floor - 1] == "linear_attention" else "attention"
        cosines = [f"   cos {float(data[f'{half}Cosine'][floor - 1, token]):.3g}" for half in ("mixer", "ffn")]
        added = [float(data[half][floor - 1, token]) for half in ("mixer", "ffn")]
        rows = [
            ("enters", float(data["stream"][floor - 1, token]), "stream", ""),
            ("mixer adds", added[0], mixer, cosines[0]),
            ("feed-forward adds", added[1], "ffn", cosines[1]),
            *rows,
        ]
    for name, value, colour, more in rows:
        y += 20
        _bar(pen, y, name, value / most, theme.COLOURS[colour], f"{value:.3g}{more}")
    return y + 24


def _lens(pen: Pen, data: dict[str, Any], floor: int, token: int, y: float) -> float:
    pen.text(LEFT, y, "Logit lens: the next token, if the model stopped here", 10, FAINT)
    following = data["ids"][token + 1] if token + 1 < len(data["ids"]) else None
    for n, p in zip(data["lens"][floor, token], data["probabilities"][floor, token], strict=True):
        y += 20
        comes = "  ◂ next in the text" if data["wordIds"][n] == following else ""
        _bar(pen, y, data["words"][n], float(p), theme.COLOURS["stream"], f"{p:.1%}{comes}")
    return y + 24


def _taps(pen: Pen, taps: list[dict[str, Any]], token: int, y: float) -> None:
    pen.text(LEFT, y, "Taps: minimum … mean … maximum over all tokens; the strip is the chosen token", 10, FAINT)
    width = WIDTH - LEFT - MARGIN
    for tap in taps:
        y += 18
        shape = sizes(tap["axes"], tap["shape"])
        pen.text(LEFT, y, tap["name"], 10, width=120)
        pen.text(LEFT + 124, y, shape, 10, FAINT, width=210)
        span = f"{tap['min']:.3g} … {tap['mean']:.3g} … {tap['max']:.3g}"
        pen.text(LEFT + 340, y, span, 10, FAINT, width=width - 340)
        cells = tap["strip"][token]
        for n, value in enumerate(cells):
            pen.box(LEFT + n * width / len(cells), y + 8, width / len(cells) + 0.5, 4, tint(int(value) / 127))
        y += 8
