"""Will it fit? A model, a precision, a length, so many texts and a device: what it takes, and what an article says.

Python counts what does not depend on the controls (analysis/fit.py) and sends it once; the browser only multiplies and
adds (fit_rules.js), so a move asks no kernel and an exported page works. `footprint` is the same view from
`will_it_fit`; a test holds the two equal.
"""

import json
from collections.abc import Sequence
from typing import Any

import traitlets

from ..analysis.devices import DEVICES, Device, article_rows, find
from ..analysis.fit import PRECISIONS, RUNTIME, TERMS, Footprint, will_it_fit
from ..errors import InputError
from ..family import OFFICIAL, full_name
from ..memory import in_words
from .fit_explorer_png import draw
from .widget import LabWidget, css, esm

CONTEXTS = tuple(2**n for n in range(9, 21))  # 512 to 1,048,576 tokens
BATCHES = (1, 4, 16, 64)
KNOBS = ("model", "precision", "context", "batch", "device")
ASKED = (
    "The article's table at this length, number of texts, and (last column) precision: what is enough, and what is not."
)


class FitExplorer(LabWidget):
    """The widget. `payload` is all it knows, as JSON; the other traits are places of its controls, and can be set."""

    TITLE = "Will it fit?"
    _esm = esm("kit", "controls", "fit_rules", "fit_explorer")
    _css = css("kit", "controls", "fit_explorer")
    payload = traitlets.Unicode().tag(sync=True)
    start = traitlets.Unicode("{}").tag(sync=True)
    model = traitlets.Int(3).tag(sync=True)
    precision = traitlets.Int(0).tag(sync=True)
    context = traitlets.Int(3).tag(sync=True)
    batch = traitlets.Int(0).tag(sync=True)
    device = traitlets.Int(0).tag(sync=True)

    def __init__(self, data: dict[str, Any], devices: Sequence[Device], **at: int):
        self._data, self._devices = data, tuple(devices)
        super().__init__(payload=json.dumps({**self.head(), **data}), **at)
        self.start = json.dumps({name: getattr(self, name) for name in KNOBS})

    def provenance(self) -> str:
        return "PUBLISHED · the official configs, and the table of an article of 2026-03-11"

    def caption(self) -> str:
        return self._data["caption"]

    def footprint(self, **at: int) -> Footprint:
        """What is shown, or what would be with some controls elsewhere."""
        here = {name: getattr(self, name) for name in KNOBS} | at
        return will_it_fit(
            self._data["models"][here["model"]]["name"], PRECISIONS[here["precision"]], CONTEXTS[here["context"]],
            BATCHES[here["batch"]], device=self._devices[here["device"]],
        )  # fmt: skip

    def cells(self) -> list[dict[str, Any]]:
        """The article's table: for each cell model, text, whether it is chosen, and whether it holds."""
        found = []
        for row in self._data["rows"]:
            for cell in (each for part in row["cells"] for each in part):
                model = row["model"]
                if "gb" in cell:
                    told = self.footprint(model=model, precision=cell["precision"])
                    holds = told.total - told.terms["runtime"] <= cell["gb"] * 1e9
                    text, chosen = f"{cell['gb']:g} GB", cell["precision"] == self.precision
                else:
                    holds = self.footprint(model=model, device=cell["device"]).fits
                    text, chosen = self._devices[cell["device"]].name, cell["device"] == self.device
                chosen = chosen and model == self.model
                found.append({"model": model, "text": text, "chosen": chosen, "holds": holds, "number": "gb" in cell})
        return found

    def alt(self) -> str:
        """The present view in words."""
        told = self.footprint()
        terms = ", ".join(f"{name} {in_words(size)}" for name, size in told.terms.items() if size)
        cells = self.cells()
        right = sum(cell["holds"] for cell in cells)
        return (
            f"{told.heading()}: {in_words(told.total)} ({terms}). It {told.verdict()}. Of the {len(cells)} cells of "
            f"the article's table {right} hold here."
        )

    def static(self) -> bytes:
        """The present view as a PNG."""
        return draw(self)


def fit_explorer(
    models: Sequence[str] = OFFICIAL, *, here: Device | None = None, **at: int
) -> FitExplorer:  # fmt: skip
    """Will it fit? For every model, precision, length, number of texts, and device.

    Args:
        models: by name.
        here: the first device of the list; what is free on this machine's CPU now, if not given.
        at: where to begin: model, precision, context, batch, device, as places in their lists.
    Raises:
        InputError: no model, or a place that is none.
    """
    if not models:
        raise InputError("There is no model to show; name at least one.")
    names = [full_name(name) for name in models]
    devices = [here or find(None, None), *DEVICES.values()]
    sizes = dict(zip(KNOBS, map(len, (names, PRECISIONS, CONTEXTS, BATCHES, devices)), strict=True))
    for name, place in {"model": min(3, len(names) - 1), **at}.items():
        if name not in sizes or isinstance(place, bool) or not 0 <= place < sizes[name]:
            raise InputError(f"There is no place {place} of {name!r}; the controls have {sizes} places.")
    data = {
        "terms": list(TERMS), "precisions": list(PRECISIONS), "contexts": list(CONTEXTS), "batches": list(BATCHES),
        "runtime": RUNTIME, "devices": [{"name": d.name, "bytes": d.bytes, "kind": d.kind, "count": d.count}
                                        for d in devices],
        "models": [_describe(name) for name in names], "rows": _rows(names, devices), "asked": ASKED,
        "caption": "Weights and cache are counted from the configs; activations and room to grow are estimated for "
        "this package's own code, at most 2,048 tokens at a time; fused kernels and servers take less. Runtime: "
        f"{in_words(RUNTIME['cpu'])} on a CPU, {in_words(RUNTIME['cuda'])} assumed for every GPU. A GPU's “24 GB” are "
        "24 × 2³⁰ bytes here. A number of the article holds if all but the runtime fits into it.",
    }  # fmt: skip
    return FitExplorer(data, devices, **{"model": min(3, len(names) - 1), **at})


def _describe(name: str) -> dict[str, Any]:
    """Of one model what the browser multiplies and adds, for one text."""
    whole = [will_it_fit(name, context=tokens, bytes=1e15).terms for tokens in CONTEXTS]
    weights = [will_it_fit(name, dtype, CONTEXTS[0], bytes=1e15) for dtype in PRECISIONS]
    return {
        "name": name, "native": weights[0].native, "weights": [list(told.terms.values())[:3] for told in weights],
        "kv": whole[0]["keys and values"] / CONTEXTS[0], "state": whole[0]["DeltaNet states"],
        "conv": whole[0]["convolutions"], "room": [terms["room to grow"] for terms in whole],
        "work": [terms["activations"] for terms in whole],
    }  # fmt: skip


def _rows(names: Sequence[str], devices: Sequence[Device]) -> list[dict[str, Any]]:
    places = {device.name: n for n, device in enumerate(devices)}
    return [
        {
            "model": names.index(row.model),
            "cells": [*([{"precision": PRECISIONS.index(dtype), "gb": gb}] for dtype, gb in row.gb.items()),
                      [{"device": places[device]} for device in row.devices]],
        }
        for row in article_rows()
        if row.model in names
    ]  # fmt: skip
