"""What our widgets share in Python: script and style put together, a picture, words, and a page of their own.

anywidget takes a widget's script as one text. So `kit.js`, which has what all widgets need, is put before the widget's
own file. State travels as text: Colab's widget manager loses binary messages.
"""

import base64
import json
import re
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import numpy as np

from . import theme

HERE = Path(__file__).parent
COMMENT = re.compile(r"^\s*//.*\n", re.MULTILINE)  # a line of a script that is nothing else


def esm(*names: str) -> str:
    """The scripts of that name in this folder, one after the other; only the last one exports. Comments stay here."""
    return "\n".join(COMMENT.sub("", (HERE / f"{name}.js").read_text(encoding="utf-8")) for name in names)


def css(*names: str) -> str:
    """The style sheets of that name in this folder, one after the other."""
    return "\n".join((HERE / f"{name}.css").read_text(encoding="utf-8") for name in names)


def encode(value: Any) -> Any:
    """Arrays as {type, shape, base64}, which `decode` of kit.js reads; the rest as it is."""
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        text = base64.b64encode(little.tobytes()).decode()
        return {"type": str(value.dtype), "shape": list(value.shape), "base64": text}
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return [encode(item) for item in value] if isinstance(value, list) else value


class LabWidget(anywidget.AnyWidget):
    """A widget that can also be a picture, words, or a page without kernel and network.

    A subclass sets `_esm = esm("kit", …)` and `_css = css("kit", …)`, keeps its state in text and number traits,
    and writes `static`, `alt`, and `provenance`.
    """

    TITLE = "Qwen3.5 Lab"
    _esm: Any = ""
    _css: Any = ""

    def static(self) -> bytes:
        """The present view as a PNG."""
        raise NotImplementedError

    def alt(self) -> str:
        """The present view in words, made from its data."""
        raise NotImplementedError

    def provenance(self) -> str:
        """Where the numbers come from; the first word is one of `theme.KINDS`."""
        raise NotImplementedError

    def head(self) -> dict[str, Any]:
        """What `makeRoot` and `makeHead` of kit.js read from a payload."""
        kind = theme.kind_of(self.provenance())
        return {"provenance": self.provenance(), "badge": kind, "colours": theme.COLOURS}

    def state(self) -> dict[str, Any]:
        """What the browser is told: the synchronised traits that are this project's own."""
        theirs = anywidget.AnyWidget.class_traits(sync=True)
        names = [name for name in self.traits(sync=True) if name not in theirs and not name.startswith("_")]
        return {name: getattr(self, name) for name in names}

    def html(self) -> str:
        """The widget as a page of its own that needs neither kernel nor network."""
        return PAGE.format(
            title=escape(f"{self.TITLE} · {self.provenance()}"),
            css=str(self._css),
            state=json.dumps(self.state()).replace("</", "<\\/"),
            esm=str(self._esm).replace("export default", "const widget ="),
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        found = super()._repr_mimebundle_(**kwargs) or {}
        data, metadata = found if isinstance(found, tuple) else (found, {})
        picture = base64.b64encode(self.static()).decode()
        return {**data, "image/png": picture, "text/plain": self.alt()}, metadata

    if hasattr(anywidget.AnyWidget, "_ipython_display_"):  # ipywidgets 7, as in Colab, asks for this and no bundle

        def _ipython_display_(self, **kwargs: Any) -> None:
            from IPython.display import display

            data, metadata = self._repr_mimebundle_(**kwargs)
            display(data, metadata=metadata, raw=True)


# `still` tells a widget that no kernel will ever answer
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>{css}</style></head><body style="margin:1rem">
<div id="here"></div><script type="application/json" id="state">{state}</script><script type="module">
{esm}
const state = JSON.parse(document.getElementById("state").textContent), nothing = () => {{}};
const model = {{ still: true, get: k => state[k], set: (k, v) => {{ state[k] = v; }},
  on: nothing, off: nothing, save_changes: nothing, send: nothing }};
widget.render({{ model, el: document.getElementById("here") }});
</script></body></html>
"""
