"""The layer elevator: ride up through a model and see, floor by floor, what one token has become.

Floor 0 is the embedding, floor n + 1 is the residual stream after layer n. For every floor and token: the stream's norm
and what mixer and feed-forward added to it, the logit lens's best guesses, and what the layer's taps hold.

All of it is sent to the browser once, as text, and drawn there: a step asks no kernel, and works in an exported page.
The number of cells in a heat strip shrinks with layers × tokens × taps so that this stays a few megabytes.
"""

import json

import traitlets

from ..analysis import Lens, logit_lens
from ..qwen import Prompt, Qwen
from ..trace import Trace
from .elevator_data import describe, in_words
from .elevator_png import draw
from .widget import LabWidget, css, encode, esm

RECORD = ("*", "layers.*.mixer.weights")  # every tap but the lazy ones, and the attention weights


class LayerElevator(LabWidget):
    """The widget. `floor` and `token` can be read and set; `payload` is all it knows, as JSON."""

    TITLE = "Layer elevator"
    _esm = esm("kit", "elevator")
    _css = css("kit", "elevator")
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

    def provenance(self) -> str:
        return str(self._data["provenance"])


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
