"""Where in the model does a cell of a picture say what is in it? The logit lens at the cells of objects that we drew.

Pictures come from the nano's world, which knows what it has drawn where. At the cells of every object the head's scores
are averaged after each layer, and compared among the words in question alone: eight colours, six shapes. No layer was
trained to be read there, so this is a reading of the stream and no belief of the model.
"""

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..nano.world.dice import dice
from ..nano.world.drawing import SHAPES
from ..nano.world.shapes import scene
from ..nano.world.words import COLOURS
from ..qwen import Qwen
from .pictures import cells_of
from .residual import residual_stream

SIZE = (64, 64)
STREAM = 253  # dice of our own, beside those of training


@dataclass(frozen=True)
class Naming:
    """Shares of objects that are named rightly: [draw, layer + 1], row 0 is what comes out of the tower."""

    colour: Tensor
    shape: Tensor
    objects: int

    @property
    def guessing(self) -> tuple[float, float]:
        """What a guess gets right: of colours, and of shapes."""
        return 1 / len(COLOURS), 1 / len(SHAPES)


@torch.inference_mode()
def naming(qwen: Qwen, draws: int = 3, pictures: int = 12) -> Naming:
    """Show pictures and read the stream at every object's cells, after the tower and after each layer."""
    words = {"colour": COLOURS, "shape": SHAPES}
    ids = {what: torch.tensor([int(qwen.encode(word)[0, 0]) for word in names]) for what, names in words.items()}
    right: dict[str, list[list[Tensor]]] = {what: [[] for _ in range(draws)] for what in words}
    for draw in range(draws):
        for n in range(pictures):
            picture, things = scene(dice(draw, "seen", STREAM, n), False, SIZE)
            scores = _scores(qwen, picture)
            for thing in things:
                here = scores[:, thing.cell[0], thing.cell[1]]  # [layer + 1, vocabulary]
                for what, names in words.items():
                    truth = names.index(getattr(thing, what))
                    right[what][draw].append(here[:, ids[what]].argmax(-1) == truth)
    shares = {what: torch.stack([torch.stack(hits).float().mean(0) for hits in rows]) for what, rows in right.items()}
    return Naming(shares["colour"], shares["shape"], sum(map(len, right["colour"])))


def _scores(qwen: Qwen, picture: Any) -> Tensor:
    """Of every next token, in each quarter of the picture, after each layer: [layer + 1, 2, 2, vocabulary]"""
    made = qwen.processor(text=qwen.processor.with_places("", [picture], None), images=[picture], return_tensors="pt")
    trace = qwen.trace(made, ["layers.*.input", "layers.*.output"])
    places = (made["input_ids"][0] == qwen.config.image_token_id).nonzero()[:, 0]
    rows, columns = cells_of(qwen, made)
    stream = residual_stream(trace)[:, places].to(qwen.model.embed_tokens.weight)
    logits = qwen.model.head(qwen.model.norm(stream)).float().cpu()
    return rearrange(logits, "l (a r b c) v -> l a b (r c) v", a=2, b=2, r=rows // 2, c=columns // 2).mean(3)
