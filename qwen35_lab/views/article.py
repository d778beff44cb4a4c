"""The article's claims to look at: the ledger with a badge for each verdict, verdicts by section, and recounts."""

from collections.abc import Mapping, Sequence
from html import escape

from ..analysis.scoreboard import Pair, Tally
from ..claims import ARTICLE, MARKS, SECTIONS, VERDICTS, ArticleClaim
from ..errors import InputError
from ..prices import Price
from . import theme
from .figure import Figure

LOOKS = {  # of a verdict: colour, and a pattern for eyes that do not see it
    "true": ("ffn", ""),
    "inexact": ("deltanet", "/"),
    "wrong": ("attention", "x"),
    "unverifiable": ("stream", "."),
}
SOURCE = "PUBLISHED · the article of 2026-03-11, judged in November 2026"


class ClaimsTable:
    """Claims by section, each with its verdict, the truth and the source: HTML that folds, and plain text."""

    def __init__(self, claims: Sequence[ArticleClaim]):
        if not claims:
            raise InputError("There are no claims to show; article_claims() has all of them.")
        self._claims = tuple(claims)

    def __repr__(self) -> str:
        return "\n".join(f"{MARKS[c.verdict]} {c.claim}\n    {c.truth} [{c.source}, {c.date}]" for c in self._claims)

    def _repr_html_(self) -> str:
        parts = [theme.badge(SOURCE), f"<p>{escape(ARTICLE)}</p>"]
        for section, title in SECTIONS.items():
            if own := [claim for claim in self._claims if claim.section == section]:
                marks = " ".join(MARKS[claim.verdict] for claim in own)
                body = "".join(map(_line, own))
                open_now = " open" if len(self._claims) < 12 else ""
                parts.append(
                    f'<details{open_now}><summary style="cursor:pointer;padding:2px 0">'
                    f"<b>{escape(title)}</b>&ensp;{marks}</summary><ul style='list-style:none;padding-left:1em'>{body}"
                    "</ul></details>"
                )
        return f'<div style="line-height:1.45;color:var(--jp-ui-font-color1,inherit)">{"".join(parts)}</div>'


def _line(claim: ArticleClaim) -> str:
    computed = f" Computed: {escape(claim.value)}." if claim.computed_by else ""
    return (
        f'<li style="margin:0.35em 0"><b style="border:1.5px solid currentColor;border-radius:4px;padding:0 0.35em;'
        f'font-size:0.85em">{MARKS[claim.verdict]} {claim.verdict}</b> {escape(claim.claim)}.<br>{escape(claim.truth)}'
        f"{computed} <small>[{escape(claim.source)}, {claim.date}]</small></li>"
    )


def claims_table(claims: Sequence[ArticleClaim]) -> ClaimsTable:
    """Claims, such as `article_claims(verdict="wrong")`, as a table that folds."""
    return ClaimsTable(claims)


def verdict_chart(claims: Sequence[ArticleClaim]) -> Figure:
    """How many claims of each section have which verdict."""
    sections = [section for section in SECTIONS if any(claim.section == section for claim in claims)]
    if not sections:
        raise InputError("There are no claims to count; article_claims() has all of them.")
    numbers = {
        v: [sum(claim.section == s and claim.verdict == v for claim in claims) for s in sections] for v in VERDICTS
    }
    told = ", ".join(f"{sum(values)} {verdict}" for verdict, values in numbers.items())
    worst = max(range(len(sections)), key=lambda n: numbers["wrong"][n])
    figure = Figure(
        caption=f"{len(claims)} claims: {told}. Most of the wrong ones stand in {SECTIONS[sections[worst]]}.",
        alt="Stacked bars. " + "; ".join(
            f"{SECTIONS[s]}: " + ", ".join(f"{numbers[v][n]} {v}" for v in VERDICTS if numbers[v][n])
            for n, s in enumerate(sections)
        ),
        provenance=SOURCE,
    )  # fmt: skip
    for verdict, values in numbers.items():
        colour, shape = LOOKS[verdict]
        figure.add_bar(
            y=[SECTIONS[s] for s in sections], x=values, orientation="h", name=f"{MARKS[verdict]} {verdict}",
            marker={"color": theme.COLOURS[colour], "pattern": {"shape": shape, "size": 6}},
            hovertemplate=f"%{{y}}<br>%{{x}} {verdict}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", legend_traceorder="normal", height=130 + 21 * len(sections))
    figure.update_xaxes(title="claims", dtick=5)
    figure.update_yaxes(autorange="reversed")
    return figure


def tally_chart(tallies: Mapping[str, Tally], claimed: float, *, provenance: object) -> Figure:
    """Rows won, gaps, and rows lost, in percent of all rows; a dashed line at what was claimed.

    Args:
        claimed: a share, 0 to 1.
    """
    if not tallies or any(tally.rows == 0 for tally in tallies.values()):
        raise InputError("Pass at least one tally, each over at least one row.")
    told = "; ".join(
        f"{name}: {t.won} of {t.compared} rows ({t.share():.0%}), {t.gaps} gaps" for name, t in tallies.items()
    )
    reach = [name for name, t in tallies.items() if t.share() >= claimed]
    figure = Figure(
        caption=f"Dashed: the claimed {claimed:.0%}. {told[0].upper()}{told[1:]}. "
        + (f"Without the gaps it is reached in: {', '.join(reach)}." if reach else "None of them reaches it."),
        alt=f"Stacked bars of rows won, gaps and rows lost, against {claimed:.0%}. {told}.",
        provenance=provenance,
    )
    kinds = {"matches or beats": ("deltanet", ""), "gap: no number": ("stream", "/"), "is behind": ("attention", "x")}
    for n, (kind, (colour, shape)) in enumerate(kinds.items()):
        values = [(t.won, t.gaps, t.compared - t.won)[n] for t in tallies.values()]
        figure.add_bar(
            y=list(tallies), x=[100 * v / t.rows for v, t in zip(values, tallies.values(), strict=True)],
            customdata=values, orientation="h", name=kind,
            marker={"color": theme.COLOURS[colour], "pattern": {"shape": shape, "size": 6}},
            hovertemplate=f"%{{y}}<br>{kind}: %{{customdata}} rows, %{{x:.0f}} %<extra></extra>",
        )  # fmt: skip
        before = [(0, t.won, t.won + t.gaps)[n] for t in tallies.values()]
        for name, value, start, tally in zip(tallies, values, before, tallies.values(), strict=True):
            if value:  # on a ground of its own: no number can be read on a hatching
                figure.add_annotation(
                    x=100 * (start + value / 2) / tally.rows, y=name, text=str(value), showarrow=False, borderpad=2,
                    font={"color": "white"}, bgcolor=theme.COLOURS[colour],
                )  # fmt: skip
    figure.add_vline(x=100 * claimed, line={"dash": "dash", "width": 2, "color": theme.COLOURS["stream"]})
    figure.update_layout(barmode="stack", legend_traceorder="normal", height=130 + 34 * len(tallies))
    figure.update_xaxes(title="rows of the tables, in percent", range=[0, 100])
    figure.update_yaxes(autorange="reversed")
    return figure


def settings_chart(pairs: Sequence[Pair], *, provenance: object) -> Figure:
    """What a setting does: the two numbers of one model in one benchmark, joined."""
    if not pairs:
        raise InputError("There is no cell with two settings; two_settings(scores()) finds them.")
    names = [f"{p.benchmark} · {p.model}" for p in pairs]
    told = "; ".join(
        f"{name} {p.lower.score:g} ({p.lower.setting}) and {p.higher.score:g} ({p.higher.setting})"
        for name, p in zip(names, pairs, strict=True)
    )
    figure = Figure(
        caption=f"The same weights, the same benchmark, two settings: {pairs[0].apart:.1f} points apart in "
        f"{names[0]}, {pairs[-1].apart:.1f} in {names[-1]}.",
        alt=f"Pairs of points. {told}.",
        provenance=provenance,
    )
    for n, (name, p) in enumerate(zip(names, pairs, strict=True)):
        figure.add_scatter(
            x=[p.lower.score, p.higher.score], y=[n] * 2, mode="lines+markers", showlegend=False,
            text=[p.lower.setting, p.higher.setting],
            line={"color": theme.COLOURS["stream"], "width": 2},
            marker={"color": [theme.COLOURS["attention"], theme.COLOURS["deltanet"]], "size": 11,
                    "symbol": ["square", "circle"]},
            hovertemplate=f"{name}<br>%{{text}}: %{{x}}<extra></extra>",
        )  # fmt: skip
        figure.add_annotation(  # above its line, so that a narrow page has room for the words
            xref="paper", x=0, y=n, yshift=30, xanchor="left", align="left", showarrow=False, font_size=11,
            text=f"<b>{name}</b><br>■ {p.lower.setting}: {p.lower.score:g}<br>● {p.higher.setting}: {p.higher.score:g}",
        )  # fmt: skip
    figure.update_layout(height=110 + 78 * len(pairs))
    figure.update_xaxes(title="score, in percent", range=[0, 100.9])
    figure.update_yaxes(range=[len(pairs) - 0.7, -0.8], showticklabels=False, showgrid=False, zeroline=False)
    return figure


def price_days(prices: Sequence[Price]) -> Figure:
    """What offers of one model cost for output on the days of which there is a list; each has its own mark."""
    days = sorted({price.date for price in prices})
    offers = sorted({price.provider for price in prices})
    if not days:
        raise InputError("There are no prices to show; price_list() has all of them.")
    usd = {(p.provider, p.date): p.usd_out for p in reversed(prices)}
    moved = [o for o in offers if len({usd[o, day] for day in days if (o, day) in usd}) > 1]
    models = " and ".join(sorted({price.model for price in prices}))
    figure = Figure(
        caption=f"{models}: output on {' and on '.join(days)}, from the models.dev catalogue. {len(offers)} offers, "
        f"{len(moved)} of them with another price on the later day" + (f": {', '.join(moved)}." if moved else "."),
        alt="Points. " + "; ".join(
            f"{o}: " + ", ".join(f"{usd[o, day]:g} on {day}" for day in days if (o, day) in usd) for o in offers
        ),
        provenance=f"PUBLISHED · list prices of {' and '.join(days)} · models.dev",
    )  # fmt: skip
    for n, day in enumerate(days):
        there = [o for o in offers if (o, day) in usd]
        figure.add_scatter(
            x=[usd[o, day] for o in there], y=there, mode="markers", name=day,
            marker={"color": theme.COLOURS[("deltanet", "attention", "ffn")[n % 3]], "size": 12 - 3 * (n % 3),
                    "symbol": ("circle-open", "diamond", "square")[n % 3], "line": {"width": 2}},
            hovertemplate=f"%{{y}}, {day}: $%{{x}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(height=120 + 20 * len(offers))
    figure.update_xaxes(title="US dollars for a million tokens of output", rangemode="tozero")
    figure.update_yaxes(type="category", autorange="reversed", dtick=1, categoryorder="array", categoryarray=offers)
    return figure
