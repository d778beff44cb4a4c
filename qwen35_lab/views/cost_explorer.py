"""The cost explorer: bytes, FLOPs, seconds and dollars against the length of a text, for any model and mix of layers.

Python counts every kind of layer once (analysis/cost.py) and sends what each costs at every length; the browser only
adds up as many as the chosen mix has (cost_explorer.js), so a move asks no kernel and an exported page works.
`panels` does the same sums here, for words and for the static twin; a test holds the two equal.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from ..analysis.cost import MIXES
from ..analysis.roofline import DATA_SHEETS, Machine
from ..errors import InputError
from ..family import OFFICIAL, full_name
from .caches import size
from .cost_explorer_data import BATCHES, CONTEXTS, describe, total
from .cost_explorer_png import draw
from .curves import crossings
from .widget import LabWidget, css, encode, esm
from .words import listed, short

OTHERS = ("all attention", "all DeltaNet")  # what a mix is compared with


class CostExplorer(LabWidget):
    """The widget. `payload` is all it knows, as JSON; the other traits say where it stands, and can be set."""

    TITLE = "Cost explorer"
    _esm = esm("kit", "controls", "cost_explorer_plot", "cost_explorer")
    _css = css("kit", "controls", "cost_explorer")
    payload = traitlets.Unicode().tag(sync=True)
    start = traitlets.Unicode("{}").tag(sync=True)
    view = traitlets.Int(0).tag(sync=True)  # 0 reads the text, 1 writes one more token
    context = traitlets.Int(12).tag(sync=True)
    model = traitlets.Int(0).tag(sync=True)
    mix = traitlets.Int(2).tag(sync=True)
    batch = traitlets.Int(0).tag(sync=True)
    machine = traitlets.Int(0).tag(sync=True)

    def __init__(self, data: dict[str, Any], provenance: object, **at: int):
        self._data, self._provenance = data, str(provenance)
        super().__init__(payload=json.dumps(encode({**self.head(), **data})), **at)
        names = ("view", "context", "model", "mix", "batch", "machine")
        self.start = json.dumps({name: getattr(self, name) for name in names})

    def provenance(self) -> str:
        return self._provenance

    def caption(self) -> str:
        return self._data["caption"]

    def static(self) -> bytes:
        """The present view as a PNG."""
        return draw(self)

    def alt(self) -> str:
        """The present view in words."""
        return f"{self.heading()} " + " ".join(f"{name}: {value}." for name, value in self.facts())

    def heading(self) -> str:
        """What is asked."""
        texts = BATCHES[self.batch]
        count = "one text" if texts == 1 else f"{texts} texts"
        what = ("Reading {} of {:,} tokens", "Writing one more token of {} of {:,} tokens")[self.view]
        name, mix = self._data["models"][self.model]["name"], list(MIXES)[self.mix]
        return f"{what.format(count, CONTEXTS[self.context])}, {name}, {mix}."

    def facts(self) -> list[tuple[str, str]]:
        """The numbers at the chosen length."""
        held, other, now = self.held(), self.held("all attention"), self.context
        work, machine = self.work(), self._data["machines"][self.machine]
        full = self.work("all attention")
        cache, wider = (_cache(found)[now] for found in (held, other))
        share = (held["weights"][now] + cache) / machine["memory"]
        missed = work["unseen"][now] / (work["seen"][now] + work["unseen"][now])
        flops, more = (w["seen"][now] + w["unseen"][now] for w in (work, full))
        seconds, slower = work["seconds"][now], full["seconds"][now]
        return [
            ("weights", size(held["weights"][now])),
            ("cache", f"{size(cache)} (all attention: {_times(wider, cache)})"),
            ("share of the memory", f"{share:.0%} of {size(machine['memory'])}"),
            ("FLOPs", f"{flops:.3g} (all attention: {_times(more, flops)}), {missed:.1%} unseen by a counter"),
            ("seconds, predicted", f"{short(seconds)} (all attention: {_times(slower, seconds)})"),
            ("a million tokens", f"${self.dollars(work)[now]:.3g}"),
        ]  # fmt: skip

    def held(self, mix: str | None = None) -> dict[str, list[float]]:
        """Bytes at every length: weights, states, the convolutions' last inputs, keys and values."""
        model, texts = self._data["models"][self.model], BATCHES[self.batch]
        linear, full = model["mixes"][self._mix(mix)]
        return {
            "weights": [model["weights"][self._mix(mix)]] * len(CONTEXTS),
            "states": [texts * linear * model["state"]] * len(CONTEXTS),
            "inputs": [texts * linear * model["conv"]] * len(CONTEXTS),
            "keys and values": [texts * full * model["kv"] * n for n in CONTEXTS],
        }

    def work(self, mix: str | None = None) -> dict[str, list[float]]:
        """FLOPs that a counter sees, those that it does not, and predicted seconds, at every length."""
        model, texts = self._data["models"][self.model], BATCHES[self.batch]
        counts = model["mixes"][self._mix(mix)]
        seen, unseen = (total(row, counts) * texts for row in model["flops"][self.view])
        seconds = total(model["seconds"][self.machine, self.view, self.batch], counts)
        return {"seen": seen.tolist(), "unseen": unseen.tolist(), "seconds": seconds.tolist()}

    def dollars(self, work: Mapping[str, Sequence[float]]) -> list[float]:
        """Of a million tokens, at every length."""
        hour = self._data["machines"][self.machine]["usd"]
        return [1e6 * seconds * hour / 3600 for seconds in self._each(work["seconds"])]

    def panels(self) -> list[dict[str, Any]]:
        """What is drawn: for each panel its title, lines [name, values, look], hatching, and where lines cross."""
        held, chosen = self.held(), self.work()
        others = {name: self.work(name) for name in OTHERS}
        wide = self.held("all attention")["keys and values"]
        flops = {name: self._each(w["seen"], w["unseen"]) for name, w in {"this mix": chosen, **others}.items()}
        seconds = {"this mix": chosen["seconds"], **{name: work["seconds"] for name, work in others.items()}}
        machine = self._data["machines"][self.machine]["name"]
        return [
            _panel("bytes held", {"this mix's cache": _cache(held), "its states": held["states"], "all attention": wide,
                                  "weights": held["weights"]},
                   ("break-even", held["keys and values"], held["states"])),
            _panel("FLOPs for each token", flops, ("crossover", flops[OTHERS[0]], flops[OTHERS[1]]),
                   (self._each(chosen["seen"]), flops["this mix"])),
            _panel(f"seconds, {machine}", seconds, ("crossover", seconds[OTHERS[0]], seconds[OTHERS[1]])),
            _panel("$ for a million tokens", {"this mix": self.dollars(chosen),
                                              **{n: self.dollars(w) for n, w in others.items()}}, None),
        ]  # fmt: skip

    def _each(self, *parts: Sequence[float]) -> list[float]:
        """The sum of costs, for each token that is read or written."""
        texts = BATCHES[self.batch]
        return [sum(costs) / (texts if self.view else texts * n) for n, *costs in zip(CONTEXTS, *parts, strict=True)]

    def _mix(self, name: str | None) -> int:
        return self.mix if name is None else list(MIXES).index(name)


def _cache(held: Mapping[str, Sequence[float]]) -> list[float]:
    """All that is kept of the texts, at every length."""
    kept = zip(held["states"], held["inputs"], held["keys and values"], strict=True)
    return [sum(parts) for parts in kept]


def _times(a: float, b: float) -> str:
    return f"× {short(a / b)}" if b else "from nothing"


def _panel(
    title: str, lines: dict[str, list[float]], cross: tuple[str, list[float], list[float]] | None,
    hatch: tuple[list[float], list[float]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    mark = None
    if cross and min(*cross[1], *cross[2]) > 0 and (met := crossings(CONTEXTS, cross[1], cross[2], log=True)):
        mark = {"name": cross[0], "x": met[0][0]}
    return {"title": title, "lines": lines, "mark": mark, "hatch": hatch}


def cost_explorer(
    here: Machine, models: Sequence[str] = OFFICIAL, *, dtype: str = "bfloat16",
    usd_an_hour: Mapping[str, float] | None = None, **at: int,
) -> CostExplorer:  # fmt: skip
    """What texts of any length cost, for every model and mix of layers.

    Args:
        here: this machine, measured (`measure_machine`); the data sheets stand beside it.
        models: by name.
        dtype: of the weights and caches whose bytes are shown; seconds are of each machine's own dtype.
        usd_an_hour: what an hour of each machine is taken to cost, by its name in `DATA_SHEETS`, or "here".
        at: where to begin: context, model, mix, batch, machine (places in their lists), view (1 writes a token).
    Raises:
        InputError: no model, or a price that is none.
    """
    if not models:
        raise InputError("There is no model to show; name at least one.")
    prices = {"here": 0.0, **dict.fromkeys(DATA_SHEETS, 0.0), **(usd_an_hour or {})}
    if unknown := set(prices) - {"here", *DATA_SHEETS}:
        raise InputError(f"There is no machine {listed(sorted(unknown))}; price 'here', {listed(list(DATA_SHEETS))}.")
    if any(not (isinstance(p, int | float) and math.isfinite(p) and p >= 0) for p in prices.values()):
        raise InputError(f"A price of an hour is not a number of dollars, 0 or more: {prices}.")
    machines = {"here": here, **DATA_SHEETS}
    data = describe([full_name(name) for name in models], machines, dtype, prices)
    said = ", ".join(f"${prices[key]:g} an hour for {found.name}" for key, found in machines.items())
    data["caption"] = (
        f"Bytes in {dtype}, states in float32. Seconds by a roofline; {here.name}, {here.dtype}: {here.words}. The "
        f"H100 at the peak of its data sheet, which no program reaches. Prices are assumed: {said}. Hatched: FLOPs "
        "that PyTorch's counter misses on a CPU. Mixes other than 3 : 1 were never trained."
    )
    return CostExplorer(data, f"RANDOM · analytic, from the official configs · {here.name} measured", **at)
