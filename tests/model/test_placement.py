"""One prompt with two images, by hand: its positions, what the cache keeps of them, and what does not fit."""

from typing import Any

import pytest
import torch
from model.scenes import IMAGE, VIDEO, Turn, tensors
from reference import multimodal_reference, seeing_like
from small import DENSE
from torch import Tensor

from qwen35_lab.errors import InputError
from qwen35_lab.generate import decode
from qwen35_lab.model import MultimodalModel, TextModel
from qwen35_lab.model.positions import mrope_positions


def pictures(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in batch.items() if name not in ("input_ids", "attention_mask")}


def example() -> tuple[MultimodalModel, dict[str, Tensor]]:
    """Text, an image of 2×1 cells, text, one of 1×3, text."""
    raw: dict[str, Any] = {
        "model_type": "qwen3_5", "image_token_id": IMAGE, "video_token_id": VIDEO,
        "text_config": DENSE | {"model_type": "qwen3_5_text"},
        "vision_config": {
            "depth": 1, "num_heads": 2, "hidden_size": 16, "intermediate_size": 16, "out_hidden_size": 24,
            "patch_size": 2, "temporal_patch_size": 2, "spatial_merge_size": 2, "in_channels": 3,
            "num_position_embeddings": 9,
        },
    }  # fmt: skip
    raw["tie_word_embeddings"] = True
    turn = Turn([7, 8, 3, IMAGE, IMAGE, 4, 9, 9, 3, IMAGE, IMAGE, IMAGE, 4, 9], [(1, 4, 2), (1, 2, 6)])
    return seeing_like(multimodal_reference(raw), raw), tensors(raw, [turn], dtype=torch.float32)


# ---------------------------------------------------------------------- positions


def test_a_picture_is_seen_by_what_follows_it_alone() -> None:
    model, batch = example()
    with torch.no_grad():
        before = model(**batch).logits
        batch["pixel_values"] = batch["pixel_values"].clone()
        batch["pixel_values"][4 * 2 :] += 1  # the second image
        after = model(**batch).logits
    second = batch["input_ids"][0].tolist().index(IMAGE, 9)
    assert torch.equal(before[:, :second], after[:, :second])
    assert ((before - after).abs().amax(-1)[0, second:] > 0).all()


def test_positions_by_hand() -> None:
    model, batch = example()
    where, _ = model.place(batch["input_ids"], **pictures(batch))
    time = [0, 1, 2, 3, 3, 5, 6, 7, 8, 9, 9, 9, 12, 13]
    height = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13]
    width = [0, 1, 2, 3, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert where[:, 0].tolist() == [time, height, width]


def test_pictures_that_touch_are_two_pictures() -> None:
    """Nothing between their placeholders: the grids alone say where the one ends."""
    kinds = torch.tensor([[0, 1, 1, 1, 1, 1, 1, 2, 2, 0]])
    found = mrope_positions(kinds, None, [(1, 2, 1), (1, 2, 2)], [(1, 1, 2)], torch.tensor([5]))
    time = [5, 6, 6, 8, 8, 8, 8, 10, 10, 12]
    height = [5, 6, 7, 8, 8, 9, 9, 10, 10, 12]
    width = [5, 6, 6, 8, 9, 8, 9, 10, 11, 12]
    assert found[:, 0].tolist() == [time, height, width]


def test_the_cache_remembers_where_a_row_goes_on_and_restores_it() -> None:
    model, batch = example()
    cache = model.new_cache()
    empty = cache.snapshot()
    with torch.no_grad():
        model(**batch, cache=cache)
        assert cache.next_position is not None and cache.next_position.tolist() == [14] and cache.length == 14
        seen = cache.snapshot()
        first = model(torch.tensor([[7, 8]]), cache=cache).logits
        assert cache.next_position.tolist() == [16]
        cache.restore(seen)
        assert torch.equal(model(torch.tensor([[7, 8]]), cache=cache).logits, first)
        cache.restore(empty)
        assert cache.next_position is None
        model(torch.tensor([[7, 8]]), cache=cache)
        assert cache.next_position is None


def test_what_stands_at_padding_is_no_position() -> None:
    model, batch = example()
    mask = torch.ones(1, 14, dtype=torch.long)
    mask[0, -1] = 0
    where, embeds = model.place(batch["input_ids"], mask, **pictures(batch))
    where[..., -1] = 99
    cache = model.new_cache()
    with torch.no_grad():
        model(batch["input_ids"], mask, where, cache, embeds=embeds)
    assert cache.next_position is not None and cache.next_position.tolist() == [13]


def test_a_place_that_is_padding_asks_for_no_picture() -> None:
    """A batch whose padding token happens to be the placeholder."""
    model, batch = example()
    mask = torch.ones(1, 17, dtype=torch.long)
    mask[0, :3] = 0
    padded = torch.cat((torch.full((1, 3), IMAGE), batch["input_ids"]), dim=1)
    where, embeds = model.place(padded, mask, **pictures(batch))
    alone, of_alone = model.place(batch["input_ids"], **pictures(batch))
    assert torch.equal(where[..., 3:], alone) and torch.equal(embeds[:, 3:], of_alone)
    model.refuse_empty_places(padded[:, :6], mask[:, :6])


# ---------------------------------------------------------------------- what is refused


def test_pictures_that_do_not_fit_are_refused() -> None:
    model, batch = example()
    ids, pixels, grid = batch["input_ids"], batch["pixel_values"], batch["image_grid_thw"]
    swapped = ids.clone()
    swapped[0, 3], swapped[0, 2] = 3, IMAGE
    refused = [
        ({"pixel_values": pixels}, "pixel_values came without image_grid_thw"),
        ({"video_grid_thw": grid}, "video_grid_thw came without pixel_values_videos"),
        ({"pixel_values": pixels, "image_grid_thw": grid[0]}, r"image_grid_thw is \[1, 4, 2\]"),
        ({"pixel_values": pixels, "image_grid_thw": grid * 0}, "image_grid_thw is"),
        ({"pixel_values": pixels, "image_grid_thw": grid + 1}, "multiples of 2"),
        ({"pixel_values": pixels[1:], "image_grid_thw": grid}, r"\(19, 24\), but .* say \(20, 24\)"),
        ({"pixel_values": pixels[:, 1:], "image_grid_thw": grid}, r"\(20, 23\), but .* say \(20, 24\)"),
        (
            {"pixel_values": pixels[:8], "image_grid_thw": grid[:1]},
            "5 image placeholders, but the images passed make 2",
        ),
        ({"pixel_values_videos": pixels, "video_grid_thw": grid}, "5 image placeholders, but no image is passed"),
        ({}, "5 image placeholders, but no image is passed"),
        ({"pixel_values": pixels, "image_grid_thw": grid.flip(0)}, "does not fit"),
        ({"pixel_values": pixels, "image_grid_thw": grid, "input_ids": swapped}, "does not fit"),
    ]
    cache = model.new_cache()
    for given_, words in refused:
        with pytest.raises(InputError, match=words):
            model(**{"input_ids": ids, "cache": cache} | given_)
        with pytest.raises(InputError, match=words):
            model.place(given_.pop("input_ids", ids), None, None, **given_)
    where, embeds = model.place(ids, **pictures(batch))
    for wrong in ({}, {"position_ids": where, **pictures(batch)}, {"position_ids": where, "input_ids": ids[:, 1:]}):
        with pytest.raises(InputError, match="embeds go with position_ids"):
            model(**{"input_ids": ids, "embeds": embeds, "cache": cache} | wrong)
    with pytest.raises(InputError, match="no argument 'pixels'"):
        model.place(ids, pixels=pixels)
    with pytest.raises(InputError, match="no eyes"):
        next(decode(TextModel(model.config), ids, max_new_tokens=1, pictures=pictures(batch)))
    assert cache.length == 0 and cache.next_position is None
