"""One look for everything: colours that colour-blind eyes tell apart, in JupyterLab's light and dark theme.

The colours are three of Okabe & Ito's (2008) and a grey; each has a contrast of at least 3 : 1 against white and
against JupyterLab's dark background. Zero is transparent, so that it is the page's own colour. No meaning hangs on
colour alone: figures repeat it in a letter, a shape or a hatching.
"""

from html import escape

import plotly.graph_objects as go

COLOURS = {
    "deltanet": "#0072b2",  # blue
    "attention": "#d55e00",  # vermillion
    "ffn": "#009e73",  # bluish green
    "stream": "#767778",  # grey
    "positive": "#0072b2",
    "negative": "#d55e00",
}
LETTERS = {"linear_attention": "L", "full_attention": "F"}  # as the family writes its pattern: L L L F
NAMES = {"linear_attention": "Gated DeltaNet", "full_attention": "gated attention"}

KINDS = {
    "REAL": "official weights or vocabularies, computed in this kernel",
    "TINY": "a small trained model of this project, computed in this kernel: not a statement about Qwen3.5",
    "OTHER": "somebody's checkpoint, computed in this kernel",
    "RANDOM": "random weights, computed in this kernel: only the arithmetic means anything",
    "PUBLISHED": "numbers published elsewhere, with their source",
}


def rgba(colour: str, alpha: float) -> str:
    """`#0072b2` with an opacity, as CSS and plotly write it."""
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def opacity(share: float) -> float:
    """How opaque a value is drawn, 0 to 1, for its share of the largest: more than linear, so that small ones show."""
    return share**0.65


_STEPS = (0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1)
SEQUENTIAL = [[x, rgba(COLOURS["positive"], opacity(x))] for x in _STEPS]
DIVERGING = [
    *([0.5 - x / 2, rgba(COLOURS["negative"], opacity(x))] for x in reversed(_STEPS[1:])),
    *([0.5 + x / 2, rgba(COLOURS["positive"], opacity(x))] for x in _STEPS),
]

HEIGHT, TOP = 340, 40  # of a figure, and of the room above its axes, in pixels
_AXIS = {
    "gridcolor": "rgba(128,128,128,0.25)",
    "linecolor": "rgba(128,128,128,0.6)",
    "zerolinecolor": "rgba(128,128,128,0.6)",
    "automargin": True,
    "title": {"standoff": 8},
}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": COLOURS["stream"], "family": "system-ui, sans-serif", "size": 12},
        "colorway": [COLOURS[name] for name in ("deltanet", "attention", "ffn", "stream")],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 60, "r": 20, "t": TOP, "b": 50},
        "height": HEIGHT,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hoverlabel": {"font": {"family": "system-ui, sans-serif"}},
    }
)
CELL_FONT = {"color": COLOURS["stream"], "size": 11}  # of text in coloured cells
COLOURBAR = {"thickness": 12, "outlinewidth": 0, "nticks": 5}
# plotly writes its colours into the page; this lets text of our grey, and only that, follow the theme
TEXT_FOLLOWS_THEME = (
    '<style>.js-plotly-plot .main-svg text[style*="fill: rgb(118, 119, 120)"]'
    "{fill:var(--jp-content-font-color1,currentColor)!important}</style>"
)


def kind_of(provenance: object) -> str:
    """The first word of a provenance: one of `KINDS`."""
    kind = str(provenance).split(" · ")[0]
    return kind if kind in KINDS else "OTHER"


def badge(provenance: object) -> str:
    """HTML that says where numbers come from: `TINY · recall · float32 · cpu`, with what that means as a tooltip."""
    kind = kind_of(provenance)
    rest = str(provenance).removeprefix(kind)
    return (
        f'<span title="{escape(KINDS[kind])}" style="font-size:0.9em">'
        '<b style="border:1.5px solid currentColor;border-radius:4px;padding:0 0.35em;font-size:0.85em;'
        'white-space:nowrap">'
        f"{kind}</b>{escape(rest)}</span>"
    )


def caption(text: str, provenance: object, alt: str = "") -> str:
    """The line under a figure: badge, what is to be seen, and for screen readers the data in words."""
    hidden = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"
    return (
        '<p style="margin:0.2em 0 0.8em;line-height:1.4;color:var(--jp-content-font-color1,inherit)">'
        f'{badge(provenance)}<br>{escape(text)}<span style="{hidden}">{escape(alt)}</span></p>'
    )
