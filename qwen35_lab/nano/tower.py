"""Teach the vision tower to see before a language model reads from it, and to say what it sees in the model's words.

For a few minutes the tower alone is asked, of every token that it makes of a picture, what is there: which shape,
colour and size, which digit, a bar how tall. A token answers by pointing: its product with the first embeddings of
"red", "blue", … is its score for each. So a picture is from the first step on something like a text, of which the
language model only has to learn to read the right place.

    seeing = Seeing(model, tokenizer, seed=0)
    train(seeing, seeing.loss, TOWER_RECIPE)

Linear readouts in place of the words were tried first. The tower learnt as fast, and the language model could make
nothing of it: what a readout finds may be too faint to be found by a query that must first be learnt.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..model import MultimodalModel
from ..training import Loss, Recipe
from .encode import encode
from .patches import PATCHING, as_floats
from .world.charts import chart
from .world.dice import dice
from .world.digits import numeral
from .world.drawing import SHAPES
from .world.sample import Picture
from .world.scene import CELL, Size
from .world.shapes import scene
from .world.words import COLOURS, NOTHING

TOWER_RECIPE = Recipe(
    3000, muon_rate=6e-3, adamw_rate=3e-3, warmup=40, decay=0.3, every=250, stacked=True, newton_schulz=3
)
SIZE: Size = (64, 64)
TOKEN = PATCHING.patch * PATCHING.merge  # pixels along an edge of what becomes one token
ROWS, COLUMNS = SIZE[0] // TOKEN, SIZE[1] // TOKEN
SHOWN = {"scenes": 12, "numerals": 14, "charts": 6}  # pictures in a step
STEP = sum(SHOWN.values())
DICE = 254  # a stream of its own, beside those of the kinds of sample
# What is asked, and the answers there are. The last one is for a token where there is nothing to be told.
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "shape": (*SHAPES, NOTHING),
    "colour": (*COLOURS, NOTHING),
    "size": ("small", "big", NOTHING),
    "number": (*map(str, range(10)), NOTHING),  # a digit, or how tall a bar is
}
LEAST = 24  # pixels of a token that something must cover for the token to tell of it
QUIET = 1e-3  # what the squared length of a token costs, beside the mean cross entropy of an answer
Labels = dict[str, NDArray[np.float32]]  # question -> [row, column, answer]: shares; all 0 where nothing is asked
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels


class Seeing(nn.Module):
    """A vision tower, and the words that it points to.

    Args:
        model: whose tower is taught, in place.
        tokenizer: the model's.
        seed: decides the pictures.
    """

    def __init__(self, model: MultimodalModel, tokenizer: Any, seed: int = 0):
        super().__init__()
        assert model.vision is not None, "a nano has eyes"
        self.vision, self.seed = model.vision, seed
        table = model.embed_tokens.weight.detach()
        for question, answers in ANSWERS.items():
            self.register_buffer(question, torch.stack([direction(table, tokenizer, word) for word in answers]))

    def loss(self, step: int) -> Loss:
        """Of a step's pictures: the mean cross entropy of the answers to each question, added up."""
        pictures, labels = lesson(step, self.seed)
        words = {question: self.get_buffer(question) for question in ANSWERS}
        device = words["shape"].device
        patches, grids = zip(*map(PATCHING.cut, pictures), strict=True)
        tokens = self.vision(as_floats(torch.from_numpy(np.concatenate(patches)).to(device)), grids)
        tokens = tokens.view(len(pictures), ROWS, COLUMNS, -1)
        parts: dict[str, Tensor] = {}
        for question, table in words.items():
            asked = [n for n, each in enumerate(labels) if question in each]
            truth = torch.from_numpy(np.stack([labels[n][question] for n in asked])).to(device).flatten(0, 2)
            said = (tokens[asked] @ table.T).flatten(0, 2)
            told = truth.sum(-1)
            parts[question] = F.cross_entropy(said, truth, reduction="sum") / told.sum()
            hits = (said.argmax(-1) == truth.argmax(-1)) * told
            parts[f"{question} right"] = hits.sum() / told.sum()
        length = tokens.square().sum(-1).mean()
        total = torch.stack([parts[question] for question in ANSWERS]).sum() + QUIET * length
        return Loss(total, parts | {"length": length.sqrt()}, tokens=ROWS * COLUMNS * len(pictures))


def direction(table: Tensor, tokenizer: Any, word: str) -> Tensor:
    """Where a word lies: between its embeddings at the start of an answer and inside a sentence, [feature]"""
    return (table[encode(tokenizer, word)[-1]] + table[encode(tokenizer, f" {word}")[-1]]) / 2**0.5


def lesson(step: int, seed: int) -> tuple[list[Picture], list[Labels]]:
    """A step's pictures, kind by kind as in `SHOWN`, and what is to be said of them.

    Constructions that are held out of training are not shown here either.
    """
    chance = iter([dice(seed, "train", DICE, step * STEP + n) for n in range(STEP)])
    shown: list[tuple[Picture, Labels]] = []
    for each in islice(chance, SHOWN["scenes"]):
        picture, there = scene(each, False, SIZE)
        where = [(CELL * y, CELL * x, CELL * y + CELL, CELL * x + CELL) for y, x in (thing.cell for thing in there)]
        names = {"shape": "shape", "colour": "colour", "size": "size"}
        shown.append((picture, {q: told(q, [getattr(t, n) for t in there], where) for q, n in names.items()}))
    for each in islice(chance, SHOWN["numerals"]):
        drawn = numeral(each, False, (SIZE,))
        words = {"number": list(str(drawn.number)), "colour": [drawn.colour] * len(drawn.boxes)}
        shown.append((drawn.picture, {q: told(q, said, drawn.boxes) for q, said in words.items()}))
    for each in chance:
        bars = chart(each, SIZE)
        where = [(0, left, SIZE[0], right) for left, right in bars.columns.values()]
        words = {"number": [str(height) for height in bars.heights.values()], "colour": list(bars.heights)}
        shown.append((bars.picture, {q: told(q, said, where) for q, said in words.items()}))
    pictures, labels = zip(*shown, strict=True)
    return list(pictures), list(labels)


def told(question: str, words: Sequence[str], boxes: Sequence[Box]) -> NDArray[np.float32]:
    """What every token should answer, where each word is said of the box beside it: [row, column, answer]

    A token that several boxes cover shares itself out among their words; one that is hardly covered is not asked.
    """
    answers = ANSWERS[question]
    table = np.zeros((ROWS, COLUMNS, len(answers)), np.float32)
    for word, (top, left, bottom, right) in zip(words, boxes, strict=True):
        table[:, :, answers.index(word)] += np.outer(_overlap(top, bottom, ROWS), _overlap(left, right, COLUMNS))
    covered = table.sum(-1, keepdims=True)
    table[..., -1:] += covered == 0
    return np.where(covered >= LEAST, table / np.maximum(covered, 1), table * (covered == 0))


def _overlap(start: int, stop: int, tokens: int) -> NDArray[np.float32]:
    """Pixels that a stretch has in common with each of a line of tokens."""
    edges = TOKEN * np.arange(tokens + 1)
    return np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None).astype(np.float32)
