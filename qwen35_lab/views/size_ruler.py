"""The picture ruler: drag the size of a picture or of a film and see patches, cells, tokens, price, and positions.

The rules (inputs/image.py, inputs/video.py) are written once more in size_ruler_rules.js, so that a move asks no kernel
and an exported page works; a test holds the two equal. A picture of the reader's own stays in the browser.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from ..config import ModelConfig
from ..errors import InputError
from ..inputs import ImageSettings, VideoSettings
from ..inputs.image import image_size
from ..inputs.video import sample_frames, timestamps, video_size
from ..model.rope import inverse_frequencies
from .places import AXES, axis_of_pair
from .size_ruler_png import draw
from .widget import LabWidget, css, encode, esm
from .words import short

LENGTHS = (1, 2, 4, 8, 15, 30, 60, 180, 600, 1800, 3600)  # of a film, in seconds
RATES = (0.5, 1, 2, 4)  # frames a second that are looked at
FPS = 24  # of the film
BEFORE = 4  # tokens of text before the picture
LARGEST, SMALLEST = 4096, 32  # of an edge, in pixels


class PictureRuler(LabWidget):
    """The widget. `payload` is all it knows, as JSON; the other traits say where it stands, and can be set."""

    TITLE = "Picture ruler"
    _esm = esm("kit", "controls", "size_ruler_rules", "size_ruler")
    _css = css("kit", "controls", "size_ruler")
    payload = traitlets.Unicode().tag(sync=True)
    start = traitlets.Unicode("{}").tag(sync=True)
    view = traitlets.Int(0).tag(sync=True)  # 0 a picture, 1 a film
    picture = traitlets.Int(0).tag(sync=True)
    kind = traitlets.Int(0).tag(sync=True)  # whose settings
    price = traitlets.Int(0).tag(sync=True)
    width = traitlets.Int(640).tag(sync=True)
    height = traitlets.Int(480).tag(sync=True)
    cell = traitlets.Int(0).tag(sync=True)
    length = traitlets.Int(3).tag(sync=True)
    rate = traitlets.Int(2).tag(sync=True)

    def __init__(self, data: dict[str, Any], settings: Sequence["Kind"], provenance: object, **at: int):
        self._data, self._kinds, self._provenance = data, settings, str(provenance)
        super().__init__(payload=json.dumps(encode({**self.head(), **data})), **at)
        names = ("picture", "kind", "price", "width", "height", "cell", "length", "rate")
        self.start = json.dumps({name: getattr(self, name) for name in names})

    def provenance(self) -> str:
        return self._provenance

    def measured(self) -> dict[str, Any]:
        """What the widget says now, by the package's own rules."""
        kind, seconds = self._kinds[self.kind], LENGTHS[self.length]
        usd = self._data["prices"][self.price]["usd"]
        rows, columns = kind.image.cells(self.height, self.width)
        if not self.view:
            row, column = divmod(min(self.cell, rows * columns - 1), columns)
            return {
                "rows": rows, "columns": columns, "tokens": rows * columns, "usd": rows * columns * usd / 1e3,
                "where": (BEFORE, BEFORE + row, BEFORE + column),
                "size": image_size(self.height, self.width, kind.image),
            }  # fmt: skip
        chosen = sample_frames(seconds * FPS, FPS, kind.film, rate=RATES[self.rate])
        size = video_size(len(chosen), self.height, self.width, kind.film)
        times = timestamps(chosen, FPS, kind.film.temporal_patch_size)
        cells = size[0] * size[1] // kind.film.factor**2
        return {
            "frames": chosen, "seconds": times, "size": size, "cells": cells, "tokens": cells * len(times),
            "usd": cells * len(times) / seconds * 3600 * usd / 1e6,
        }  # fmt: skip

    def static(self) -> bytes:
        """The present view as a PNG."""
        pictures = self._data["pictures"]
        shown = pictures[min(self.picture, len(pictures) - 1)]["pixels"]
        told = [(name, value) for name, value, _ in self._facts()]
        return draw(
            self.provenance(), shown, self._data["film"], told, self._said(), self.measured(), self._data["caption"]
        )

    def alt(self) -> str:
        """The present view in words."""
        return f"{'A film' if self.view else 'A picture'}: " + ", ".join(f"{n} {v}" for n, v, _ in self._facts()) + "."

    def _said(self) -> str:
        if self.view:
            return "Time stamps and two marks for every moment come on top."
        found = self.measured()
        where = ", ".join(f"{name} {n}" for name, n in zip(AXES, found["where"], strict=True))
        end = BEFORE + max(found["rows"], found["columns"])
        return f"The chosen cell stands at {where}. What comes behind the picture goes on at position {end}."

    def _facts(self) -> list[tuple[str, str, bool]]:
        kind, found = self._kinds[self.kind], self.measured()
        (height, width), merge = found["size"], kind.image.merge_size
        if self.view:
            seconds = LENGTHS[self.length]
            return [
                ("looked at", f"{len(found['frames'])} frames of {seconds * FPS:,}", False),
                ("every frame is resized to", f"{width:,} × {height:,}", False),
                ("tokens", f"{found['tokens']:,}", True),
                ("tokens a second", short(found["tokens"] / seconds), True),
                ("an hour of such films", f"${found['usd']:.3g}", False),
            ]
        return [
            ("comes with", f"{self.width:,} × {self.height:,} pixels", False),
            ("is resized to", f"{width:,} × {height:,}", False),
            (
                "patches",
                f"{found['columns'] * merge} × {found['rows'] * merge} of {kind.image.patch_size} pixels",
                False,
            ),
            ("cells", f"{found['columns']} × {found['rows']} of {merge} × {merge} patches", False),
            ("tokens", f"{found['tokens']:,}", True),
            ("1,000 such pictures", f"${found['usd']:.3g}", False),
        ]


class Kind:
    """The settings of a model: how images and films are cut, and what turns by which position."""

    def __init__(self, name: str, config: ModelConfig, image: ImageSettings, film: VideoSettings):
        self.name, self.config, self.image, self.film = name, config, image, film

    def describe(self) -> dict[str, Any]:
        text, image, film = self.config.text, self.image, self.film
        turns = inverse_frequencies(text.head_dim, text.rope)[0].tolist()
        limits = {"least": image.shortest_edge, "most": image.longest_edge}
        return {
            "name": self.name, "merge": image.merge_size, "context": text.max_position_embeddings, "turns": turns,
            "axes": [AXES.index(axis_of_pair(n, text.rope.mrope_section)) for n in range(len(turns))],
            "image": {"factor": image.factor, **limits},
            "film": {"factor": film.factor, "pair": film.temporal_patch_size, "minFrames": film.min_frames,
                     "maxFrames": film.max_frames, "least": film.shortest_edge, "most": film.longest_edge},
        }  # fmt: skip

    @classmethod
    def of(cls, name: str, source: Any) -> "Kind":
        """Of a config with its published limits, or of a `Qwen` with its processor's."""
        config = source if isinstance(source, ModelConfig) else source.config
        if config.vision is None:
            raise InputError(f"{name} has no eyes; pass a model with a vision tower.")
        if isinstance(source, ModelConfig):
            return cls(name, config, ImageSettings.of(config.vision), VideoSettings.of(None, config.vision))
        return cls(name, config, ImageSettings.of(source.processor), source.processor.video_settings)


def picture_ruler(
    settings: Mapping[str, Any], pictures: Mapping[str, Any], film: Any, prices: Mapping[str, float], *,
    priced: str, provenance: object, **at: int,
) -> PictureRuler:  # fmt: skip
    """Measure pictures and films.

    Args:
        settings: name -> a `ModelConfig` (with the published limits) or a `Qwen` (with its own).
        pictures: name -> uint8 [height, width, 3].
        film: uint8 [frame, height, width, 3].
        prices: name -> US dollars for a million tokens of input.
        priced: when and where these prices stood.
        at: where to begin: width, height, view (1 is the film), …
    """
    if not settings or not pictures or not prices:
        raise InputError("Pass at least one model's settings, one picture and one price.")
    kinds = [Kind.of(name, source) for name, source in settings.items()]
    shown = []
    for name, pixels in pictures.items():
        edges = np.asarray(pixels).shape[:2]
        width, height = (10 * side for side in edges[::-1])
        shown.append({"name": name, "pixels": np.asarray(pixels, "uint8"), "width": width, "height": height})
    data = {
        "kinds": [kind.describe() for kind in kinds], "pictures": shown, "film": np.asarray(film, "uint8"),
        "prices": [{"name": name, "usd": usd} for name, usd in prices.items()],
        "lengths": list(LENGTHS), "rates": list(RATES), "fps": FPS, "before": BEFORE, "alt": "",
        "caption": f"Sizes by the rules of the processors, prices for input tokens: {priced}.",
    }  # fmt: skip
    return PictureRuler(data, kinds, provenance, **at)
