"""The tower's first lessons: what is said of a token is what is painted there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qwen35_lab.model import build
from qwen35_lab.nano.shape import PRESETS, config_of, initialise_nano
from qwen35_lab.nano.tower import ANSWERS, COLUMNS, LEAST, ROWS, SHOWN, TOKEN, TOWER_RECIPE, Seeing, lesson
from qwen35_lab.nano.world.charts import FLOOR, UNIT
from qwen35_lab.nano.world.digits import LOOKS as DIGIT_LOOKS
from qwen35_lab.nano.world.drawing import JITTER, PAINT, SHAPES
from qwen35_lab.nano.world.scene import LOOKS as SCENE_LOOKS
from qwen35_lab.training import train

PAINTS = np.array(list(PAINT.values()))
COLOUR = list(PAINT)


def painted(picture: np.ndarray) -> np.ndarray:
    """The number of the colour of every pixel; −1 for the ground."""
    off = np.abs(picture[:, :, None].astype(int) - PAINTS).max(-1)
    return np.where(off.min(-1) <= JITTER, off.argmin(-1), -1)


def said(shares: np.ndarray, question: str) -> dict[str, float]:
    """Word -> its share, of one token."""
    return {word: float(share) for word, share in zip(ANSWERS[question], shares, strict=True) if share}


@pytest.fixture(scope="module", params=[0, 7])
def shown(request):
    """Kind -> its (picture, labels), for some seed and step."""
    pairs = list(zip(*lesson(request.param, seed=request.param), strict=True))
    starts = np.cumsum([0, *SHOWN.values()])
    return {kind: pairs[starts[n] : starts[n + 1]] for n, kind in enumerate(SHOWN)}


def tokens(picture: np.ndarray, labels: dict):
    """(row, column, the painted colours of its pixels, question -> what is said of it)"""
    there = painted(picture)
    for y in range(ROWS):
        for x in range(COLUMNS):
            pixels = there[TOKEN * y : TOKEN * (y + 1), TOKEN * x : TOKEN * (x + 1)]
            yield y, x, pixels, {q: said(table[y, x], q) for q, table in labels.items()}


def test_all_tokens_of_a_quarter_name_what_is_in_it(shown):
    for picture, labels in shown["scenes"]:
        assert set(labels) == {"shape", "colour", "size"}
        quarters: dict[tuple[int, int], list] = {}
        for y, x, pixels, words in tokens(picture, labels):
            quarters.setdefault((y // 2, x // 2), []).append((pixels, words))
        for quarter in quarters.values():
            colours = {int(c) for pixels, _ in quarter for c in pixels[pixels >= 0]}
            (told,) = {str(words): words for _, words in quarter}.values()
            if not colours:
                assert told == {question: {"nothing": 1.0} for question in told}
                continue
            (colour,) = colours
            assert told["colour"] == {COLOUR[colour]: 1.0}
            (shape,), (size,) = told["shape"], told["size"]
            assert (SHAPES.index(shape), colour) in SCENE_LOOKS[False]  # what is held out stays held out
            rows = np.concatenate([quarter[n][0] for n in (0, 2)]), np.concatenate([quarter[n][0] for n in (1, 3)])
            height = np.flatnonzero((np.concatenate(rows, 1) >= 0).any(1))
            assert (height[-1] - height[0] + 1 > 14) == (size == "big")


def test_tokens_on_a_digit_say_it_and_others_do_not(shown):
    for picture, labels in shown["numerals"]:
        assert set(labels) == {"number", "colour"}
        digits = set()
        (colour,) = {int(c) for c in painted(picture).flat if c >= 0}
        for _, _, pixels, words in tokens(picture, labels):
            ink = {COLOUR[c] for c in pixels[pixels >= 0]}
            assert words["colour"].keys() <= {COLOUR[colour], "nothing"}
            if (pixels >= 0).sum() >= LEAST:
                assert ink == words["colour"].keys() and "nothing" not in words["number"]
            if "nothing" in words["number"]:
                assert words["number"] == words["colour"] == {"nothing": 1.0} and not ink
            digits |= words["number"].keys() - {"nothing"}
        assert 1 <= len(digits) <= 2 and any(colour in DIGIT_LOOKS[False][int(digit)] for digit in digits)


def test_tokens_below_and_above_a_bar_say_how_tall_it_is(shown):
    for picture, labels in shown["charts"]:
        there = painted(picture)[:FLOOR]
        units = {COLOUR[c]: int((there == c).any(1).sum()) // UNIT for c in range(8) if (there == c).any()}
        for colours, heights in zip(labels["colour"].transpose(1, 0, 2), labels["number"].transpose(1, 0, 2)):
            assert (colours == colours[0]).all() and (heights == heights[0]).all()  # the same all the way up
            words, tall = said(colours[0], "colour"), said(heights[0], "number")
            expected: dict[str, float] = {}
            for colour, share in words.items():
                word = str(units[colour]) if colour != "nothing" else colour
                expected[word] = expected.get(word, 0) + share
            assert tall == pytest.approx(expected)


def test_shares_of_a_token_are_one_in_all_or_it_is_not_asked(shown):
    sums = [table.sum(-1) for pairs in shown.values() for _, labels in pairs for table in labels.values()]
    assert all(np.isclose(each, 1).all() | np.isin(np.round(each, 5), (0, 1)).all() for each in sums)


def test_lessons_differ_by_step_and_seed_and_come_again():
    first, again, next_step, other = lesson(0, 0), lesson(0, 0), lesson(1, 0), lesson(0, 1)
    assert all(map(np.array_equal, first[0], again[0]))
    assert not any(map(np.array_equal, first[0], next_step[0])) and not any(map(np.array_equal, first[0], other[0]))


def test_a_tower_learns_to_point_to_words_and_nothing_else_moves(tokenizer):
    model = initialise_nano(build(config_of(PRESETS["small"], tokenizer)))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    seeing = Seeing(model, tokenizer)
    red = tokenizer("red")["input_ids"][-1], tokenizer(" red")["input_ids"][-1]
    expected = (before["embed_tokens.weight"][red[0]] + before["embed_tokens.weight"][red[1]]) / 2**0.5
    torch.testing.assert_close(seeing.get_buffer("colour")[0], expected)
    history = train(seeing, seeing.loss, replace(TOWER_RECIPE, steps=60, every=60, warmup=5), progress=False)
    assert np.mean(history.parts["colour"][-5:]) < 0.6 * history.parts["colour"][0]
    assert np.mean(history.parts["colour right"][-5:]) > 0.6
    moved = {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}
    assert moved == {name for name in before if name.startswith("vision.")}
