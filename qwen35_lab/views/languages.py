"""What another vocabulary saves: text by text, language by language, and what its rows are spent on."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..analysis.fertility import Fertility, by_script, spread
from ..analysis.rows import Overlap, table_cost
from ..errors import InputError
from ..family import OFFICIAL, load_config
from . import theme
from .figure import Figure
from .words import listed, minus

FEW = 20  # a script with fewer rows than this in both tables is left out of the picture
MOST = 3  # scripts that lose rows, named in the caption
NONE = 0.5  # where "no row" is drawn on a logarithmic axis
SYMBOLS = ("circle", "diamond-open", "triangle-up-open", "square-open")


def savings_chart(found: Fertility, *, provenance: object, old: int = 0, new: int = -1) -> Figure:
    """A bar for each text: the share of its tokens that the new vocabulary saves."""
    saved = found.saved(old, new)
    order = saved.argsort().tolist()  # plotly counts from below
    names, values = [found.texts[n] for n in order], [float(saved[n]) for n in order]
    first, second = found.vocabularies[old], found.vocabularies[new]
    fewer, same, more = (int(each.sum()) for each in (saved > 0, saved == 0, saved < 0))
    figure = Figure(
        caption=f"{second} needs fewer tokens than {first} for {fewer} of {len(names)} texts, as many for {same}, more "
        f"for {more}. It saves most in {names[-1]}, {percent(values[-1])}, and least in {names[0]}, "
        f"{percent(values[0])}; {spread(saved)}.",
        alt=f"Tokens saved by {second}: " + ", ".join(f"{n} {percent(v)}" for n, v in zip(names[::-1], values[::-1])),
        provenance=provenance,
    )
    colours = [theme.COLOURS["negative" if value < 0 else "positive"] for value in values]
    hatching = ["/" * (value < 0) for value in values]
    figure.add_bar(
        x=values, y=names, orientation="h", marker={"color": colours, "pattern": {"shape": hatching}},
        customdata=[found.tokens[n, [old, new]].tolist() for n in order], text=[percent(v) for v in values],
        textposition="outside", textfont={"color": theme.COLOURS["stream"]}, cliponaxis=False,
        hovertemplate=f"%{{y}}: {first} %{{customdata[0]:.0f}}, {second} %{{customdata[1]:.0f}} tokens<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title="share of the tokens that is saved", tickformat=".0%", range=_room(values))
    figure.update_yaxes(type="category", dtick=1)
    figure.update_layout(height=110 + 20 * len(names), showlegend=False)
    return figure


def language_chart(
    kinds: Mapping[str, Fertility], *, provenance: object, claimed: tuple[float, float] | None = None
) -> Figure:
    """A point for each language and kind of text, in the row of its script; a bar at the median of three or more.

    Args:
        kinds: name -> counts with the old vocabulary first and the new one last.
        claimed: a range that somebody has claimed, drawn as a band.
    """
    if not kinds:
        raise InputError("There is no kind of text to draw; pass at least one.")
    first = by_script(next(iter(kinds.values())))
    rows = list(first)[::-1]  # plotly counts from below
    said = [_described(name, found, claimed) for name, found in kinds.items()]
    best, worst = rows[-1], rows[0]
    figure = Figure(
        caption=" ".join(said) + f" A point is a language; beside each script is their number. Rows "
        f"are sorted by their median, from {best} to {worst}.",
        alt="Savings by script. "
        + " ".join(
            f"{name}, medians: " + ", ".join(f"{k} {percent(s.median)}" for k, s in by_script(found).items()) + "."
            for name, found in kinds.items()
        ),
        provenance=provenance,
    )
    if claimed:
        figure.add_vrect(
            x0=claimed[0], x1=claimed[1], fillcolor=theme.rgba(theme.COLOURS["ffn"], 0.13), line_width=0,
            annotation_text="claimed", annotation_position="top", annotation_font_color=theme.COLOURS["stream"],
        )  # fmt: skip
    inks = [theme.COLOURS[name] for name in ("deltanet", "attention", "ffn", "stream")]
    for n, (name, found) in enumerate(kinds.items()):
        saved, shift = found.saved(), (n - (len(kinds) - 1) / 2) * 0.3
        where = {script: rows.index(script) - shift for script in rows}
        figure.add_scatter(
            x=saved.tolist(), y=[where[s or "no letters"] for s in found.scripts], mode="markers", name=name,
            marker={"symbol": SYMBOLS[n % 4], "size": 7, "color": inks[n % 4], "opacity": 0.75}, text=list(found.texts),
            hovertemplate=f"%{{text}}, {name}: %{{x:.1%}}<extra></extra>",
        )  # fmt: skip
        middles = {script: s.median for script, s in by_script(found).items() if s.n > 2}
        figure.add_scatter(
            x=list(middles.values()), y=[where[script] for script in middles], mode="markers", showlegend=False,
            hoverinfo="skip", marker={"symbol": "line-ns", "size": 9, "line": {"width": 2, "color": inks[n % 4]}},
        )  # fmt: skip
    every = [float(x) for found in kinds.values() for x in found.saved()]
    figure.update_xaxes(title="share of the tokens that is saved", tickformat=".0%", range=_room(every))
    figure.update_yaxes(
        tickvals=list(range(len(rows))), showgrid=False, zeroline=False, range=[-0.7, len(rows) + 0.4],
        ticktext=[f"{_spoken(script)}, {first[script].n}" for script in rows],
    )  # fmt: skip
    figure.update_layout(height=120 + 19 * len(rows))
    return figure


def _described(name: str, found: Fertility, claimed: tuple[float, float] | None) -> str:
    saved = found.saved()
    more = int((saved < 0).sum())
    inside = ""
    if claimed:
        count = int(((saved >= claimed[0]) & (saved <= claimed[1])).sum())
        inside = f"{count} of them between {claimed[0]:.0%} and {claimed[1]:.0%}, "
    return f"{name}: {spread(saved)}; {inside}{more} need more tokens."


def rows_chart(overlap: Overlap, *, provenance: object) -> Figure:
    """How many rows each script has in the old table and in the new one; logarithmic, a line from old to new."""
    found = {name: row for name, row in overlap.by_script().items() if max(row[:2]) >= FEW}
    names = list(found)[::-1]
    first, second = overlap.old.name, overlap.new.name
    lost = sorted(
        (name for name, (a, b, _) in found.items() if b < a), key=lambda name: found[name][1] - found[name][0]
    )
    told = [f"{_spoken(name)} ({found[name][0]:,} to {found[name][1]:,})" for name in lost[:MOST]]
    told += [f"{len(lost) - MOST} more"] if len(lost) > MOST else []
    figure = Figure(
        caption=f"{len(overlap.shared):,} byte strings are in both tables, {len(overlap.added):,} are new in {second} "
        f"and {len(overlap.gone):,} of {first} are gone. Fewer rows than before: {listed(told or ['nothing'])}.",
        alt=f"Rows of each script in {first} and {second}: "
        + ", ".join(f"{_spoken(name)} {a:,} and {b:,}" for name, (a, b, _) in found.items()),
        provenance=provenance,
    )
    for name in names:
        a, b, _ = found[name]
        figure.add_scatter(
            x=[max(NONE, a), max(NONE, b)], y=[_spoken(name)] * 2, mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": theme.COLOURS["negative" if b < a else "positive"], "dash": "dot" if b < a else "solid"},
        )  # fmt: skip
    for side, symbol, label in ((0, "circle-open", first), (1, "diamond", second)):
        figure.add_scatter(
            x=[max(NONE, found[name][side]) for name in names], y=[_spoken(name) for name in names], mode="markers",
            name=label, marker={"symbol": symbol, "size": 9, "color": theme.COLOURS["stream"], "line": {"width": 2}},
            customdata=[found[name][side] for name in names],
            hovertemplate=f"%{{y}}: %{{customdata:,}} rows in {label}<extra></extra>",
        )  # fmt: skip
    marks = [10, 1000, 100_000]  # so few that a narrow page has room for them
    told = ["none", *(f"{n:,}" for n in marks)]
    figure.update_xaxes(title="rows of the table, log scale", type="log", tickvals=[NONE, *marks], ticktext=told,
                        tickangle=0)  # fmt: skip
    figure.update_yaxes(type="category", dtick=1, range=[-0.7, len(names) - 0.3])
    figure.update_layout(height=130 + 17 * len(names))
    return figure


def table_chart(used: int, models: Sequence[str] = OFFICIAL) -> Figure:
    """The share of each model's parameters that its token tables are; without weights, from the configs.

    Args:
        used: ids that the tokenizer has.
    """
    costs = {name: table_cost(load_config(name), used) for name in models}
    names = list(costs)[::-1]
    high, low = (best(costs, key=lambda name: costs[name].share) for best in (max, min))
    rows = costs[high].rows
    figure = Figure(
        caption=f"The token tables hold {costs[high].share:.0%} of all parameters in {high} and {costs[low].share:.1%} "
        f"in {low}. Where input and output share one table it is counted once. Each table has {rows:,} rows, "
        f"{costs[high].unused} of them for no token.",
        alt="Share of the token tables: "
        + ", ".join(f"{name} {cost.share:.1%}, {cost.parameters / 1e6:,.0f} million" for name, cost in costs.items()),
        provenance="PUBLISHED · official configs, counted without weights",
    )
    for tables, shape, label in ((1, "", "one table, shared"), (2, "/", "two tables")):
        some = [name for name in names if costs[name].tables == tables]
        figure.add_bar(
            x=[costs[name].share for name in some], y=some, orientation="h", name=label, cliponaxis=False,
            marker={"color": theme.COLOURS["deltanet" if tables == 1 else "attention"], "pattern": {"shape": shape}},
            text=[f"{costs[n].share:.1%} · {costs[n].parameters / 1e6:,.0f} M" for n in some], textposition="outside",
            textfont={"color": theme.COLOURS["stream"]},
            hovertemplate="%{y}: %{x:.2%} of all parameters<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="share of all parameters", tickformat=".0%", range=[0, 1.75 * costs[high].share],
                        nticks=5)  # fmt: skip
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names)
    figure.update_layout(height=130 + 26 * len(names))
    return figure


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def percent(share: float, digits: int = 0) -> str:
    """With a real minus sign, and none before zero."""
    text = f"{share:.{digits}%}"
    return minus(text) if float(text[:-1]) else text.lstrip("-")


def _room(values: Sequence[float]) -> list[float]:
    """An axis with space for the numbers at the ends of its bars."""
    low, high = min(0.0, *values), max(0.0, *values)
    span: Any = (high - low) or 1
    return [low - 0.2 * span * (low < 0), high + 0.12 * span]
