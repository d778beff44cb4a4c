"""What the doctor found: findings that say what is, and what to do about it, as text, in a notebook, and as JSON."""

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from ..errors import InputError

STATES = ("fine", "note", "problem")
MARKS = {"fine": "✓", "note": "!", "problem": "✗"}
FORMAT = 1  # of the JSON; a change that readers would notice raises it
WIDTH = 110  # of the text, in letters


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str  # what it belongs to, one of the doctor's topics
    name: str  # short and stable, unique in a report: "torch", "attention kernel"
    state: str  # "fine", "note" (works, but know it), or "problem" (mend it)
    says: str  # one sentence
    fix: str = ""  # what to type or do; empty if there is nothing to do
    value: Any = None  # the same for programs: numbers, names, lists and dicts of them

    def __repr__(self) -> str:
        return f"{MARKS[self.state]} {self.name}: {self.says}" + (f" → {self.fix}" if self.fix else "")


class Report(Sequence[Finding]):
    """All findings, in order: a sequence, and by name `report["torch"]`.

    As JSON (`to_json`) an object with `format` (1), `package` (its version), `counts` ({"fine", "note", "problem"} ->
    number) and `findings`, a list of objects with the six fields of `Finding`.
    """

    def __init__(self, findings: Sequence[Finding], package: str):
        self._findings, self.package = tuple(findings), package

    def __len__(self) -> int:
        return len(self._findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    def __contains__(self, name: object) -> bool:
        return any(name in (finding, finding.name) for finding in self)

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, str):
            return self._findings[at]
        for finding in self:
            if finding.name == at:
                return finding
        raise InputError(f"There is no finding {at!r}; there are {', '.join(finding.name for finding in self)}.")

    @property
    def healthy(self) -> bool:
        """Whether there is no problem; notes are allowed."""
        return not self.problems

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self if finding.state == "problem")

    def topics(self) -> dict[str, list[Finding]]:
        """Topic -> its findings, in order."""
        found: dict[str, list[Finding]] = {}
        for finding in self:
            found.setdefault(finding.topic, []).append(finding)
        return found

    def counts(self) -> dict[str, int]:
        states = Counter(finding.state for finding in self)
        return {state: states[state] for state in STATES}

    def summary(self) -> str:
        counts = self.counts()
        problems = f"{counts['problem']} problem{'s' * (counts['problem'] != 1)}"
        notes = f"{counts['note']} note{'s' * (counts['note'] != 1)}"
        return f"Qwen3.5 Lab {self.package}: {problems}, {notes}, {counts['fine']} fine"

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "package": self.package, "counts": self.counts(),
            "findings": [asdict(finding) for finding in self],
        }  # fmt: skip

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, default=str)

    def __repr__(self) -> str:
        lines = [self.summary()]
        for topic, findings in self.topics().items():
            lines += ["", topic]
            for finding in findings:
                lines += _wrapped(f"  {MARKS[finding.state]} {finding.name}: {finding.says}", "      ")
                lines += _wrapped(f"      → {finding.fix}", "        ") if finding.fix else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Topics that fold; open where there is something to do. Legible without colours and without a style sheet."""
        parts = [f"<p><b>{escape(self.summary())}</b></p>"]
        for topic, findings in self.topics().items():
            marks = " ".join(MARKS[finding.state] for finding in findings)
            unfolded = " open" if any(finding.state != "fine" for finding in findings) else ""
            parts.append(
                f'<details{unfolded}><summary style="cursor:pointer;padding:2px 0"><b>{escape(topic)}</b>&ensp;{marks}'
                f'</summary><ul style="list-style:none;padding-left:1em;margin:0">'
                f"{''.join(map(_line, findings))}</ul></details>"
            )
        return f'<div style="line-height:1.45;color:var(--jp-ui-font-color1,inherit)">{"".join(parts)}</div>'


def _wrapped(line: str, indent: str) -> list[str]:
    """A line that is itself several (a table) stays as it is."""
    first, *more = line.split("\n")
    return [*textwrap.wrap(first, WIDTH, subsequent_indent=indent, break_long_words=False), *(indent + m for m in more)]


def _line(finding: Finding) -> str:
    says = escape(finding.says)
    if "\n" in says:
        first, rest = says.split("\n", 1)
        says = f'{first}<pre style="margin:0.2em 0;overflow-x:auto">{rest}</pre>'
    fix = f"<br>→ {escape(finding.fix)}" if finding.fix else ""
    mark = (
        f'<b style="border:1.5px solid currentColor;border-radius:4px;padding:0 0.35em;font-size:0.85em">'
        f"{MARKS[finding.state]} {finding.state}</b>"
    )
    return f'<li style="margin:0.3em 0">{mark} <b>{escape(finding.name)}</b>: {says}{fix}</li>'
