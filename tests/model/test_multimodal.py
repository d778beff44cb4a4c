"""Pictures among text, against transformers' own model on the same weights: features, positions, logits, tokens."""

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.scenes import FIRST_WORD, IMAGE, Turn, joined, kinds, multimodal_configs, tensors, turns
from reference import multimodal_reference, seeing_like
from torch import Tensor

from qwen35_lab import generate
from qwen35_lab.config import ModelConfig
from qwen35_lab.generate import decode
from qwen35_lab.model import MultimodalModel, TextModel
from qwen35_lab.model.init import initialise

FLOAT32, FLOAT64 = 1e-4, 1e-9
CASES = settings(max_examples=100)


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float = FLOAT64) -> None:
    """To a share of the largest value, or of 1 if all are smaller."""
    scale = max(1.0, theirs.abs().max().item()) if theirs.numel() else 1.0
    torch.testing.assert_close(ours, theirs, atol=tolerance * scale, rtol=0)


def pictures(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in batch.items() if name not in ("input_ids", "attention_mask")}


@torch.no_grad()
def theirs_of(reference: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """transformers' logits and position ids, without a cache and so without a memory of earlier pictures."""
    ids = batch["input_ids"]
    reference.model.rope_deltas = None
    logits = reference(**batch, mm_token_type_ids=kinds(ids), use_cache=False).logits
    grids = {name: batch.get(name) for name in ("image_grid_thw", "video_grid_thw")}
    grids = {name: grid if grid is None else grid.clone() for name, grid in grids.items()}
    positions, _ = reference.model.get_rope_index(ids, kinds(ids), attention_mask=batch["attention_mask"], **grids)
    return logits, positions


def check(raw: dict, rows: list[Turn], side: str, seed: int, dtype: torch.dtype, tolerance: float) -> None:
    reference = multimodal_reference(raw, dtype)
    model = seeing_like(reference, raw)
    batch = tensors(raw, rows, side, seed, dtype)
    logits, positions = theirs_of(reference, batch)
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        for name, grid in (("pixel_values", "image_grid_thw"), ("pixel_values_videos", "video_grid_thw")):
            if name in batch:
                features = reference.model.get_image_features(batch[name], batch[grid]).pooler_output
                seen = model.vision(batch[name], [tuple(g) for g in batch[grid].tolist()])
                assert_equal(seen, torch.cat(tuple(features)), tolerance)
        ours = model(**batch, mm_token_type_ids=kinds(batch["input_ids"]), cache=model.new_cache())
        where, embeds = model.place(batch["input_ids"], batch["attention_mask"], **pictures(batch))
        again = model(batch["input_ids"], batch["attention_mask"], where, embeds=embeds)
    if len(batch) > 2:  # without a picture transformers counts padding too
        assert torch.equal(where, positions)
    assert_equal(ours.logits[real], logits[real], tolerance)
    assert_equal(again.logits[real], logits[real], tolerance)


@CASES
@given(st.data())
def test_features_positions_and_logits_equal_transformers_in_float64(data: st.DataObject) -> None:
    raw = data.draw(multimodal_configs())
    rows = data.draw(st.lists(turns(raw), min_size=1, max_size=3))
    side, seed = data.draw(st.sampled_from(["left", "right"])), data.draw(st.integers(0, 99))
    check(raw, rows, side, seed, torch.float64, FLOAT64)


@CASES
@given(st.data())
def test_features_positions_and_logits_equal_transformers_in_float32(data: st.DataObject) -> None:
    """Layer norms of few features magnify rounding, so the smallest towers are left to float64."""
    raw = data.draw(multimodal_configs())
    raw["vision_config"] |= {"hidden_size": 16 * raw["vision_config"]["num_heads"], "intermediate_size": 32}
    rows = data.draw(st.lists(turns(raw), min_size=1, max_size=3))
    side, seed = data.draw(st.sampled_from(["left", "right"])), data.draw(st.integers(0, 99))
    check(raw, rows, side, seed, torch.float32, FLOAT32)


@settings(max_examples=25)
@given(st.data())
def test_gradients_equal_transformers(data: st.DataObject) -> None:
    raw = data.draw(multimodal_configs())
    rows = data.draw(st.lists(turns(raw), min_size=1, max_size=2))
    reference = multimodal_reference(raw, torch.float64)
    model = seeing_like(reference, raw)
    batch = tensors(raw, rows)
    real = batch["attention_mask"].bool()
    shape = int(real.sum()), raw["text_config"]["vocab_size"]
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (model(**batch).logits[real] * weights).sum().backward()
    theirs = reference(**batch, mm_token_type_ids=kinds(batch["input_ids"]), use_cache=False).logits
    (theirs[real] * weights).sum().backward()
    for p in reference.parameters():
        p.data = torch.zeros_like(p) if p.grad is None else p.grad
    expected = seeing_like(reference, raw).state_dict()  # the reference's gradients under our names
    for name, p in model.named_parameters():
        assert_equal(torch.zeros_like(p) if p.grad is None else p.grad, expected[name], FLOAT64)


@CASES
@given(st.data())
def test_turns_with_new_pictures_equal_the_whole_conversation(data: st.DataObject) -> None:
    """Several turns through one cache, wrong starts taken back by a snapshot, against transformers without a cache."""
    raw = data.draw(multimodal_configs())
    count, batch = data.draw(st.integers(2, 3)), data.draw(st.integers(1, 2))
    talk = [data.draw(st.lists(turns(raw, 2), min_size=batch, max_size=batch)) for _ in range(count)]
    reference = multimodal_reference(raw, torch.float64)
    model = seeing_like(reference, raw)
    whole = [joined(list(row)) for row in zip(*talk, strict=True)]
    cache, masks, found = model.new_cache(), [], [[] for _ in range(batch)]
    each = [tensors(raw, rows, seed=n) for n, rows in enumerate(talk)]
    for part in each:
        masks.append(part["attention_mask"])
        if data.draw(st.booleans()):
            kept = cache.snapshot()
            with torch.no_grad():
                model(**part | {"attention_mask": torch.cat(masks, 1)}, cache=cache)
            cache.restore(kept)
        with torch.no_grad():
            logits = model(**part | {"attention_mask": torch.cat(masks, 1)}, cache=cache).logits
        for n, row in enumerate(logits):
            found[n].append(row[part["attention_mask"][n].bool()])
    for n, row in enumerate(whole):
        alone = tensors(raw, [row])
        for name, kind in (("pixel_values", "images"), ("pixel_values_videos", "videos")):
            if name in alone:  # the very pixels that the turns had
                alone[name] = torch.cat(
                    [p for t, part in enumerate(each) for p in pixels_of(part, talk[t], n, name, kind)]
                )
        expected, _ = theirs_of(reference, alone)
        assert_equal(torch.cat(found[n]), expected[0])


def pixels_of(part: dict[str, Tensor], rows: list[Turn], n: int, name: str, kind: str) -> list[Tensor]:
    """The pixels of one row of a batch: none, or one tensor."""
    counts = [sum(t * h * w for t, h, w in getattr(row, kind)) for row in rows]
    return [part[name].split(counts)[n]] if name in part else []


@CASES
@given(st.data())
def test_greedy_answers_about_pictures_are_identical(data: st.DataObject) -> None:
    raw = data.draw(multimodal_configs())
    rows = data.draw(st.lists(turns(raw), min_size=1, max_size=3))
    batch = tensors(raw, rows, "left", data.draw(st.integers(0, 99)))
    reference = multimodal_reference(raw, torch.float64)
    model = seeing_like(reference, raw)
    reference.generation_config.eos_token_id = None
    theirs = reference.generate(
        **batch, mm_token_type_ids=kinds(batch["input_ids"]), max_new_tokens=8, do_sample=False, pad_token_id=0
    )
    before, generate.PREFILL_TOKENS = generate.PREFILL_TOKENS, data.draw(st.sampled_from([3, 2048]))
    try:
        steps = decode(model, batch["input_ids"], batch["attention_mask"], max_new_tokens=8, pictures=pictures(batch))
        ours = torch.stack(list(steps), dim=1)
    finally:
        generate.PREFILL_TOKENS = before
    assert ours.tolist() == theirs[:, batch["input_ids"].shape[1] :].tolist()


# ---------------------------------------------------------------------- what may see what


@CASES
@given(st.data())
def test_neither_padding_nor_other_rows_and_their_pictures_leak(data: st.DataObject) -> None:
    """A row of a batch is the row alone, whatever stands in the padding and in the other rows."""
    raw = data.draw(multimodal_configs())
    rows = data.draw(st.lists(turns(raw), min_size=2, max_size=3))
    side = data.draw(st.sampled_from(["left", "right"]))
    model = seeing_like(multimodal_reference(raw, torch.float64), raw)
    batch = tensors(raw, rows, side)
    padding = batch["attention_mask"] == 0
    batch["input_ids"] = batch["input_ids"].masked_fill(padding, data.draw(st.sampled_from([0, IMAGE, FIRST_WORD])))
    with torch.no_grad():
        whole = model(**batch).logits
        for n, row in enumerate(rows):
            alone = tensors(raw, [row])
            for name, kind in (("pixel_values", "images"), ("pixel_values_videos", "videos")):
                if name in alone:
                    (alone[name],) = pixels_of(batch, rows, n, name, kind)
            assert_equal(whole[n, ~padding[n]], model(**alone).logits[0])


@CASES
@given(st.data())
def test_text_alone_is_the_text_models_bit_for_bit(data: st.DataObject) -> None:
    raw = data.draw(multimodal_configs())
    model = initialise(MultimodalModel(ModelConfig.from_dict(raw)), 1)
    blind = TextModel(model.config)
    blind.load_state_dict({n: p for n, p in model.state_dict().items() if not n.startswith("vision.")})
    words = st.lists(st.integers(FIRST_WORD, raw["text_config"]["vocab_size"] - 1), min_size=1, max_size=70)
    cache, other, masks = model.new_cache(), blind.new_cache(), []
    for _ in range(3):
        ids = torch.tensor([data.draw(words)])
        masks.append((torch.rand(ids.shape, generator=torch.Generator().manual_seed(ids.shape[1])) > 0.1).long())
        with torch.no_grad():
            ours = model(ids, torch.cat(masks, 1), cache=cache).logits
            theirs = blind(ids, torch.cat(masks, 1), cache=other).logits
        assert torch.equal(ours, theirs)
    assert cache.next_position is None
