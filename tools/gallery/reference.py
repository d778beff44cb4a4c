"""The API reference: what the package's front door and its public rooms export, from signatures and docstrings."""

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from pdoc.docstrings import convert

from . import shell
from .prose import Section, plain, render, slug

DOOR = "qwen35_lab"
ROOMS = [DOOR, *(f"{DOOR}.{room}" for room in ("analysis", "views", "inputs", "exercises", "model", "nano", "recall"))]
KINDS = {"module": "Modules", "function": "Functions", "class": "Classes", "value": "Values"}
WIDE = 100  # characters of a signature; a longer one gets a line for every parameter


@dataclass(frozen=True)
class Entry:
    """A function, class, method or module as the reference shows it."""

    name: str
    kind: str
    signature: str
    html: str  # of its docstring
    first: str  # paragraph of it, as plain text
    members: tuple["Entry", ...] = ()

    @property
    def anchor(self) -> str:
        return slug(self.name)

    @property
    def page(self) -> str:
        """A room's own one."""
        return f"{DOOR}.{self.name}" if f"{DOOR}.{self.name}" in ROOMS else ""


def entries(room: str) -> list[Entry]:
    """What a room exports, sorted by kind, then by name."""
    module = importlib.import_module(room)
    found = [entry(name, getattr(module, name)) for name in module.__all__]
    return sorted(found, key=lambda each: (list(KINDS).index(each.kind), each.name.lower()))


def entry(name: str, thing: object) -> Entry:
    kind = "module" if isinstance(thing, ModuleType) else "class" if isinstance(thing, type) else "function"
    kind = kind if kind != "function" or callable(thing) else "value"
    said = documentation(thing) if kind != "value" else ""
    inside = tuple(members(thing)) if isinstance(thing, type) else ()
    html = markdown(said.split("\n\n")[0] if kind == "module" else said)
    return Entry(name, kind, signature(name, thing), html, plain(said.split("\n\n")[0]), inside)


def documentation(thing: object) -> str:
    """Its docstring; not one that it inherits, which may be somebody else's: torch's, of every module."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def members(thing: type) -> Iterator[Entry]:
    """Methods and properties of the class itself that have something to say."""
    for name, member in vars(thing).items():
        function = getattr(member, "__func__", member)
        if not name.startswith("_") and (said := documentation(function)) and callable(function):
            yield Entry(name, "function", signature(name, function), markdown(said), plain(said))
        elif not name.startswith("_") and isinstance(member, property) and said:
            yield Entry(name, "value", "", markdown(said), plain(said))


def signature(name: str, thing: object) -> str:
    if not callable(thing):
        return ""
    try:
        found = inspect.signature(thing)
    except ValueError:  # an exception of ours takes what Exception takes
        return ""
    without = [p for p in found.parameters.values() if p.name not in ("self", "cls")]
    written = short(f"{name}{found.replace(parameters=without)}")
    if len(written) <= WIDE:
        return written
    lines = "".join(f"\n    {short(str(p))}," for p in without)
    after = "" if found.return_annotation is found.empty else f" -> {inspect.formatannotation(found.return_annotation)}"
    return f"{name}({lines}\n){short(after)}"


def short(annotation: str) -> str:
    """`qwen35_lab.trace.Trace` -> `Trace`"""
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", annotation)


def markdown(docstring: str) -> str:
    """As HTML. What is a heading in pdoc's eyes ("Raises:") is none in a page's outline."""
    return render(re.sub(r"^#+ +(.+?):?$", r"**\1**", convert(docstring, "google", None), flags=re.M))


def page(room: str, pages: set[str]) -> tuple[str, list[Section]]:
    """A room's page, and what a search finds in it."""
    found = entries(room)
    groups = [(label, [each for each in found if each.kind == kind]) for kind, label in KINDS.items()]
    about = markdown(documentation(importlib.import_module(room)))
    template = shell.templates().get_template("api.html.j2")
    body = template.render(room=room, rooms=ROOMS, about=about, groups=groups)
    short = room.replace(DOOR, "lab")
    sections = [Section(f"{short}.{each.name}", each.anchor, each.first) for each in found]
    return shell.page(f"api/{room}", f"{short}: API", body, pages), sections
