"""What all pages have around them: title, menu, search, the switch between light and dark."""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter

ASSETS = Path(__file__).resolve().parent / "assets"
MENU = {"index": "Notebooks", "taps": "Taps", "claims": "Claims", "glossary": "Glossary", "models": "Models",
        "api/qwen35_lab": "API"}  # fmt: skip


def asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def templates() -> Environment:
    return Environment(loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def header(current: str, pages: set[str]) -> str:
    """The bar on top of a page; `current` and `pages` are names such as `taps` and `api/views`."""
    menu = [(name, label, name == current) for name, label in MENU.items() if name in pages]
    return templates().get_template("header.html.j2").render(menu=menu, root=root_of(current))


def root_of(name: str) -> str:
    """The way from a page to the site's folder."""
    return "../" * name.count("/")


def page(name: str, title: str, body: str, pages: set[str]) -> str:
    """A page of ours. `body` is HTML."""
    made = templates().get_template("page.html.j2")
    return made.render(title=title, body=body, header=header(name, pages), root=root_of(name))


def dress(html: str, top: str, bottom: str, scripts: str) -> str:
    """Put our bar and our scripts into a page that nbconvert has made."""
    if top:
        head = '<link rel="stylesheet" href="theme.css"><link rel="stylesheet" href="site.css">'
        head += "<script>" + asset("theme.js") + "</script></head>"
        html = html.replace("</head>", head, 1)
        html = re.sub(r"(<body[^>]*>)\s*<main>", lambda found: f'{found[1]}{top}<main id="main">', html, count=1)
        html = html.replace("</main>", f"{bottom}</main>")
        scripts += '<script src="search.js"></script><script src="site.js"></script>'
    return html.replace("</body>", f"{scripts}</body>")


def theme() -> str:
    """JupyterLab's colours, those of the dark theme under `data-theme`, for pages and widgets alike."""
    folder = Path(HTMLExporter().template_paths[0]) / "static"
    light, dark, rest = ((folder / f"{name}.css").read_text(encoding="utf-8") for name in
                         ("theme-light", "theme-dark", "index"))  # fmt: skip
    palette = "\n".join(re.findall(r":root\s*\{[^}]*--md-[^}]*\}", rest))
    return palette + light + dark.replace(":root", ':root[data-theme="dark"]')
