"""The package's own source, shown where it is talked about: what a reader sees is what runs and what is tested."""

import inspect
import textwrap
from html import escape
from pathlib import Path
from typing import Any

from ..errors import InputError


class Source:
    """The source of a function or class, with file and lines; in a notebook highlighted in the theme's colours."""

    def __init__(self, thing: Any):
        try:
            lines, start = inspect.getsourcelines(thing)
            file = Path(inspect.getsourcefile(thing) or "")
        except (TypeError, OSError) as error:
            raise InputError(
                f"{thing!r} has no Python source; pass a function, a method or a class, not its result."
            ) from error
        package = Path(__file__).parents[1]
        shown = file.relative_to(package.parent) if file.is_relative_to(package) else Path(file.name)
        self.text = textwrap.dedent("".join(lines)).rstrip()
        self.where = f"{shown.as_posix()}, lines {start}–{start + len(lines) - 1}"

    def __repr__(self) -> str:
        return f"# {self.where}\n{self.text}"

    def _repr_html_(self) -> str:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers.python import PythonLexer

        # JupyterLab's own editor colours where there are any, so that light and dark both read well
        try:
            from jupyterlab_pygments import JupyterStyle as style
        except ImportError:
            style = "default"
        pre = "margin:0.3em 0;font-size:var(--jp-code-font-size,13px);line-height:1.35;white-space:pre;overflow-x:auto"
        formatter = HtmlFormatter(cssclass="q35-source", style=style, nobackground=True, prestyles=pre)
        css = formatter.get_style_defs(".q35-source")
        return (
            f"<style>{css}</style><div><small>{escape(self.where)}</small>"
            f"{highlight(self.text, PythonLexer(), formatter)}</div>"
        )


def show_source(thing: Any) -> Source:
    """The source of a function, method or class of the package, highlighted, with file and lines."""
    return Source(thing)
