"""The deck: dials, and panels that follow them. One widget for everything that a slider moves.

All frames are sent to the browser once, as text, and drawn there: a dial asks no kernel, and works in an exported page.
A *live* dial is the exception: what it sets is computed in Python when it moves.
"""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
import traitlets

from ..errors import InputError
from .deck_png import draw
from .frames import shrink
from .panels import Axis, Bars, Curves, Dial, Heat, Panel, Strip, names
from .picture_panel import Picture
from .widget import LabWidget, css, encode, esm

__all__ = ["Axis", "Bars", "Curves", "Deck", "Dial", "Heat", "Picture", "Strip", "shrink"]

MOST = 8_000_000  # characters sent to the browser
Live = Callable[[dict[str, int]], Sequence[Panel]]  # dial name -> index of its label; all panels, anew


class Deck(LabWidget):
    """The widget. `at` has the place of each dial, and can be read and set; `payload` is all it shows, as JSON.

    Args:
        panels: `Heat`, `Curves`, `Bars`, `Strip`, `Picture`, drawn in this order, side by side where there is room.
        dials: the sliders; a panel names those it depends on in `over`.
        caption: one or two sentences made from the data.
        alt: words for who cannot see it, or a function of the dials' places that gives them; made from the panels
            if there are none.
        provenance: of the data; its first word is the badge.
        notes: a line of text for each place of a dial, by the dial's name; a list belongs to the first dial.
        live: computes the panels for the dials' places; called when one of `live_dials` moves, perhaps in another
            thread, under the widget's lock and in inference mode. Give it its own `qwen.twin()` if it runs a model.
        live_dials: those that only `live` knows; all that no panel is drawn over if not given.

    Raises:
        InputError: values whose shape is not that of the dials, or more than 8 MB of them.
    """

    TITLE = "Deck"
    _esm = esm("kit", "deck_heat", "deck_plots", "deck_picture", "deck")
    _css = css("kit", "controls", "deck")
    payload = traitlets.Unicode().tag(sync=True)
    at = traitlets.List(traitlets.Int()).tag(sync=True)
    ask = traitlets.Unicode("").tag(sync=True)  # the browser's question: {count, at}

    def __init__(self, panels: Sequence[Panel] = (), dials: Sequence[Dial] = (), *, caption: str = "",
                 alt: str | Callable[[dict[str, int]], str] = "", provenance: object = "",
                 notes: dict[str, Sequence[str]] | Sequence[str] | None = None,
                 live: Live | None = None, live_dials: Sequence[str] | None = None):  # fmt: skip
        self._dials, self._caption, self._alt, self._provenance = list(dials), caption, alt, str(provenance)
        self._notes = _notes(notes, self._dials)
        self._lock, self._said, self._error, self._live = threading.Lock(), 0, "", live
        start = [dial.start % len(dial.labels) for dial in dials]
        if live and not panels:
            panels = self._compute(start)
        self._panels = list(panels)
        if not self._panels:
            raise InputError("A deck needs something to show; give it panels, or live.")
        used = {name for panel in self._panels for name in panel.over}
        wanted = [dial.name for dial in dials if dial.name not in used | _moved(self._panels)]
        self._live_dials = list(wanted if live_dials is None else live_dials) if live else []
        super().__init__(payload=self._describe(), at=start)
        if live:
            self.on_msg(_greet)

    def choose(self, places: dict[str, int]) -> None:
        """Move dials, by name and place: `deck.choose({"token": 3})`; negative places count from the end."""
        sizes = {dial.name: len(dial.labels) for dial in self._dials}
        for name, place in places.items():
            if not -sizes.get(name, 0) <= place < sizes.get(name, 0):
                raise InputError(f"There is no place {place} of a dial {name!r}; the dials have {sizes} places.")
        at = [places.get(dial.name, n) % len(dial.labels) for dial, n in zip(self._dials, self.at)]
        if set(places) & set(self._live_dials):
            with self._lock:
                self._refresh(at)
        self.at = at

    def places(self) -> dict[str, int]:
        """The index of the label that each dial stands on."""
        return {dial.name: n for dial, n in zip(self._dials, self.at)}

    def panels(self) -> list[Panel]:
        """What is shown now."""
        return list(self._panels)

    def caption(self) -> str:
        return self._caption

    def provenance(self) -> str:
        return self._provenance

    def alt(self) -> str:
        """The present view in words, made from its data."""
        places = self.places()
        if self._alt:
            return self._alt(places) if callable(self._alt) else self._alt
        dials = [f"{dial.name} {dial.labels[places[dial.name]]}" for dial in self._dials]
        told = [panel.words(places) for panel in self._panels]
        return " ".join(filter(None, [self._caption, f"Dials: {'; '.join(dials)}." if dials else "", *told]))

    def static(self) -> bytes:
        """The present view as a PNG."""
        return draw(self._panels, self._dials, self.places(), self._caption, self._provenance)

    @traitlets.observe("ask")
    def _answer(self, _: Any) -> None:
        """The latest question is answered; those that came while another was at work are left out."""
        with self._lock:
            question = json.loads(self.ask)
            if question["count"] != self._said:
                self._said = question["count"]
                self._refresh(question["at"])

    def _refresh(self, at: Sequence[int]) -> None:
        before, self._error = self._panels, ""
        try:
            self._panels = self._compute(at)
            payload = self._describe()
        except Exception as error:  # an error of a callback would be seen nowhere: the widget shows it
            self._panels, self._error = before, f"{type(error).__name__}: {error}"
            payload = self._describe()
        self.payload = payload

    def _compute(self, at: Sequence[int]) -> list[Panel]:
        assert self._live
        with torch.inference_mode():
            return list(self._live({dial.name: n for dial, n in zip(self._dials, at)}))

    def _describe(self) -> str:
        panels = [panel.describe(self._dials) for panel in self._panels]
        kinds = [{"name": d.name, "labels": names(d.labels), "play": d.play,
                  "start": d.start % len(d.labels), "live": d.name in self._live_dials,
                  "notes": self._notes.get(d.name)} for d in self._dials]  # fmt: skip
        text = json.dumps(encode({
            **self.head(), "caption": self._caption, "alt": self._alt if isinstance(self._alt, str) else "",
            "dials": kinds, "panels": panels, "said": self._said, "error": self._error,
        }))  # fmt: skip
        if len(text) > MOST:
            raise InputError(_too_large(panels, len(text), self._dials))
        return text


def _greet(deck: Deck, content: Any, buffers: Any) -> None:
    """Answer the browser's first message.

    ipykernel 7.4 hands a message to the thread from which the widget spoke last: at first the main one, where it waits
    for the cell that is running. An answer to a message of a subshell makes that subshell the next one's thread.
    """
    deck.send({"ready": True})


def _moved(panels: Sequence[Panel]) -> set[str]:
    """Dials that a panel points into: a strip's, a cursor's."""
    found = (getattr(panel, "dial", None) or getattr(panel, "cursor", None) for panel in panels)
    return {name for name in found if name}


def _notes(notes: Any, dials: Sequence[Dial]) -> dict[str, list[str]]:
    found = notes if isinstance(notes, dict) else {dials[0].name: notes} if notes and dials else {}
    sizes = {dial.name: len(dial.labels) for dial in dials}
    for name, lines in found.items():
        if sizes.get(name) != len(lines):
            raise InputError(f"There are {len(lines)} notes for the dial {name!r}; give one for each of its places.")
    return {name: [str(line) for line in lines] for name, lines in found.items()}


def _too_large(panels: list[dict[str, Any]], size: int, dials: Sequence[Dial]) -> str:
    """Names the panel that weighs most, and what it is made of."""
    worst = max(panels, key=lambda panel: len(json.dumps(encode(panel))))
    shapes = [tuple(part["values"].shape) for part in worst.get("series", [worst]) if part["values"] is not None]
    axes = [dials[n].name for n in worst["over"]]
    return (
        f"The deck would send {size / 1e6:.1f} MB to the browser, more than {MOST / 1e6:.0f} MB; the largest panel is "
        f"{worst['title']!r}, {' and '.join(map(str, shapes))} over {axes or 'no dial'}: give it fewer frames, rows or "
        "columns, for example with `shrink(values, most, axis)`."
    )
