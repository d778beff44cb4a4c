"""The tower's first lessons: what is said of a picture is what is painted in it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qwen35_lab.model import build
from qwen35_lab.nano.shape import PRESETS, config_of, initialise_nano
from qwen35_lab.nano.tower import CHARTS, NUMERALS, SCENES, SHOWN, SIZE, TOWER_RECIPE, Seeing, lesson
from qwen35_lab.nano.world.charts import FLOOR, UNIT
from qwen35_lab.nano.world.digits import LOOKS as DIGIT_LOOKS
from qwen35_lab.nano.world.drawing import JITTER, PAINT
from qwen35_lab.nano.world.scene import CELL, cells
from qwen35_lab.nano.world.scene import LOOKS as SCENE_LOOKS
from qwen35_lab.training import train

PAINTS = np.array(list(PAINT.values()))


def painted(picture: np.ndarray) -> np.ndarray:
    """The number of the colour of every pixel; −1 for the ground."""
    off = np.abs(picture[:, :, None].astype(int) - PAINTS).max(-1)
    return np.where(off.min(-1) <= JITTER, off.argmin(-1), -1)


@pytest.fixture(scope="module", params=[0, 7])
def shown(request):
    """Kind -> (its pictures, what is said of them), for some seed and step."""
    pictures, labels = lesson(request.param, seed=request.param)
    starts = np.cumsum([0, *SHOWN.values()])
    return {
        kind: (pictures[starts[n] : starts[n + 1]], labels[kind].tolist()) for n, kind in enumerate(SHOWN)
    }  # fmt: skip


def test_every_quarter_has_the_colour_and_the_size_that_are_said(shown):
    pictures, labels = shown["scenes"]
    told = iter(labels)
    for picture in pictures:
        for line, column in cells(SIZE):
            shape, colour, size = next(told)
            there = painted(picture)[line * CELL : (line + 1) * CELL, column * CELL : (column + 1) * CELL]
            if shape == SCENES[0]:
                assert (shape, colour, size) == SCENES and (there == -1).all()
                continue
            assert set(there[there >= 0].tolist()) == {colour}
            height = np.flatnonzero((there >= 0).any(1))
            assert (height[-1] - height[0] + 1 > 14) == size
            assert (shape, colour) in SCENE_LOOKS[False]  # what is held out stays held out


def test_numbers_are_said_digit_by_digit(shown):
    for picture, (tens, ones, colour) in zip(*shown["numerals"], strict=True):
        there = painted(picture)
        assert set(there[there >= 0].tolist()) == {colour}
        gaps = np.diff(np.flatnonzero((there >= 0).any(0))).max(initial=1)
        assert tens == NUMERALS[0] or gaps > 1 or ones == 1
        assert colour in DIGIT_LOOKS[False][ones]


def test_bars_are_as_tall_as_is_said(shown):
    for picture, heights in zip(*shown["charts"], strict=True):
        assert len(heights) == len(CHARTS)
        for colour, height in enumerate(heights):
            rows = np.flatnonzero((painted(picture)[:FLOOR] == colour).any(1))
            assert len(rows) == UNIT * height


def test_lessons_differ_by_step_and_seed_and_come_again():
    first, again, next_step, other = lesson(0, 0), lesson(0, 0), lesson(1, 0), lesson(0, 1)
    assert all(map(np.array_equal, first[0], again[0]))
    assert not any(map(np.array_equal, first[0], next_step[0])) and not any(map(np.array_equal, first[0], other[0]))


def test_a_tower_learns_colours_at_once(tokenizer):
    model = initialise_nano(build(config_of(PRESETS["small"], tokenizer)))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    seeing = Seeing(model)
    history = train(seeing, seeing.loss, replace(TOWER_RECIPE, steps=60, every=60, warmup=5), progress=False)
    assert history.parts["scenes"][-1] < 0.6 * history.parts["scenes"][0]
    assert np.mean(history.parts["scenes right"][-5:]) > 0.6
    moved = {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}
    assert moved == {name for name in before if name.startswith("vision.")}
