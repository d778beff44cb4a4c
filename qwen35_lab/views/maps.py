"""Heat maps of anything: a matrix with named rows and columns, and a text whose tokens wear a value.

Numbers are written into the cells wherever they fit, and negative cells of larger maps bear a minus, so that no value
hangs on colour alone. Hovering gives every value in full.
"""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import theme
from .figure import Figure
from .words import LABELS, numbered, short, visible

WRITTEN = (24, 12)  # no more rows and columns than this: numbers stand in the cells
STRONG = 0.55  # share of the largest value from which on a cell's text is white, as in deck_heat.js
MARKED = 48  # no more rows and columns than this: negative cells bear a minus
LINE = 88  # characters of a token strip's line


def heat_map(
    values: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    provenance: object,
    what: str = "value",
    axes: tuple[str, str] = ("row", "column"),
    span: tuple[float, float] | None = None,
    written: list[list[str]] | None = None,
    caption: str = "",
    alt: str = "",
) -> Figure:
    """A matrix as a heat map.

    Args:
        values: [row, column]; NaN is left empty.
        rows, columns: their names, all different.
        what: what a cell is, for the hover text and the caption.
        axes: titles of the vertical and the horizontal axis.
        span: values of the palest and the strongest colour; by default from the data, with zero in the middle if any
            value is negative.
        written: text of every cell; by default the numbers where they fit.
        caption, alt: in place of those made from the largest and smallest cell.
    Raises:
        InputError: the names do not fit the matrix, or it holds no number.
    """
    values = _matrix(values, rows, columns)
    finite = values[values.isfinite()]
    low, high = span or _span(finite)
    diverging = low < 0 < high
    found = _extremes(values, rows, columns, what)
    figure = Figure(
        caption=caption or found,
        alt=alt
        or f"Heat map, {len(rows)} {axes[0]} × {len(columns)} {axes[1]}. {found} "
        f"Mean {short(float(finite.mean()))}, {float((finite < 0).float().mean()):.0%} negative.",
        provenance=provenance,
    )
    height = max(220, min(640, 130 + 24 * len(rows)))
    title = "<br>".join(wrap(what, (height - 130) // 7))  # along the bar, and no longer than it
    figure.add_heatmap(
        z=values.numpy(), x=list(columns), y=list(rows), zmin=low, zmax=high, xgap=1, ygap=1,
        colorscale=theme.DIVERGING if diverging else theme.SEQUENTIAL,
        text=legible(written or in_cells(values, high), values, high), texttemplate="%{text}", textfont=theme.CELL_FONT,
        colorbar=theme.COLOURBAR | {"title": {"text": title, "side": "right"}},
        hovertemplate=f"%{{y}} · %{{x}}<br>{what} %{{z:.4g}}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title=axes[1], type="category", showgrid=False, tickangle=-90 if crowded(columns) else 0)
    figure.update_yaxes(title=axes[0], type="category", showgrid=False, autorange="reversed")
    figure.update_layout(height=height)
    return figure


def token_strip(
    tokens: Sequence[str], values: Tensor, *, provenance: object, what: str = "value", caption: str = ""
) -> Figure:
    """A text, line by line, each token on the colour of its value and with the value under it.

    Args:
        tokens: their texts.
        values: [token].
        what: what the value is.
    Raises:
        InputError: there is not one value per token.
    """
    values = torch.as_tensor(values).detach().float().cpu().flatten()
    if len(tokens) != len(values) or not len(values):
        raise InputError(f"There are {len(tokens)} tokens and {len(values)} values; pass one value for each token.")
    shown = [visible(token) for token in tokens]
    width = max(4, min(24, LINE // (max(map(len, shown)) + 2), len(shown)))
    lines = -(-len(shown) // width)
    missing = lines * width - len(shown)
    z = torch.cat((values, torch.full((missing,), torch.nan))).view(lines, width)
    cells = [f"{token}<br><sub>{short(float(value))}</sub>" for token, value in zip(shown, values, strict=True)]
    names = numbered(tokens)
    most, least = int(values.argmax()), int(values.argmin())
    figure = heat_map(
        z, [str(n * width) for n in range(lines)], [str(n) for n in range(width)], provenance=provenance, what=what,
        axes=("token", ""), written=_lines([*cells, *[""] * missing], width),
        caption=caption
        or f"{what} of {len(tokens)} tokens: most at token {most} “{shown[most]}”, {short(float(values[most]))}; "
        f"least at token {least} “{shown[least]}”, {short(float(values[least]))}; mean {short(float(values.mean()))}.",
        alt=f"{what}: " + ", ".join(f"{name} {short(float(x))}" for name, x in zip(names, values, strict=True)),
    )  # fmt: skip
    hover = _lines([*names, *[""] * missing], width)
    figure.update_traces(customdata=hover, hovertemplate=f"%{{customdata}}: {what} %{{z:.4g}}<extra></extra>")
    figure.update_traces(hoverongaps=False)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=lines > 1)
    figure.update_layout(height=70 + 44 * lines, margin_b=12, margin_t=20)
    return figure


def picture(pixels: Any, *, provenance: object, caption: str = "", alt: str = "") -> Figure:
    """A picture as a model is given it, large enough to be looked at.

    Args:
        pixels: uint8 [height, width, 3].
        caption, alt: in place of its size and its mean colour.
    Raises:
        InputError: it is no such picture.
    """
    pixels = torch.as_tensor(pixels)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != torch.uint8 or not pixels.numel():
        raise InputError(f"This is {pixels.dtype} {list(pixels.shape)}; pass a picture, uint8 [height, width, 3].")
    height, width, _ = pixels.shape
    red, green, blue = pixels.float().mean((0, 1)).round().int().tolist()
    figure = Figure(
        caption=caption or f"{width} × {height} pixels. Point at one to read its red, green and blue, 0 to 255.",
        alt=alt or f"A picture of {width} × {height} pixels; its mean colour is rgb({red}, {green}, {blue}).",
        provenance=provenance,
    )
    figure.add_image(z=pixels.numpy())
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(height=260, margin={"t": 10, "b": 10})
    return figure


def recall_grid(
    accuracy: Tensor, rows: Sequence[Any], columns: Sequence[Any], *, provenance: object, axes: tuple[str, str],
    chance: float | None = None,
) -> Figure:  # fmt: skip
    """Accuracy, 0 to 1, over two circumstances, such as the length of a text and the place of what is asked for.

    Args:
        accuracy: [row, column]; NaN where nothing was asked.
        axes: what rows and columns are.
        chance: accuracy of a guess, for the caption.
    """
    names = [str(row) for row in rows], [str(column) for column in columns]
    values = _matrix(accuracy, *names)
    finite = values[values.isfinite()]
    good = f"{int((finite >= 0.99).sum())} of {len(finite)} cells reach 99 %"
    guess = f"; a guess is right in {chance:.1%}" if chance is not None else ""
    figure = heat_map(
        values, *names, provenance=provenance, what="accuracy", axes=axes, span=(0, 1),
        written=[[f"{float(x):.0%}" if x.isfinite() else "" for x in row] for row in values],
        caption=f"{good}; {_extremes(values, *names, 'accuracy')}"[:-1] + f"{guess}.",
    )  # fmt: skip
    figure.update_traces(colorbar_tickformat=".0%", hovertemplate="%{y} · %{x}<br>accuracy %{z:.1%}<extra></extra>")
    return figure


def in_cells(values: Tensor, largest: float) -> list[list[str]]:
    """What stands in the cells: numbers if they fit, else a minus where a value is clearly negative."""
    rows, columns = values.shape
    if rows <= WRITTEN[0] and columns <= WRITTEN[1]:
        return [[short(float(x)).replace("-", "−") if x.isfinite() else "" for x in row] for row in values]
    if max(rows, columns) <= MARKED:
        return [["−" if float(x) < -0.05 * largest else "" for x in row] for row in values]
    return [[""] * columns] * rows


def legible(cells: list[list[str]], values: Tensor, largest: float) -> list[list[str]]:
    """The same texts, white where the colour under them is strong; elsewhere they are of the page's own colour."""
    strong = (values.abs() > STRONG * abs(largest)).tolist()
    return [
        [f'<span style="color:white">{text}</span>' if white and text else text for text, white in zip(*row)]
        for row in zip(cells, strong)
    ]


def crowded(names: Sequence[str]) -> bool:
    """Whether names of an axis must stand upright to fit."""
    return sum(len(str(name)) + 2 for name in names) > LINE


def token_axis(tokens: Sequence[str]) -> dict[str, Any]:
    """Ticks of an axis whose places are `numbered(tokens)`: the tokens themselves, as long as they fit."""
    if len(tokens) > LABELS:
        return {"showgrid": False}
    return {"showgrid": False, "tickvals": numbered(tokens), "ticktext": [visible(token) for token in tokens]}


def _lines(cells: Sequence[str], width: int) -> list[list[str]]:
    return [list(cells[n : n + width]) for n in range(0, len(cells), width)]


def _matrix(values: Tensor, rows: Sequence[str], columns: Sequence[str]) -> Tensor:
    values = torch.as_tensor(values).detach().float().cpu()
    if list(values.shape) != [len(rows), len(columns)]:
        raise InputError(
            f"The values have shape {list(values.shape)} and there are {len(rows)} rows and {len(columns)} columns; "
            "pass a matrix with one name for each row and column."
        )
    if not values.isfinite().any():
        raise InputError("The matrix holds no finite number; there is nothing to draw.")
    return values


def _span(finite: Tensor) -> tuple[float, float]:
    low, high = float(finite.min()), float(finite.max())
    if low < 0:
        high = max(-low, high)
        return -high, high
    return 0.0, high or 1.0


def _extremes(values: Tensor, rows: Sequence[str], columns: Sequence[str], what: str) -> str:
    """The largest and the smallest cell, in words."""
    parts = []
    for word, at in (("largest", values.nan_to_num(-torch.inf)), ("smallest", -values.nan_to_num(torch.inf))):
        row, column = divmod(int(at.argmax()), len(columns))
        number = short(float(values[row, column])).replace("-", "−")
        parts.append(f"{word} at {rows[row]} · {columns[column]}, {number}")
    return f"{what} is {'; '.join(parts)}."
