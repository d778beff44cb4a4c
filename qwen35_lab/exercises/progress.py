"""The progress page: every exercise of every notebook, passed, tried or not yet.

lab.progress()                          # in a notebook a page, elsewhere text
lab.progress().save("progress.html")    # a page that stands alone
lab.progress().reset()                  # begins anew, and keeps the old record beside
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import groupby
from pathlib import Path

from ..errors import InputError
from ..files import write_file
from .record import VARIABLE, Record, Standing, passed, place, read
from .source import Lesson, course

PASSED, TRIED, NOT_YET = ("✓", "passed"), ("~", "tried"), ("·", "not yet")
STYLE = """
.q35-progress { --ink: var(--jp-content-font-color1, #1f1f1f); --faint: var(--jp-content-font-color2, #5f5f5f);
  --line: var(--jp-border-color2, #d0d0d0); --good: #0072b2; color: var(--ink); line-height: 1.45; max-width: 46em }
.q35-progress table { border-collapse: collapse; width: 100%; margin: 0.6em 0; font-variant-numeric: tabular-nums }
.q35-progress th, .q35-progress td { text-align: left; padding: 0.2em 0.7em 0.2em 0; vertical-align: top }
.q35-progress tbody th { border-top: 1px solid var(--line); padding-top: 0.6em }
.q35-progress thead th, .q35-progress .faint { color: var(--faint); font-weight: normal }
.q35-progress .bar { height: 0.5em; border: 1px solid var(--faint); border-radius: 0.3em; overflow: hidden }
.q35-progress .bar i { display: block; height: 100%; background: var(--good) }
.q35-progress .share { text-align: right; padding-right: 0 }
.q35-progress td:first-child, .q35-progress .share { white-space: nowrap }
"""
ALONE = """
:root { color-scheme: light dark }
body { font: 16px system-ui, sans-serif; margin: 2em auto; padding: 0 1em; max-width: 46em }
@media (prefers-color-scheme: dark) { body { background: #111 }
  .q35-progress { --ink: #e0e0e0; --faint: #a5a5a5; --line: #444; --good: #56b4e9 } }
"""


@dataclass(frozen=True, repr=False)
class Progress:
    """What was recorded, by lesson. Shows itself as a page in a notebook, as text elsewhere."""

    record: Record
    lessons: tuple[Lesson, ...]

    @property
    def numbers(self) -> list[str]:
        return [number for lesson in self.lessons for number in lesson.exercises]

    def __repr__(self) -> str:
        lines, width = [self._summary()], max((len(_title(lesson)) for lesson in self.lessons), default=0) + 2
        for lesson in self.lessons:
            lines += ["", f"{_title(lesson):{width}}{self._share(lesson)}"]
            for number, title in lesson.exercises.items():
                sign, when, tries = _row(self.record.standing(number))
                lines.append(
                    f"  {sign[0]} {number:6} {title:{width - 11}} {' · '.join(filter(None, (when, tries)))}".rstrip()
                )
        return "\n".join([*lines, "", self._kept()])

    def _repr_html_(self) -> str:
        done, whole = passed(self.record, self.numbers), max(1, len(self.numbers))
        body = "".join(self._lesson_html(lesson) for lesson in self.lessons)
        return (
            f'<div class="q35-progress"><style>{STYLE}</style><p>{escape(self._summary())}</p>'
            f'<div class="bar" role="img" aria-label="{escape(self._summary())}">'
            f'<i style="width:{done / whole:.1%}"></i></div>'
            '<table><thead><tr><th scope="col" colspan="2">exercise</th><th scope="col">state</th>'
            f'<th scope="col" class="share">attempts</th></tr></thead>{body}</table>'
            f'<p class="faint">{escape(self._kept())}</p></div>'
        )

    def _lesson_html(self, lesson: Lesson) -> str:
        head = (
            f'<tr><th scope="rowgroup" colspan="3">{escape(_title(lesson))}</th>'
            f'<th class="share">{escape(self._share(lesson))}</th></tr>'
        )
        rows = []
        for number, title in lesson.exercises.items():
            sign, when, _ = _row(standing := self.record.standing(number))
            faint = ' class="faint"' if sign == NOT_YET else ""
            state, count = f"{sign[0]} {when}", f'<td class="share">{standing.attempts or ""}</td>'
            rows.append(f"<tr{faint}><td>{number}</td><td>{escape(title)}</td><td>{state}</td>{count}</tr>")
        return f"<tbody>{head}{''.join(rows)}</tbody>"

    def save(self, path: str | Path) -> Path:
        """Write the page as one HTML file that needs nothing else, in light or dark as the reader's browser is.

        Raises:
            CheckpointError: the file cannot be written.
        """
        page = (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>My progress</title></head>\n'
            f"<body><h1>Qwen3.5 Lab: my progress</h1>{self._repr_html_()}<style>{ALONE}</style></body></html>\n"
        )
        with write_file(path) as beside:
            beside.write_text(page, encoding="utf-8")
        return Path(path)

    def reset(self) -> None:
        """Begin anew: the record is not deleted but renamed, and what is printed says where it lies.

        Raises:
            InputError: the record cannot be renamed.
        """
        path = self.record.path
        if not (path and path.exists()):
            print("There is nothing to reset: no exercise has been recorded.")
            return
        aside = path.with_name(f"{path.stem}-until-{datetime.now():%Y-%m-%d-%H%M%S}{path.suffix}")
        try:
            path.rename(aside)
        except OSError as error:
            raise InputError(f"{path} cannot be renamed ({error.strerror or error}); close what holds it.") from error
        print(f"The record begins anew. The old one is kept as {aside}; rename it to {path.name} to have it back.")

    def _summary(self) -> str:
        standings = [self.record.standing(number) for number in self.numbers]
        done, tried = passed(self.record, self.numbers), sum(bool(s.attempts and not s.passed) for s in standings)
        return f"{done} of {len(standings)} exercises passed" + (f", {tried} more tried." if tried else ".")

    def _share(self, lesson: Lesson) -> str:
        return f"{passed(self.record, lesson.exercises)} of {len(lesson.exercises)}"

    def _kept(self) -> str:
        path, lost = self.record.path, self.record.unreadable
        if path is None:
            return f"Nothing is kept: {VARIABLE} is off."
        damaged = f" {lost} damaged line{'s' * (lost > 1)} of it could not be read and counted; the others are here."
        return f"Kept in {path} on this machine, and nowhere else.{damaged if lost else ''}"


def progress_of(exercises: Iterable[str]) -> Progress:
    """The page of these exercises, with the titles that the notebooks beside give them.

    Raises:
        InputError: the record cannot be read.
    """
    found, made = {lesson.number: lesson for lesson in course()}, []
    for number, own in groupby(sorted(exercises), key=lambda exercise: exercise.split(".")[0]):
        known = found.get(number, Lesson(number, f"Notebook {number}", {}))
        made.append(Lesson(number, known.title, {each: known.exercises.get(each, "") for each in own}))
    return Progress(read(place()), tuple(made))


def _title(lesson: Lesson) -> str:
    return f"{lesson.number} · {lesson.title}"


def _row(standing: Standing) -> tuple[tuple[str, str], str, str]:
    """The sign, the state with its date, and how many attempts, as they are shown."""
    sign = PASSED if standing.passed else TRIED if standing.attempts else NOT_YET
    when = standing.passed or standing.last
    date = f" {when.astimezone():%Y-%m-%d}" if when else ""
    tries = f"{standing.attempts} attempt{'s' * (standing.attempts > 1)}" if standing.attempts else ""
    return sign, f"{sign[1]}{date}", tries
