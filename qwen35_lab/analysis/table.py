"""A small table that reads well as text and in a notebook."""

from dataclasses import dataclass
from html import escape

CELL = "white-space:nowrap;padding:0.2em 0.7em"
STYLES = {"<": f"text-align:left;{CELL}", ">": f"text-align:right;{CELL}"}


@dataclass(frozen=True, repr=False)
class Table:
    """Headers, rows of text, and what to know about them.

    Args:
        align: one letter per column, "<" left or ">" right.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    caption: str

    def __repr__(self) -> str:
        lines = [self.headers, *self.rows]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.headers))]
        text = ["  ".join(f"{c:{a}{w}}" for c, a, w in zip(line, self.align, widths, strict=True)) for line in lines]
        text.insert(1, "─" * len(text[0]))
        return "\n".join([*(line.rstrip() for line in text), "", self.caption])

    def _repr_html_(self) -> str:
        """In the theme's own colours; without a style sheet it is still a plain table."""
        head = self._html_row(self.headers, 'th scope="col"')
        body = "".join(self._html_row(row, "td") for row in self.rows)
        return (
            '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-variant-numeric:tabular-nums;'
            'color:var(--jp-ui-font-color1,inherit)">'
            '<caption style="caption-side:bottom;text-align:left;padding-top:0.5em;'
            f'color:var(--jp-ui-font-color2,inherit)">{escape(self.caption)}</caption>'
            f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
        )

    def _html_row(self, cells: tuple[str, ...], tag: str) -> str:
        end = tag.split()[0]
        pairs = zip(cells, self.align, strict=True)
        return "<tr>" + "".join(f'<{tag} style="{STYLES[a]}">{escape(c)}</{end}>' for c, a in pairs) + "</tr>"
