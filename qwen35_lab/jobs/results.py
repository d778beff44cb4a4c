"""What runs have found, in one table (CSV, and text to read) and one figure (a page, and PNG)."""

import csv
import difflib
import io
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..analysis.table import Table
from ..errors import InputError, LabError
from ..files import write_file
from ..memory import in_words
from ..paths import data_path
from .job import show
from .work import Outcome

TABLE, PAGE, PICTURE = "results.csv", "results.html", "results.png"
FIXED = ("status", "seconds", "peak_mb", "claims_held", "claims_refuted")
MOST_PANELS = 6
SMALL = 1e-3


def write_table(outcomes: Sequence[Outcome], folder: Path) -> Path:
    """One row per run: notebook, all parameters, how it went, what was noted, the error, the executed copy."""
    parameters = _names(outcomes, lambda outcome: outcome.job.parameters)
    noted = _names(outcomes, lambda outcome: outcome.record["values"])
    known = {"notebook", *parameters, *FIXED, "error", "file"}
    header = ["notebook", *parameters, *FIXED, *(f"{n} (noted)" if n in known else n for n in noted), "error", "file"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for outcome in outcomes:
        has, found = outcome.job.parameters, outcome.record["values"]
        writer.writerow([
            outcome.job.notebook.name, *(_cell(has.get(name, "")) for name in parameters), *_fixed(outcome),
            *(_cell(found.get(name, "")) for name in noted), outcome.record["error"], outcome.path.name,
        ])  # fmt: skip
    with write_file(folder / TABLE) as beside:
        beside.write_text(text.getvalue(), encoding="utf-8")
    return folder / TABLE


def table(outcomes: Sequence[Outcome]) -> Table:
    """The same to look at: only the parameters that were set, and short values."""
    given = _names(outcomes, lambda outcome: outcome.job.given)
    noted = _names(outcomes, lambda outcome: outcome.record["values"])
    several = len({outcome.job.notebook.name for outcome in outcomes}) > 1 or not given
    headers = ("notebook",) * several + (*given, "status", "seconds", "memory", "claims", *noted)
    rows = tuple(
        (outcome.job.notebook.name,) * several
        + tuple(show(outcome.job.given.get(name, "")) for name in given)
        + _how(outcome)
        + tuple(_short(outcome.record["values"].get(name, "")) for name in noted)
        for outcome in outcomes
    )
    done = sum(outcome.done for outcome in outcomes)
    caption = f"{done} of {len(outcomes)} runs finished. Claims: how many hold, of how many were made."
    if any(outcome.done and outcome.refuted for outcome in outcomes):
        caption += " In a run that is done, those that do not are wrong turns, taken on purpose."
    return Table(headers, rows, "<" * (several + len(given) + 1) + ">" * (3 + len(noted)), caption)


def figure(outcomes: Sequence[Outcome], swept: Sequence[str], wanted: Sequence[str] = ()) -> Any:
    """Values against the first parameter that was swept (a seed only if nothing else was); None if there are none.

    Args:
        swept: the parameters with several values, as they were named.
        wanted: which values, notes or claims; by default all that was noted, or else what claims have measured.
    Raises:
        InputError: nobody measured what is wanted.
    """
    from ..views.sweeps import sweep_chart

    done = [outcome for outcome in outcomes if outcome.done]
    axis, *others = sorted(swept, key=lambda name: name == "seed")
    lines = [name for name in others if name != "seed"]
    measures = _measures(done, wanted)
    if not measures or len({str(outcome.job.given[axis]) for outcome in done}) < 2:
        return None
    places = [outcome.job.given[axis] for outcome in done]
    return sweep_chart(
        [str(seed) for seed in places] if axis == "seed" else places,  # a name: between two seeds there is nothing
        measures, x_name=axis,
        curves=[", ".join(f"{name} {show(outcome.job.given[name])}" for name in lines) for outcome in done],
        provenance=f"{_kind(done)} · {done[0].job.notebook.name} · {len(done)} runs",
    )  # fmt: skip


def write_figure(drawn: Any, outcomes: Sequence[Outcome], folder: Path) -> str:
    """Write the page, with the table under the figure, and the PNG if it can be drawn; returns a line about both."""
    from ..views import theme

    picture = drawn.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    words = theme.caption(drawn.caption(), drawn.provenance(), drawn.alt())
    title = escape(drawn.provenance())
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}'
        "body{font-family:system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem}</style>"
        f"<h1>{title}</h1>{picture}{words}{table(outcomes)._repr_html_()}</html>\n"
    )
    with write_file(folder / PAGE) as beside:
        beside.write_text(page, encoding="utf-8")
    try:
        image = drawn.static()
    except LabError as error:
        return f"Figure: {folder / PAGE}. No PNG: {error}"
    with write_file(folder / PICTURE) as beside:
        beside.write_bytes(image)
    return f"Figure: {folder / PAGE}, {folder / PICTURE}"


def _measures(done: Sequence[Outcome], wanted: Sequence[str]) -> dict[str, list[float]]:
    """Name -> a number for every run; what is no number is left out."""
    noted = _columns([outcome.record["values"] for outcome in done])
    claimed = _columns([{claim["statement"]: claim["measured"] for claim in o.record["claims"]} for o in done])
    known = claimed | noted
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, known)) or 'none'}."
            raise InputError(f"No run has measured {name!r}; {remedy}")
    if wanted:
        return {name: known[name] for name in wanted}
    # Claims are mostly of differences that must be tiny, or equal in every run: no picture.
    told = {name: column for name, column in claimed.items() if len(set(column)) > 1 and max(map(abs, column)) > SMALL}
    return dict(list((noted or told).items())[:MOST_PANELS])


def _columns(records: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for record in records for name in record)
    found = {name: [_number(record.get(name)) for record in records] for name in names}
    return {name: column for name, column in found.items() if any(math.isfinite(value) for value in column)}


def _number(value: Any) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else math.nan


def _kind(done: Sequence[Outcome]) -> str:
    """The badge: whose weights were they? A notebook without the parameter `model` runs small ones of ours."""
    models = {str(outcome.job.parameters.get("model", "recall")) for outcome in done}
    shipped = {path.parent.name for path in data_path().glob("*/model.safetensors")}
    if models <= shipped:
        return "TINY"
    return "REAL" if all(model.startswith("Qwen/") for model in models) else "OTHER"


def _names(outcomes: Sequence[Outcome], of: Any) -> list[str]:
    return list(dict.fromkeys(name for outcome in outcomes for name in of(outcome)))


def _fixed(outcome: Outcome) -> list[Any]:
    peak, claims = outcome.record["peak_bytes"], len(outcome.record["claims"])
    return [
        outcome.record["status"], f"{outcome.record['seconds']:.1f}", "" if peak is None else round(peak / 1e6),
        claims - outcome.refuted, outcome.refuted,
    ]  # fmt: skip


def _how(outcome: Outcome) -> tuple[str, ...]:
    peak, claims = outcome.record["peak_bytes"], len(outcome.record["claims"])
    memory = "" if peak is None else in_words(peak)
    return outcome.record["status"], f"{outcome.record['seconds']:.0f}", memory, f"{claims - outcome.refuted}/{claims}"


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | bool) else value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else show(value)
