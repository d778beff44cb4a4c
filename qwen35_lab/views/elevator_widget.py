"""The layer elevator: ride up through a model and see, floor by floor, what one token has become.

Floor 0 is the embedding, floor n + 1 is the residual stream after layer n. For every floor and token: the stream's norm
and what mixer and feed-forward added to it, the logit lens's best guesses, and what the layer's taps hold.

All of it is sent to the browser once, as text, and drawn there: a step asks no kernel, and works in an exported page.
The number of cells in a heat strip shrinks with layers × tokens × taps so that this stays a few megabytes.
"""

import base64
import json
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from ..analysis import Lens, logit_lens
from ..qwen import Prompt, Qwen
from ..trace import Trace
from .elevator_data import describe, encode, in_words
from .elevator_png import draw

HERE = Path(__file__).parent
RECORD = ("*", "layers.*.mixer.weights")  # every tap but the lazy ones, and the attention weights


class LayerElevator(anywidget.AnyWidget):
    """The widget. `floor` and `token` can be read and set; `payload` is all it knows, as JSON."""

    _esm = HERE / "elevator.js"
    _css = HERE / "elevator.css"
    payload = traitlets.Unicode().tag(sync=True)
    floor = traitlets.Int(0).tag(sync=True)
    token = traitlets.Int(0).tag(sync=True)

    def __init__(self, trace: Trace, lens: Lens, vocabulary: dict[int, str], floor: int = -1, token: int = -1):
        """`vocabulary` has the text of every token id in `lens`; negative `floor` and `token` count from the end."""
        self._data = describe(trace, lens, vocabulary)
        floors, tokens = len(self._data["floors"]), len(self._data["tokens"])
        super().__init__(payload=json.dumps(encode(self._data)), floor=floor % floors, token=token % tokens)

    def static(self) -> bytes:
        """The present view as a PNG."""
        return draw(self._data, self.floor, self.token)

    def alt(self) -> str:
        """The present view in words."""
        return in_words(self._data, self.floor, self.token)

    def html(self) -> str:
        """The elevator as a page of its own that needs neither kernel nor network."""
        state = json.dumps({"payload": self.payload, "floor": self.floor, "token": self.token}).replace("</", "<\\/")
        esm, css = (HERE / f"elevator.{kind}" for kind in ("js", "css"))
        return PAGE.format(
            title=escape(f"Layer elevator · {self._data['provenance']}"),
            css=css.read_text(encoding="utf-8"),
            state=state,
            esm=esm.read_text(encoding="utf-8").replace("export default", "const widget ="),
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        found = super()._repr_mimebundle_(**kwargs) or {}
        data, metadata = found if isinstance(found, tuple) else (found, {})
        picture = base64.b64encode(self.static()).decode()
        return {**data, "image/png": picture, "text/plain": self.alt()}, metadata


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>{css}</style></head><body style="margin:1rem">
<div id="here"></div><script type="application/json" id="state">{state}</script><script type="module">
{esm}
const state = JSON.parse(document.getElementById("state").textContent);
const model = {{get: k => state[k], set: (k, v) => {{ state[k] = v; }}, on() {{}}, save_changes() {{}}}};
widget.render({{model, el: document.getElementById("here")}});
</script></body></html>
"""


def elevator(qwen: Qwen, prompt: Prompt | Trace, floor: int = -1, token: int = -1) -> LayerElevator:
    """Trace a prompt, read it with the logit lens, and show it.

    Args:
        prompt: text, token ids, or a trace of this model that recorded `elevator.RECORD`.
        floor, token: where to begin; negative numbers count from the end.
    """
    trace = prompt if isinstance(prompt, Trace) else qwen.trace(prompt, recordable(qwen))
    lens = logit_lens(qwen.model, trace)
    vocabulary = {n: qwen.token_text(n) for n in lens.ids.unique().tolist()}
    return LayerElevator(trace, lens, vocabulary, floor, token)


def recordable(qwen: Qwen) -> list[str]:
    """`RECORD`, without the attention weights if no layer has any."""
    return list(RECORD if "full_attention" in qwen.config.text.layer_types else RECORD[:1])
