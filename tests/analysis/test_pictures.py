"""What a model makes of a picture, back where it stands: order, shares, and what covering changes, by construction."""

import numpy as np
import pytest
import torch
from einops import rearrange
from inputs.seeing import seeing

import qwen35_lab as lab
from qwen35_lab.analysis import naming, pictures

RECORD = ["*", "vision.blocks.*.attention.weights", "layers.*.mixer.weights"]
PIXELS = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def qwen():
    return seeing()


@pytest.fixture(scope="module")
def made(qwen):
    return qwen.processor(text=qwen.processor.with_places("what?", PIXELS, None), images=PIXELS, return_tensors="pt")


@pytest.fixture(scope="module")
def trace(qwen, made):
    return qwen.trace(made, RECORD)


def test_patches_come_back_to_their_places():
    """Each patch is told its row and column, in the order in which pixels are cut."""
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    where = torch.stack((rows, columns), -1).expand(2, -1, -1, -1)
    cut = rearrange(where, "t (h a) (w b) d -> (t h w a b) d", a=2, b=2)
    assert torch.equal(pictures.on_grid(cut, (2, 4, 6), 2), where)
    with pytest.raises(lab.InputError, match="values for a grid"):
        pictures.on_grid(cut, (1, 4, 6), 2)


def test_the_picture_is_the_one_that_was_given(qwen, made):
    _, rows, columns = made["image_grid_thw"][0].tolist()
    side = qwen.config.vision.patch_size
    assert (rows * side, columns * side) == PIXELS.shape[:2], "this size needs no resizing"
    assert np.array_equal(pictures.as_picture(qwen, made).numpy(), PIXELS)


def test_likeness_is_one_with_oneself_and_knows_directions():
    alike = pictures.likeness(torch.tensor([[1.0, 0], [5, 0], [0, 2], [-3, 0]]))
    expected = torch.tensor([[1, 1, 0, -1], [1, 1, 0, -1], [0, 0, 1, 0], [-1, -1, 0, 1.0]])
    torch.testing.assert_close(alike, expected.double())


def test_shares_are_the_softmax_or_the_scaled_influence(trace):
    attention, deltanet = pictures.shares_read(trace, 3), pictures.shares_read(trace, 0)
    assert torch.equal(attention, trace["layers.3.mixer.weights"])
    influence = lab.analysis.influence_map(trace, 0).abs()
    torch.testing.assert_close(deltanet.sum(-1), torch.ones_like(deltanet[..., 0]))
    torch.testing.assert_close(deltanet * influence.sum(-1, keepdim=True), influence)


def test_covering_paints_these_cells_and_no_others(qwen, made):
    rows, columns = pictures.cells_of(qwen, made)
    after = pictures.as_picture(qwen, pictures.covered(qwen, made, [1, columns + 2])).numpy()
    side = PIXELS.shape[0] // rows
    touched = (after != PIXELS).any(-1).reshape(rows, side, columns, side).any((1, 3))
    assert np.argwhere(touched).tolist() == [[0, 1], [1, 2]]
    shade = np.median(PIXELS.reshape(-1, 3), axis=0)
    assert np.abs(after[:side, side : 2 * side] - shade).max() <= 1
    assert np.array_equal(pictures.as_picture(qwen, made).numpy(), PIXELS), "the inputs stay as they were"


def test_squares_begin_at_their_cell_and_end_with_the_picture(qwen, made):
    rows, columns = pictures.cells_of(qwen, made)
    assert (rows, columns) == (8, 12)
    assert pictures.square(qwen, made, 3, 5, 2) == [41, 42, 53, 54]
    assert pictures.square(qwen, made, 5, 10, 5) == [70, 71, 82, 83, 94, 95]  # cut off at the edges
    assert pictures.square(qwen, made, 1, 2, 1) == [14]


@pytest.mark.parametrize("how", ["paint", "zero"])
def test_the_next_token_is_that_of_changed_inputs(qwen, made, how):
    cells = [3, 4]
    found = pictures.next_token(qwen, made, cells, how)
    with torch.no_grad():
        if how == "paint":
            logits = qwen.model(**pictures.covered(qwen, made, cells)).logits
        else:
            where, embeds = qwen.model.place(**{k: made[k] for k in ("input_ids", "pixel_values", "image_grid_thw")})
            places = (made["input_ids"][0] == qwen.config.image_token_id).nonzero()[:, 0]
            embeds[0, places[cells]] = 0
            logits = qwen.model(made["input_ids"], position_ids=where, embeds=embeds).logits
    torch.testing.assert_close(found, logits[0, -1].double().softmax(-1), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, pictures.next_token(qwen, made))


def test_every_square_is_covered_once(qwen, made):
    covering = pictures.cover_each(qwen, made, side=4)
    assert covering.after.shape == (2, 3)
    expected = pictures.next_token(qwen, made, pictures.square(qwen, made, 4, 8, 4))
    assert covering.after[1, 2] == expected[covering.answer] and covering.choice[1, 2] == expected.argmax()
    assert covering.changed == int((covering.choice != covering.answer).sum())


def test_an_unknown_way_and_several_images_are_refused(qwen, made):
    with pytest.raises(lab.InputError, match="no way 'hide'"):
        pictures.next_token(qwen, made, [0], "hide")
    with pytest.raises(lab.InputError, match="exactly one image"):
        pictures.cells_of(qwen, {"input_ids": made["input_ids"]})


def test_transformers_reads_the_same_from_the_folder(qwen, made, trace, tmp_path):
    lab.save(qwen, tmp_path / "model")
    theirs = lab.analysis.by_transformers(lab.load(tmp_path / "model"), made)
    assert lab.gap(trace["vision.merged"], theirs.seen) < 1e-5
    assert lab.gap(trace["logits"], theirs.logits) < 1e-4
    where, _ = qwen.model.place(**{k: made[k] for k in ("input_ids", "pixel_values", "image_grid_thw")})
    assert torch.equal(where[:, 0], theirs.positions)
    with pytest.raises(lab.InputError, match="with a picture"):
        lab.analysis.by_transformers(qwen, made)


def test_a_stream_that_spells_the_colour_is_read_as_that_colour(qwen, monkeypatch):
    """Scores that name every object rightly, and then ones that never do."""
    import importlib

    module = importlib.import_module("qwen35_lab.analysis.naming")
    drawn = []
    scene = module.scene
    monkeypatch.setattr(module, "scene", lambda *given: drawn.append(scene(*given)) or drawn[-1])

    def spelled(qwen, picture, rightly=True):
        scores = torch.zeros(2, 2, 2, len(qwen.tokenizer))
        for thing in drawn[-1][1]:
            for word, names in ((thing.colour, module.COLOURS), (thing.shape, module.SHAPES)):
                other = names[names.index(word) - 1]
                scores[1, *thing.cell, int(qwen.encode(word if rightly else other)[0, 0])] = 1
        return scores

    monkeypatch.setattr(
        qwen, "encode", lambda word: torch.tensor([[40 + (*module.COLOURS, *module.SHAPES).index(word)]])
    )
    monkeypatch.setattr(module, "_scores", spelled)
    found = naming(qwen, draws=2, pictures=3)
    assert (found.colour[:, 1] == 1).all() and (found.shape[:, 1] == 1).all() and (found.colour[:, 0] < 1).all()
    monkeypatch.setattr(module, "_scores", lambda *given: spelled(*given, rightly=False))
    assert (naming(qwen, draws=2, pictures=3).colour[:, 1] == 0).all()
    assert found.objects == sum(len(things) for _, things in drawn[:6])
    assert found.guessing == (1 / 8, 1 / 6)
