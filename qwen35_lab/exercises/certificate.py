"""The page that says that somebody has found what was wrong with a broken file, and what else they have passed."""

from datetime import date
from html import escape
from pathlib import Path

from ..errors import InputError
from ..files import write_file
from .progress import ALONE, Progress
from .record import passed
from .verdict import Verdict


def write_certificate(verdict: Verdict, page: Progress, path: str | Path, name: str = "") -> Path:
    """One HTML file that needs nothing else.

    Raises:
        InputError: the verdict is no pass.
        CheckpointError: the file cannot be written.
    """
    if not isinstance(verdict, Verdict) or not verdict:
        raise InputError("There is nothing to certify yet; pass a verdict of lab.check that is right.")
    who = escape(name.strip()) or "Somebody who gave no name"
    done, whole = passed(page.record, page.numbers), len(page.numbers)
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Certificate</title></head>\n'
        f"<body><h1>Qwen3.5 Lab</h1><p><strong>{who}</strong> found what was wrong with a broken model.</p>"
        f"<p>Exercise {escape(verdict.exercise)}, {date.today():%Y-%m-%d}: {escape(verdict.message)}</p>"
        f"<p>Noted on this machine: {done} of {whole} exercises passed. Nobody watched.</p>"
        f"{page._repr_html_()}<style>{ALONE}</style></body></html>\n"
    )
    with write_file(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return Path(path)
