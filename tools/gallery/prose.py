"""Markdown as HTML: formulas that the browser sets by itself, headings with anchors, links that lead to pages."""

import re
from dataclasses import dataclass
from html import unescape

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

SHORT, LONG = 12, 48  # characters of a table's cell


def slug(text: str) -> str:
    """The anchor of a heading: `## 3 · One *write* changed` has `3-one-write-changed`."""
    return re.sub(r"[^\w]+", "-", re.sub(r"<[^>]*>", "", unescape(text)).lower()).strip("-_")


class Renderer(IPythonRenderer):
    """Markdown as the pages show it."""

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def inline_math(self, body: str) -> str:
        return convert(body)

    def heading(self, text: str, level: int, **_: object) -> str:
        return f'<h{level} id="{slug(text)}">{text}</h{level}>\n'

    def table_cell(self, text: str, align: str | None = None, head: bool = False) -> str:
        """A word or two stay in one line, and a text does not become a column of single words on a phone."""
        kind, length = "th" if head else "td", len(plain(text))
        looks = f' class="{"short" if length <= SHORT else "long"}"' if length <= SHORT or length > LONG else ""
        return f"  <{kind}{looks}" + (f' style="text-align:{align}"' if align else "") + f">{text}</{kind}>\n"

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, page_of(url), title)


def page_of(url: str) -> str:
    """Where a link of the repository leads in the site."""
    url = re.sub(r"^(\.\./)*(notebooks/|docs/)?(?=[\w.-]+\.(ipynb|md)\b)", "", url)
    url = re.sub(r"^(\.\./)*data/([\w-]+)/README\.md$", r"models.html#\2", url)
    return re.sub(r"^index\.md", "index.html", re.sub(r"^([\w.-]+)\.(ipynb|md)(?=#|$)", r"\1.html", url))


def render(text: str) -> str:
    html = str(MarkdownWithMath(Renderer(escape=False)).render(text))
    return html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, as plain text: what a search finds."""

    heading: str
    anchor: str
    text: str
    level: int = 1


def sections(markdown: str) -> list[Section]:
    """The sections of a text. What stands above the first heading is not in them."""
    parts = re.split(r"^(#{1,4}) +(.+)$", re.sub(r"```.*?```", " ", markdown, flags=re.S), flags=re.M)
    return [
        Section(plain(head), slug(render(head)), plain(body), len(marks))
        for marks, head, body in zip(parts[1::3], parts[2::3], parts[3::3])
    ]


def plain(markdown: str) -> str:
    """Without tags, marks and the targets of links."""
    text = re.sub(r"<[^>]+>", " ", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown))
    return re.sub(r"\s+", " ", re.sub(r"\*{1,2}|`|^\s*[-|:>]+|\|", " ", text, flags=re.M)).strip()
