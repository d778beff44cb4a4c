"""Teach the vision tower to see before a language model reads from it.

For a few minutes the tower alone says of pictures what is in each quarter, which number it is, or how tall the bars
are, through linear readouts that are thrown away afterwards. Through a language model's answers the same takes many
times as long: a tower that says nothing yet gets hardly a hint of what it should say.

    seeing = Seeing(model, seed=0)
    train(seeing, seeing.loss, TOWER_RECIPE)
"""

from itertools import islice

import numpy as np
import torch
from einops import reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..model import MultimodalModel
from ..training import Loss, Recipe
from .patches import PATCHING, as_floats
from .world.charts import UNITS, chart
from .world.dice import dice
from .world.digits import numeral
from .world.drawing import SHAPES
from .world.sample import Picture
from .world.scene import CELL, Size, Thing, cells
from .world.shapes import scene
from .world.words import COLOURS

TOWER_RECIPE = Recipe(
    3000, muon_rate=6e-3, adamw_rate=3e-3, warmup=40, decay=0.3, every=250, stacked=True, newton_schulz=3
)
SIZE: Size = (64, 64)
SHOWN = {"scenes": 12, "numerals": 14, "charts": 6}  # pictures in a step
STEP = sum(SHOWN.values())
DICE = 254  # a stream of its own, beside those of the kinds of sample
# What is told apart, each with one class more for "none".
SCENES = (len(SHAPES), len(COLOURS), 2)  # of every cell: shape, colour, size
NUMERALS = (10, 10, len(COLOURS))  # tens, ones, colour
CHARTS = (UNITS,) * len(COLOURS)  # the height of each colour's bar
READOUTS = {"scenes": SCENES, "numerals": NUMERALS, "charts": CHARTS}


class Seeing(nn.Module):
    """A vision tower with readouts.

    Args:
        model: whose tower is taught, in place.
        seed: decides pictures and readouts.
    """

    def __init__(self, model: MultimodalModel, seed: int = 0):
        super().__init__()
        width = model.config.hidden_size
        assert model.vision is not None, "a nano has eyes"
        self.vision, self.seed = model.vision, seed
        start = torch.Generator().manual_seed(seed)
        self.readouts = nn.ModuleDict()
        for what, sizes in READOUTS.items():
            readout = nn.Linear(width, sum(size + 1 for size in sizes))
            with torch.no_grad():
                readout.weight.copy_(torch.randn(readout.weight.shape, generator=start) * width**-0.5)
                readout.bias.zero_()
            self.readouts[what] = readout

    def loss(self, step: int) -> Loss:
        """Of a step's pictures: the mean cross entropy of all that is told apart in each kind, added up."""
        shown, labels = lesson(step, self.seed)
        device = self.vision.pos_embed.weight.device
        patches, grids = zip(*map(PATCHING.cut, shown), strict=True)
        seen = self.vision(as_floats(torch.from_numpy(np.concatenate(patches)).to(device)), grids)
        rows, columns = (edge // (PATCHING.patch * PATCHING.merge) for edge in SIZE)
        tokens = seen.view(len(shown), rows, columns, -1).split(list(SHOWN.values()))
        parts: dict[str, Tensor] = {}
        for kind, of_kind in zip(SHOWN, tokens, strict=True):
            unit = rows * CELL // SIZE[0] if kind == "scenes" else rows  # tokens along an edge of what is told
            means = reduce(of_kind, "p (r u) (c v) d -> (p r c) d", "mean", u=unit, v=unit)
            said = self.readouts[kind](means).split([size + 1 for size in READOUTS[kind]], -1)
            right = labels[kind].to(device).unbind(-1)
            losses = [F.cross_entropy(each, truth) for each, truth in zip(said, right, strict=True)]
            hits = [(each.argmax(-1) == truth).float() for each, truth in zip(said, right, strict=True)]
            parts |= {kind: torch.stack(losses).mean(), f"{kind} right": torch.stack(hits).mean()}
        return Loss(torch.stack([parts[kind] for kind in SHOWN]).sum(), parts, tokens=len(seen))


def lesson(step: int, seed: int) -> tuple[list[Picture], dict[str, Tensor]]:
    """A step's pictures, kind by kind as in `SHOWN`, and the class of all that is told, int64 [asked, readout].

    Constructions that are held out of training are not shown here either.
    """
    chance = iter([dice(seed, "train", DICE, step * STEP + n) for n in range(STEP)])
    pictures: list[Picture] = []
    labels: dict[str, list[list[int]]] = {kind: [] for kind in SHOWN}
    for each in islice(chance, SHOWN["scenes"]):
        picture, there = scene(each, False, SIZE)
        pictures.append(picture)
        at = {thing.cell: thing for thing in there}
        labels["scenes"] += [_looks(at.get(cell)) for cell in cells(SIZE)]
    for each in islice(chance, SHOWN["numerals"]):
        shown = numeral(each, False, (SIZE,))
        pictures.append(shown.picture)
        tens = shown.number // 10 or NUMERALS[0]  # "none" comes last
        labels["numerals"].append([tens, shown.number % 10, COLOURS.index(shown.colour)])
    for each in chance:
        picture, heights = chart(each, SIZE)
        pictures.append(picture)
        labels["charts"].append([heights.get(colour, 0) for colour in COLOURS])
    return pictures, {kind: torch.tensor(table) for kind, table in labels.items()}


def _looks(thing: Thing | None) -> list[int]:
    if thing is None:
        return list(SCENES)
    return [SHAPES.index(thing.shape), COLOURS.index(thing.colour), int(thing.big)]
