"""A plotly figure that says what it shows, where its numbers come from, and the same in words."""

import textwrap
from typing import Any

import plotly.graph_objects as go

from ..errors import LabError
from . import theme


class Figure(go.Figure):
    """A `go.Figure` in the package's look, with a caption under it.

    Args:
        caption: one or two sentences made from the data.
        alt: the same for who cannot see it, with the numbers.
        provenance: of the data; its first word is the badge.
    """

    def __init__(self, *args: Any, caption: str = "", alt: str = "", provenance: object = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        if caption:  # plotly copies figures through this constructor, with the layout that holds all three already
            meta = {"caption": caption, "alt": alt, "provenance": str(provenance)}
            self.update_layout(template=theme.TEMPLATE, meta=meta)

    def caption(self) -> str:
        return self._said("caption")

    def provenance(self) -> str:
        return self._said("provenance")

    def alt(self) -> str:
        """The figure in words, made from its data."""
        return self._said("alt")

    def _said(self, what: str) -> str:
        return self.to_dict()["layout"]["meta"][what]

    def static(self, width: int = 720) -> bytes:
        """The same picture as PNG, for paper and for pages without JavaScript. Needs kaleido and a Chromium."""
        lines = textwrap.wrap(f"{theme.kind_of(self.provenance())} · {self.caption()}", width // 7)
        room = 16 * len(lines) + 8
        height = (self.to_dict()["layout"].get("height") or theme.HEIGHT) + room
        plain = go.Figure(self)
        plain.update_layout(
            paper_bgcolor="white",
            plot_bgcolor="white",
            font_color="#222222",
            title={
                "text": "<br>".join(lines),
                "font": {"size": 12},
                "x": 0.02,
                "y": 1 - 12 / height,
                "yanchor": "top",
            },
            margin_t=(plain.layout.margin.t or theme.TOP) + room,
            height=height,
        )
        plain.update_traces(textfont_color="#222222", selector={"type": "heatmap"})
        try:
            return plain.to_image("png", width=width, scale=2)
        except (ValueError, RuntimeError) as error:
            raise LabError(
                f"The figure could not be drawn as a PNG ({str(error).splitlines()[0]}); "
                "install kaleido (`pip install kaleido`) and a Chromium."
            ) from error

    def _ipython_display_(self) -> None:
        from IPython.display import display

        super()._ipython_display_()
        html = theme.TEXT_FOLLOWS_THEME + theme.caption(self.caption(), self.provenance(), self.alt())
        display({"text/html": html, "text/plain": f"{self.caption()}\n{self.alt()}"}, raw=True)
