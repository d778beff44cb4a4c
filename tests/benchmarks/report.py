"""What a benchmark found, for people (tables, a figure) and for programs (JSON)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.race import Case, Mark, Result

from qwen35_lab.errors import LabError
from qwen35_lab.views import theme
from qwen35_lab.views.figure import Figure

SAID = {True: "reached", False: "MISSED", None: ""}
HEAD = ("what", "against", "ours, ms", "theirs, ms", "ratio", "quartiles", "wanted", "")
BOUNDS = ("what", "of the bound: ours", "theirs", "wanted of ours", "")
MARKS = ("what", "measured", "wanted", "", "remarks")
WORDS = {"what", "against", "", "remarks"}  # columns of words; the others have numbers
TICKS = (0.25, 0.5, 0.8, 1, 1.25, 1.5, 2, 3, 4, 6, 8)


@dataclass(frozen=True)
class Row:
    """A comparison and what came of it; times in seconds."""

    area: str
    what: str
    rival: str
    ours: float
    theirs: float
    quartiles: tuple[float, float, float]  # of the ratio theirs / ours; the second is the median
    rounds: int
    goal: float | None = None
    reached: bool | None = None
    share: tuple[float, float] | None = None  # of the bound, reached by us and by them
    share_goal: float | None = None

    @classmethod
    def of(cls, area: str, case: Case, result: Result) -> "Row":
        return cls(
            area, case.what, case.rival, result.ours, result.theirs, result.quartiles, len(result.ratios), case.goal,
            result.reached(case.goal), result.share if result.shares else None, case.share,
        )  # fmt: skip

    @property
    def share_reached(self) -> bool | None:
        return None if self.share is None or self.share_goal is None else self.share[0] >= self.share_goal

    def cells(self) -> list[str]:
        low, middle, high = self.quartiles
        wanted = "" if self.goal is None else f"≥ {self.goal:.2f}"
        return [self.what, self.rival, f"{1e3 * self.ours:.4g}", f"{1e3 * self.theirs:.4g}", f"{middle:.2f}",
                f"{low:.2f} … {high:.2f}", wanted, SAID[self.reached]]  # fmt: skip


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def head(names: Sequence[str]) -> str:
    """The first two lines of a table."""
    rule = ["---" if name in WORDS else "---:" for name in names]
    return f"{line(names)}\n{line(rule)}"


def bounds(rows: Sequence[Row]) -> str:
    """A table of the shares of what the machine allows: the time of the products with the weights over all the time."""
    found = {row.what: row for row in reversed(rows) if row.share}  # against the first rival
    if not found:
        return ""
    lines = [head(BOUNDS)]
    for row in reversed(found.values()):
        ours, theirs = row.share or (0, 0)
        wanted = "" if row.share_goal is None else f"≥ {row.share_goal:.0%}"
        lines.append(line([row.what, f"{ours:.0%}", f"{theirs:.0%}", wanted, SAID[row.share_reached]]))
    return "\n".join(lines)


def marks(found: Sequence[Mark]) -> str:
    """A table of numbers that have no rival."""
    if not found:
        return ""
    lines = [head(MARKS)]
    for mark in found:
        wanted = "" if mark.goal is None else f"≤ {mark.goal:g} {mark.unit}".rstrip()
        lines.append(line([mark.what, f"{mark.value:.3g} {mark.unit}".rstrip(), wanted, SAID[mark.reached], mark.note]))
    return "\n".join(lines)


def verdict(rows: Sequence[Row], found: Sequence[Mark]) -> tuple[str, str]:
    """How many goals there were and were reached, and which were not, if any."""
    judged = [(f"{row.what} (against {row.rival})", row.reached) for row in rows]
    judged += [(f"{row.what}, share of the bound", row.share_reached) for row in rows]
    judged += [(mark.what, mark.reached) for mark in found]
    judged = [(what, reached) for what, reached in judged if reached is not None]
    missed = [what for what, reached in judged if not reached]
    said = f"{len(judged) - len(missed)} of {len(judged)} marks reached."
    return said, f"Missed: {'; '.join(missed)}." if missed else ""


def write(
    folder: Path, machine: Mapping[str, str], rows: Sequence[Row], found: Sequence[Mark], picture: bool = True
) -> None:
    """results.json, and ratios.html and .png where there is a comparison.

    Args:
        picture: the PNG too, for which kaleido starts a Chromium: that takes seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {
        "machine": dict(machine), "comparisons": [asdict(row) for row in rows],
        "marks": [asdict(mark) | {"reached": mark.reached} for mark in found],
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if rows:
        drawn = figure(machine, rows)
        said = theme.caption(drawn.caption(), drawn.provenance(), drawn.alt())
        page = drawn.to_html(include_plotlyjs=True, full_html=True).replace("</body>", f"{said}</body>")
        (folder / "ratios.html").write_text(page, encoding="utf-8")
        (folder / "ratios.png").unlink(missing_ok=True)  # of other numbers
        try:
            if picture:
                (folder / "ratios.png").write_bytes(drawn.static(width=1000))
        except LabError as error:
            print(error)


def figure(machine: Mapping[str, str], rows: Sequence[Row]) -> Figure:
    """A dot for the median ratio of each comparison, a bar between its quartiles, a tick at what was wanted."""
    names = [f"{row.what} · {row.rival}" for row in rows]
    low, middle, high = zip(*(row.quartiles for row in rows), strict=True)
    wanted = [(row.goal, name) for row, name in zip(rows, names, strict=True) if row.goal is not None]
    dots = ["circle-open" if row.reached is False else "circle" for row in rows]
    drawn = Figure(
        caption=f"{verdict(rows, [])[0]} Time of the rival over ours, on {machine.get('GPU', machine['CPU'])} with "
        f"{machine['threads']} thread{'s' * (machine['threads'] != '1')}: right of 1 we are faster.",
        alt="Dot chart of ratios. " + "; ".join(f"{n} {m:.2f}" for n, m in zip(names, middle, strict=True)),
        provenance="RANDOM · random weights, of the nano and of recall trained ones",
    )
    drawn.add_vline(x=1, line={"color": theme.COLOURS["stream"], "width": 1})
    drawn.add_scatter(
        x=middle, y=names, mode="markers", name="median, quartiles",
        error_x={"array": [h - m for h, m in zip(high, middle, strict=True)],
                 "arrayminus": [m - w for m, w in zip(middle, low, strict=True)]},
        marker={"size": 9, "color": theme.COLOURS["deltanet"], "symbol": dots},
    )  # fmt: skip
    drawn.add_scatter(
        x=[goal for goal, _ in wanted], y=[name for _, name in wanted], mode="markers", name="wanted",
        marker={"symbol": "line-ns-open", "size": 14, "color": theme.COLOURS["attention"], "line": {"width": 2}},
    )  # fmt: skip
    drawn.update_xaxes(type="log", title="times as fast (log scale); hollow: less than wanted", tickvals=TICKS)
    drawn.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=names, tickfont={"size": 11})
    drawn.update_layout(height=120 + 24 * len(names))
    return drawn
