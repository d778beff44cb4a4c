"""The article that this project began with, claim by claim: `data/claims.csv`, read, checked, and computed anew.

An `ArticleClaim` is a sentence that somebody published, with our verdict and its source. It is not what `lab.claim`
makes: that one is a statement about a measured value, checked in the cell where it stands (views/claims.py).
`docs/claims.md` is made from it (`qwen35-lab claims --markdown`), and a test keeps the two in step.
"""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from .analysis.recount import recount
from .errors import InputError
from .paths import data_path
from .published import Rule, anything, day, maybe_number, one_of, place, read_table, words

ARTICLE = "“Qwen 3.5: Architecture, Benchmarks, Comparisons, and How to Run It Locally”, 11 March 2026"
VERDICTS = ("true", "inexact", "wrong", "unverifiable")
MARKS = {"true": "✓", "inexact": "≈", "wrong": "✗", "unverifiable": "?"}
SECTIONS = {  # of the article, in its order, in words of ours
    "opening": "the opening", "family": "the family", "attention": "the two kinds of attention",
    "experts": "sparse experts", "vision": "vision and video", "vocabulary": "the vocabulary",
    "from Qwen3": "what changed from Qwen3", "reasoning": "benchmarks: reasoning and STEM",
    "multimodal": "benchmarks: vision and multimodal", "agentic": "benchmarks: agents and the web",
    "perspective": "benchmarks in perspective", "competition": "the table of competitors",
    "edge": "where Qwen3.5 has the edge", "rivals": "where competitors still win", "access": "pricing and access",
    "Ollama": "running it: Ollama", "vLLM": "running it: vLLM", "transformers": "running it: transformers",
    "hardware": "the hardware table", "coding agents": "uses: coding agents",
    "long documents": "uses: long documents", "visual understanding": "uses: visual understanding",
    "multilingual": "uses: multilingual products", "automation": "uses: browsers and GUIs",
    "bottom line": "the bottom line",
}  # fmt: skip
SCHEMA: dict[str, Rule] = {
    "id": words, "section": one_of(*SECTIONS), "claim": words, "verdict": one_of(*VERDICTS), "truth": words,
    "said": anything, "computed_by": anything, "value": anything, "slack": maybe_number, "source": place, "date": day,
}  # fmt: skip
COVERAGE: dict[str, Rule] = {
    "section": one_of(*SECTIONS), "notebook": words, "cell": anything, "what": words,
}  # fmt: skip


@dataclass(frozen=True)
class ArticleClaim:
    """One claim of the article, in words of ours, and what is known about it."""

    id: str
    section: str  # one of SECTIONS
    claim: str
    verdict: str  # one of VERDICTS
    truth: str
    said: str  # the article's number, where it gives one
    computed_by: str  # a call that `recount` understands, where the truth can be computed
    value: str  # what it gives, as exactly as the truth says it
    slack: float | None  # how far `said` may lie from it and still be true; None: half a unit of its last digit
    source: str
    date: str  # of the source, or the day on which it was read

    def recounted(self) -> Any:
        """The number, computed now; an InputError where none is."""
        if not self.computed_by:
            raise InputError(f"The claim {self.id!r} is not computed; its source is {self.source}.")
        return recount(self.computed_by)

    def agrees(self) -> bool:
        """Whether what is computed now is the truth's number, to its last digit."""
        return _near(self.recounted(), self.value, _unit(self.value) / 2)

    def holds(self) -> bool:
        """Whether the article's number is what is computed now, within `slack`."""
        return _near(self.recounted(), self.said, _unit(self.said) / 2 if self.slack is None else self.slack)


@dataclass(frozen=True)
class Anchor:
    """Where a section of the article is covered: a cell of a notebook, or a notebook that is still to come."""

    section: str
    notebook: str  # two digits
    cell: str  # id of the cell; empty while the notebook is planned
    what: str


def article_claims(*, section: str | None = None, verdict: str | None = None) -> tuple[ArticleClaim, ...]:
    """All claims in the order of the article, or those of a section, or with a verdict.

    Raises:
        InputError: no such section or verdict; or a row of the file that breaks its rules.
    """
    for name, wanted, known in (("section", section, SECTIONS), ("verdict", verdict, VERDICTS)):
        if wanted is not None and wanted not in known:
            raise InputError(f"There is no {name} {wanted!r}; choose from {', '.join(known)}.")
    found = _claims()
    return tuple(c for c in found if section in (None, c.section) and verdict in (None, c.verdict))


def article_claim(id: str) -> ArticleClaim:
    """The claim of that id."""
    found = {claim.id: claim for claim in _claims()}
    if id not in found:
        raise InputError(f"There is no claim {id!r}; article_claims() lists them, each with its id.")
    return found[id]


@cache
def _claims() -> tuple[ArticleClaim, ...]:
    found = tuple(ArticleClaim(**row) for row in read_table("claims", SCHEMA))
    twice = [id for id, count in Counter(claim.id for claim in found).items() if count > 1]
    if twice:
        raise InputError(f"claims.csv has the id {twice[0]!r} twice; give each claim its own.")
    return found


def coverage() -> tuple[Anchor, ...]:
    """Which cell of which notebook computes what of each section (`data/coverage.csv`)."""
    return tuple(Anchor(**row) for row in read_table("coverage", COVERAGE))


def counts(section: str | None = None) -> dict[str, int]:
    """How many claims have each verdict."""
    found = Counter(claim.verdict for claim in article_claims(section=section))
    return {verdict: found[verdict] for verdict in VERDICTS}


# ------------------------------------------------------------------------------------------------ the page


ABOUT = f"""# The article, claim by claim

{ARTICLE}: every claim that can be checked, in words of ours, with a verdict, the precise truth, its source, and the
day on which the source was published or read. Prices and scores change; nothing here is a present one. Where a number
stands under *computed*, notebook 11 and the tests compute it anew from the configs and tables in `data/`.

This page is made by `qwen35-lab claims --markdown`.
"""


def listing(verdict: str | None = None) -> str:
    """The ledger for a terminal: under each section of the article its claims, or those with one verdict."""
    found = article_claims(verdict=verdict)
    which = f"{len(found)} of {len(_claims())} claims, {verdict}" if verdict else f"{len(found)} claims"
    lines = [f"{ARTICLE}: {which}", "In words of ours, each with its verdict, the truth, and [source, date]."]
    for section, title in SECTIONS.items():
        under = [claim for claim in found if claim.section == section]
        lines += ["", title[0].upper() + title[1:]] if under else []
        lines += [f"{MARKS[c.verdict]} {c.claim}\n    {c.truth} [{c.source}, {c.date}]" for c in under]
    return "\n".join(lines)


def page() -> str:
    """The text of docs/claims.md."""
    total = counts()
    summary = ", ".join(f"{number} {verdict} {MARKS[verdict]}" for verdict, number in total.items())
    computed = sum(bool(claim.computed_by) for claim in _claims())
    lines = [ABOUT, f"{sum(total.values())} claims: {summary}. {computed} of them are computed.", ""]
    for section, title in SECTIONS.items():
        lines += [f"## {title[0].upper()}{title[1:]}", "", "| | claim | the truth | computed | source, date |"]
        lines += ["|---" * 5 + "|", *(_line(claim) for claim in article_claims(section=section)), ""]
    lines += [
        "## Where each section is covered",
        "",
        "| section | notebook | what is computed there |",
        "|---|---|---|",
    ]
    lines += [f"| {SECTIONS[a.section]} | {_where(a)} | {_cell(a.what)} |" for a in coverage()]
    return "\n".join(lines) + "\n"


def _line(claim: ArticleClaim) -> str:
    verdict = f"{MARKS[claim.verdict]} {claim.verdict}"
    computed = f"{claim.value}<br>`{claim.computed_by}`" if claim.computed_by else ""
    cells = (verdict, claim.claim, claim.truth, computed, f"{claim.source}, {claim.date}")
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _where(anchor: Anchor) -> str:
    file = notebook_file(anchor.notebook)
    return f"[{anchor.notebook}](../notebooks/{file}), cell `{anchor.cell}`" if file else f"{anchor.notebook}, planned"


def notebook_file(number: str) -> str | None:
    """The name of a notebook of this checkout, such as `11_claims_and_prices.ipynb`, by its number."""
    found = sorted((data_path().parent / "notebooks").glob(f"{number}_*.ipynb"))
    return found[0].name if found else None


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _unit(text: str) -> float:
    """The unit of a number's last digit: 0.01 for "2.15", 1 for "17"."""
    exponent = Decimal(text).as_tuple().exponent if _is_number(text) else 0
    return 10.0 ** int(exponent)


def _near(found: Any, text: str, slack: float) -> bool:
    if isinstance(found, str) or not _is_number(text):
        return str(found) == text
    return abs(float(found) - float(text)) <= slack * (1 + 1e-9)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
