"""All pages of the site, from executed notebooks and the repository's documents."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

from . import covers, reference, shell
from .lesson import export
from .prose import Section, render, sections

ROOT = Path(__file__).resolve().parents[2]
DOCS = {"taps": "Taps", "claims": "Claims", "coverage": "Coverage", "glossary": "Glossary"}
CARDS = {"nano": "nano", "recall": "recall", "microscope": "microscope"}  # folder of data/ -> what it is called


@dataclass(frozen=True)
class Lesson:
    """What the start page says of a notebook."""

    name: str
    number: str
    title: str
    minutes: str
    aims: tuple[str, ...]  # HTML
    picture: str  # the name of a file of docs/img; empty if there is none
    words: str  # for who cannot see it

    @property
    def full_title(self) -> str:
        return f"{self.number} · {self.title}"


def build(notebooks: Mapping[str, nbformat.NotebookNode], folder: Path) -> list[Path]:
    """Write the site of these executed notebooks. Pages that were there are replaced; others stay."""
    (folder / "api").mkdir(parents=True, exist_ok=True)
    docs = {name for name in DOCS if (ROOT / "docs" / f"{name}.md").exists()}
    pages = {"index", "models", *docs, *notebooks, *(f"api/{room}" for room in reference.ROOMS)}
    index: list[dict[str, str]] = []
    written = [*assets(folder), *_lessons(notebooks, folder, pages, index), *_docs(docs, folder, pages, index)]
    for room in reference.ROOMS:
        html, found = reference.page(room, pages)
        written.append(_write(folder / "api" / f"{room}.html", html))
        index += _entries(f"api/{room}", "API", found)
    found = "window.SEARCH = " + json.dumps(index, ensure_ascii=False).replace("</", "<\\/")
    return [*written, _write(folder / "search.js", found)]


def assets(folder: Path) -> list[Path]:
    """Write what every page of the site asks for, save `search.js`, which needs all pages."""
    kept = [_write(folder / name, shell.asset(name)) for name in ("site.css", "site.js", "theme.js")]
    return [*kept, _write(folder / "theme.css", shell.theme())]


def _lessons(
    notebooks: Mapping[str, nbformat.NotebookNode], folder: Path, pages: set[str], index: list[dict[str, str]]
) -> list[Path]:
    lessons = [about(name, notebook) for name, notebook in sorted(notebooks.items())]
    written = []
    for n, lesson in enumerate(lessons):
        notebook = notebooks[lesson.name]
        prose = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        found = sections(prose)
        index += _entries(lesson.name, lesson.full_title, found)
        around = {"before": lessons[n - 1] if n else None, "after": lessons[n + 1] if n + 1 < len(lessons) else None}
        frame = shell.templates().get_template("lesson.html.j2").module
        top = shell.header(lesson.name, pages) + str(frame.contents([each for each in found if each.level == 2]))
        way = str(frame.way(**around))
        written.append(export(notebook, folder, lesson.name, title=lesson.full_title, top=top, bottom=way))
        if lesson.picture:
            written.append(Path(shutil.copy(covers.FOLDER / lesson.picture, folder)))
    body = shell.templates().get_template("index.html.j2").render(lessons=lessons, planned=planned(pages))
    return [*written, _write(folder / "index.html", shell.page("index", "Qwen3.5 Lab", body, pages))]


def about(name: str, notebook: nbformat.NotebookNode) -> Lesson:
    """Read a notebook's first cell, and look up its picture."""
    first = notebook.cells[0].source
    number, title = re.findall(r"^# (\d\d) · (.+)$", first, re.M)[0]
    minutes = re.findall(r"(\d+)\s+minutes", first)[0]
    aims = re.findall(r"^- (.+(?:\n  .+)*)$", first, re.M)
    cover = covers.COVERS.get(number)
    picture, words = (f"{number}.png", cover.words) if cover else ("", "")
    return Lesson(name, number, title, minutes, tuple(render(aim) for aim in aims), picture, words)


def planned(pages: set[str]) -> list[str]:
    """Titles of the notebooks on the start page of the repository that are not there yet."""
    text = (ROOT / "notebooks" / "index.md").read_text(encoding="utf-8")
    return [f"{number} · {title}" for number, title in re.findall(r"^\| (\d\d) \| ([^[|]+) \|.*planned", text, re.M)]


def _docs(docs: set[str], folder: Path, pages: set[str], index: list[dict[str, str]]) -> list[Path]:
    texts = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in docs}
    cards = {name: (ROOT / "data" / name / "README.md").read_text(encoding="utf-8") for name in CARDS}
    texts["models"] = "# The models that ship\n\n" + "\n\n".join(card(name, text) for name, text in cards.items())
    written = []
    for name, text in texts.items():
        title = text.removeprefix("# ").splitlines()[0]
        index += _entries(name, title, sections(text))
        written.append(_write(folder / f"{name}.html", shell.page(name, title, render(text), pages)))
    return written


def card(name: str, text: str) -> str:
    """A model card, one level lower, under a heading that links can name."""
    body = re.sub(r"^---\n.*?\n---\n", "", text, flags=re.S).strip()
    body = re.sub(r"^# .+\n", "", body)
    return f"## {CARDS[name]}\n\n" + re.sub(r"^(#+) ", r"#\1 ", body, flags=re.M)


def _entries(page: str, title: str, found: list[Section]) -> list[dict[str, str]]:
    at = {"page": f"{page}.html", "title": title}
    return [at | {"heading": s.heading, "anchor": s.anchor, "text": s.text[:2000]} for s in found]


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
