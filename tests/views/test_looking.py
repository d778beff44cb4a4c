"""Pictures with what a model makes of them: the numbers drawn are the numbers traced, at the right places."""

import io
import json

import numpy as np
import pytest
import torch
from inputs.seeing import seeing
from PIL import Image
from views.test_deck import received

import qwen35_lab as lab
from qwen35_lab.analysis import pictures
from qwen35_lab.views import (
    Deck,
    channel_chart,
    cover_deck,
    film_deck,
    gaze_deck,
    picture_map,
    position_chart,
    tower_deck,
)  # fmt: skip
from qwen35_lab.views.deck import Dial, Picture
from qwen35_lab.views.pen import SCALE, WIDTH

RECORD = ["*", "vision.blocks.*.attention.weights", "layers.*.mixer.weights"]
PIXELS = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)
CLIP = np.random.default_rng(4).integers(0, 256, (4, 64, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def qwen():
    return seeing()


@pytest.fixture(scope="module")
def made(qwen):
    return qwen.processor(text=qwen.processor.with_places("what?", PIXELS, None), images=PIXELS, return_tensors="pt")


@pytest.fixture(scope="module")
def trace(qwen, made):
    return qwen.trace(made, RECORD)


def places(qwen, made):
    return (made["input_ids"][0] == qwen.config.image_token_id).nonzero()[:, 0].tolist()


# ------------------------------------------------------------------------- the panel


def test_a_picture_is_sent_as_it_is_with_its_values_and_its_dial():
    values = np.random.default_rng(0).random((2, 4, 6)).astype("float32")
    panel = Picture("seen", PIXELS, (4, 6), values, over=("head",), dial="cell", first=1, side=2)
    shown = Deck([panel], [Dial("head", [0, 1]), Dial("cell", range(25))], provenance="RANDOM")
    sent = json.loads(shown.payload)["panels"][0]
    assert np.array_equal(received(sent["pixels"]), PIXELS)
    assert np.array_equal(received(sent["values"]), values)
    assert (sent["dial"], sent["first"], sent["side"], sent["seen"]) == (1, 1, 2, [])
    assert f"{values[0].max():.3g}" in shown.alt()


def test_a_picture_whose_values_do_not_fit_or_whose_dial_is_missing_is_refused():
    with pytest.raises(lab.InputError, match="must be"):
        Deck([Picture("seen", PIXELS, (4, 6), np.zeros((3, 4, 6)), over=("head",))], [Dial("head", [0, 1])])
    with pytest.raises(lab.InputError, match="depends on a dial 'cell'"):
        Deck([Picture("seen", PIXELS, (4, 6), dial="cell")], [])
    with pytest.raises(lab.InputError, match="negative"):
        Deck([Picture("seen", PIXELS, (1, 1), np.full((1, 1), -1.0))], [])


def test_the_static_twin_keeps_the_pictures_colours_and_the_squares_areas():
    green = np.zeros((40, 80, 3), np.uint8) + np.array([10, 200, 30], np.uint8)
    values = np.array([[1.0, 0.25]])
    image = np.asarray(Image.open(io.BytesIO(Deck([Picture("x", green, (1, 2), values)], []).static())).convert("RGB"))
    assert image.shape[1] == WIDTH * SCALE
    veiled = 0.55 * np.array([0xD5, 0x5E, 0]) + 0.45 * np.array([10, 200, 30])  # so that the picture shows through
    orange = (np.abs(image - veiled).sum(-1) < 12).sum(0)  # in each column
    split = int(np.flatnonzero((image == (10, 200, 30)).all(-1).any(0)).mean())
    assert 2.5 < orange[:split].sum() / orange[split:].sum() < 5.5, "a quarter of the value is a quarter of the area"


# ------------------------------------------------------------------------- decks of one picture


def test_the_tower_deck_shows_each_patchs_attention_where_it_looks(trace, made):
    grid = made["image_grid_thw"][0].tolist()
    shown = tower_deck(trace, PIXELS, grid)
    looks, alike = shown.panels()
    weights, (_, rows, columns) = trace["vision.blocks.1.attention.weights"], grid
    order = pictures.on_grid(torch.arange(rows * columns), grid, 2)[0]  # the model's number of the patch at a place
    for row, column, other in ((0, 0, (3, 2)), (5, 7, (rows - 1, 0)), (9, 4, (9, 5))):
        value = looks.values[2 + 1, row * columns + column][other]  # block 1, head 1
        assert value == weights[1, order[row, column], order[other]]
    centred = trace["vision.merged"] - trace["vision.merged"].mean(0)
    expected = pictures.likeness(centred).clamp(min=0)[columns // 2 + 1].view(rows // 2, columns // 2)
    torch.testing.assert_close(alike.values[2 * columns + 3], expected)
    assert (
        shown.places()["patch"]
        == torch.tensor(PIXELS).float().amax(-1).reshape(rows, 4, columns, 4).mean((1, 3)).argmax()
    )


def test_the_tower_deck_needs_the_weights(qwen, made):
    with pytest.raises(lab.InputError, match="record"):
        tower_deck(qwen.trace(made), PIXELS, made["image_grid_thw"][0])


def test_the_gaze_is_the_share_read_from_each_cell(qwen, made, trace):
    cells = places(qwen, made)
    shown = gaze_deck(trace, PIXELS, (8, 12), cells)
    _, picture, bars = shown.panels()
    shares = pictures.shares_read(trace, 3)
    heads = trace["layers.0.mixer.beta"].shape[1] * 3
    assert torch.equal(picture.values[heads + 1, -1], shares[1, -1, cells].view(8, 12))
    torch.testing.assert_close(bars.series["share"][-1, heads + 1], shares[1, -1, cells].sum())
    assert len(shown.places()) == 2 and f"{float(bars.series['share'][-1].max()):.0%}" in shown.caption()


def test_a_click_runs_the_model_again_with_that_square_covered(qwen, made):
    shown = cover_deck(qwen, made, start=0)
    assert shown.panels()[1].series["whole"].tolist() == shown.panels()[1].series["covered"].tolist()
    shown.ask = json.dumps({"count": 1, "at": [1 + 2 * 12 + 5, 1, 0]})  # 2 × 2 cells
    picture, bars = shown.panels()
    hidden = pictures.square(qwen, made, 2, 5, 2)
    before, after = pictures.next_token(qwen, made), pictures.next_token(qwen, made, hidden)
    ids = torch.maximum(before, after).topk(5).indices
    ids = ids[before[ids].argsort(descending=True, stable=True)]
    assert bars.series["covered"].tolist() == pytest.approx((100 * after[ids]).tolist(), abs=0.01)
    assert bars.series["whole"].tolist() == pytest.approx((100 * before[ids]).tolist(), abs=0.01)
    assert bars.series["whole"].tolist() != pytest.approx(bars.series["covered"].tolist(), abs=0.01)
    assert np.array_equal(picture.pixels, pictures.as_picture(qwen, pictures.covered(qwen, made, hidden)).numpy())
    shown.ask = json.dumps({"count": 2, "at": [1 + 2 * 12 + 5, 1, 1]})  # zeroed: the picture stays
    assert np.array_equal(shown.panels()[0].pixels, PIXELS)
    assert json.loads(shown.payload)["error"] == ""


def test_a_picture_map_says_its_ends():
    values = torch.arange(6.0).view(2, 3)
    shown = picture_map(PIXELS, values, what="warmth", provenance="RANDOM")
    assert "most 5 in row 1, column 2" in shown.caption() and "least 0 in row 0, column 0" in shown.caption()


# ------------------------------------------------------------------------- a film


def test_a_film_deck_shows_every_frame_with_what_is_read_of_its_moment(qwen):
    text = qwen.processor.with_places("what?", None, CLIP)
    made = qwen.processor(text=text, videos=CLIP, video_metadata=[{"fps": 2.0}], return_tensors="pt")
    moments, rows, columns = made["video_grid_thw"][0].tolist()
    assert (moments, rows, columns) == (2, 16, 24)
    cells = (made["input_ids"][0] == qwen.config.video_token_id).nonzero()[:, 0].tolist()
    trace = qwen.trace(made, RECORD)
    shown = film_deck(trace, CLIP, (2, 8, 12), cells, [0.25, 1.25])
    picture, bars = shown.panels()
    assert np.array_equal(picture.pixels, CLIP)
    expected = pictures.shares_read(trace, 3)[0, -1, cells].view(2, 8, 12)
    heads = trace["layers.0.mixer.beta"].shape[1] * 3
    for frame, moment in enumerate((0, 0, 1, 1)):
        assert np.array_equal(picture.values[heads, frame], expected[moment].numpy())
    assert bars.series["share"][heads] == pytest.approx(expected.sum((1, 2)).numpy())
    with pytest.raises(lab.InputError, match="belongs to this clip"):
        film_deck(trace, CLIP, (2, 8, 12), cells, [0.25])


# ------------------------------------------------------------------------- positions and channels


def test_the_position_chart_draws_the_models_positions(qwen, made, trace):
    where, _ = qwen.model.place(**{k: made[k] for k in ("input_ids", "pixel_values", "image_grid_thw")})
    marks = made["input_ids"][0] == qwen.config.image_token_id
    figure = position_chart(trace.tokens, where[:, 0], marks, provenance=trace.provenance)
    for line, row in zip(figure.data, where[:, 0].tolist(), strict=True):
        assert list(line.y) == row
    saved = len(trace.tokens) - 1 - int(where.max())
    assert saved == 8 * 12 - 12 and f"{saved} positions fewer" in figure.caption()
    assert f"{int(marks.sum())} of them in 1 picture" in figure.caption() and len(figure.layout.shapes) == 1
    with pytest.raises(lab.InputError, match="one mark for each"):
        position_chart(trace.tokens[1:], where[:, 0], marks, provenance="")


def test_the_channel_chart_draws_one_turn_of_every_pair():
    config = lab.load_config("0.8B").text
    figure = channel_chart(config.head_dim, config.rope, provenance="PUBLISHED")
    assert [len(bars.x) for bars in figure.data] == [11, 11, 10]
    assert sorted(n for bars in figure.data for n in bars.x) == list(range(32))
    for bars in figure.data:
        for n, turn in zip(bars.x, bars.y):
            assert turn == pytest.approx(2 * np.pi * config.rope.theta ** (2 * n / 64), rel=1e-4)
    assert figure.data[0].marker.pattern.shape != figure.data[1].marker.pattern.shape  # not by colour alone
