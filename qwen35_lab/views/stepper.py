"""The stepper: walk through a forward pass like through a program in a debugger.

Every value of the pass is a stop: its equation, the line of our source that made it, its shape, and its numbers for one
token. Breakpoints are names of taps; against a second pass, the first value and token that differ can be gone to.

The pass has already happened, so that a step is as quick backwards as forwards. All of it is sent to the browser once,
as text: a step asks no kernel, and works in an exported page. Long texts and large models are shortened to the cells of
largest magnitude, so that this stays below three megabytes.
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import traitlets

from ..errors import InputError
from ..qwen import Prompt, Qwen
from ..trace import Trace
from .stepper_data import describe, in_words, of_the_text
from .stepper_png import draw
from .widget import LabWidget, css, encode, esm

WITH_STATE = 2_000_000  # numbers: the states of all tokens are recorded if they are no more than this
ALWAYS = ("*", "layers.*.mixer.scores", "layers.*.mixer.weights")
INSIDE = ("layers.*.mixer.erase", "layers.*.mixer.write", "layers.*.mixer.state")  # what the recurrence makes


class Stepper(LabWidget):
    """The widget. `stop`, `token` and `breakpoints` can be read and set; `payload` is all it knows, as JSON."""

    TITLE = "Stepper"
    _esm = esm("kit", "stepper_heat", "stepper_parts", "stepper")
    _css = css("kit", "stepper")
    payload = traitlets.Unicode().tag(sync=True)
    stop = traitlets.Int(0).tag(sync=True)
    token = traitlets.Int(0).tag(sync=True)
    breakpoints = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, data: dict[str, Any], breakpoints: Sequence[str] = (), token: int = -1):
        """`data` is what `stepper_data.describe` gives. Begins at the first breakpoint, if there is one."""
        self._data, tokens = data, len(data["tokens"])
        if not -tokens <= token < tokens:
            raise InputError(
                f"There is no token {token}; choose one from 0 to {tokens - 1}, or count from −1 backwards."
            )
        hits = _hits(breakpoints, [stop["name"] for stop in data["stops"]])
        super().__init__(
            payload=json.dumps(encode(data)), stop=hits[0] if hits else 0, token=token % tokens,
            breakpoints=list(breakpoints),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The tap of the present stop."""
        return self._data["stops"][self.stop]["name"]

    def static(self) -> bytes:
        """The present stop as a PNG."""
        return draw(self._data, self.stop, self.token)

    def alt(self) -> str:
        """The present stop in words."""
        return in_words(self._data, self.stop, self.token)

    def provenance(self) -> str:
        return self._data["provenance"]


def _hits(breakpoints: Iterable[str], names: Sequence[str]) -> list[int]:
    """Places of the stops that match; a pattern that matches none is a mistake."""
    found = set()
    for pattern in breakpoints:
        matches = [n for n, name in enumerate(names) if fnmatchcase(name, pattern)]
        if not matches:
            near = difflib.get_close_matches(pattern, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "the names of the stops are those of the trace."
            raise InputError(f"No stop matches the breakpoint {pattern!r}; {hint}")
        found.update(matches)
    return sorted(found)


def step(
    qwen: Qwen, prompt: Prompt | Trace, breakpoints: str | Iterable[str] = (), against: Qwen | Trace | None = None,
    token: int = -1, *, above: float = 1e-5,
) -> Stepper:  # fmt: skip
    """Walk through a forward pass, value by value.

    Args:
        prompt: a text, token ids, or a trace of this model; a text is traced with all that fits, see `recordable`.
        breakpoints: names of taps to stop at, as globs: "layers.*.mixer.beta".
        against: a second pass over the same tokens, or a model to make it with: every stop shows the difference.
        token: where to begin; negative numbers count from the end.
        above: what counts as rounding between the two passes, as a share of a value's largest entry.
    Raises:
        InputError: a breakpoint that matches nothing, a token that is not there, two passes over different tokens.
    """
    if isinstance(prompt, Trace):
        trace, note = prompt, ""
    elif isinstance(against, Trace):
        trace, note = qwen.trace(prompt, list(against)), ""
    else:
        record, note = recordable(qwen, len(qwen.encode(prompt)[0]))
        trace = qwen.trace(prompt, record)
    whole, trace = trace, of_the_text(trace)
    if len(trace) < len(whole):
        note = f"What vision tower and MTP head made is left out: this is a walk along the text. {note}".rstrip()
    if isinstance(against, Qwen):
        against = against.trace(trace.ids, list(trace))
    data = describe(qwen.model, trace, against, above) | {"note": note}
    return Stepper(data, [breakpoints] if isinstance(breakpoints, str) else list(breakpoints), token)


def recordable(qwen: Qwen, tokens: int) -> tuple[list[str], str]:
    """What to record for a text of so many tokens, and a sentence about what is left out for being too large."""
    text = qwen.config.text
    full = text.layer_types.count("full_attention")
    state = text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim
    numbers = tokens * state * (len(text.layer_types) - full)
    record: list[str] = list(ALWAYS if full else ALWAYS[:1])
    if full == len(text.layer_types):
        return record, ""
    if numbers <= WITH_STATE:
        return [*record, *INSIDE], ""
    return record, (
        f"Erase, write and state of the DeltaNet layers are left out: the states would be {numbers:,} numbers. "
        "A shorter text shows them too."
    )
