"""Three ways of taking tokens back: two leave no trace, and the third does what transformers' own `crop` does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from model.strategies import configs
from small import DENSE, IDS, MOE, small
from transformers import DynamicCache

import qwen35_lab as lab
from qwen35_lab.analysis import (
    gap,
    quiet_transformers,
    read_and_keep,
    state_gap,
    take_back,
    transformers_model,
)
from qwen35_lab.analysis.taking_back import WAYS

READ, DRAFTS = torch.tensor([IDS[:5]]), torch.tensor([[7, 0, 2, 8]])


@settings(max_examples=40)
@given(raw=configs(), read=some.integers(1, 6), drafts=some.integers(1, 5), data=some.data())
@torch.no_grad()
def test_replay_and_record_are_as_if_nothing_had_been_read(raw, read, drafts, data):
    model = small(raw).model.double()
    ids = torch.arange(read + drafts)[None] % raw["vocab_size"]
    keep = data.draw(some.integers(0, drafts))
    right, probe = model.new_cache(), ids[:, :1]
    model(ids[:, : read + keep], cache=right)
    wanted = model(probe, cache=right).logits
    for way in ("replay", "record"):
        cache = model.new_cache()
        model(ids[:, :read], cache=cache)
        read_and_keep(model, cache, ids[:, read:], keep, way)
        assert cache.length == read + keep
        assert gap(model(probe, cache=cache).logits, wanted) < 1e-9


@torch.no_grad()
@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "moe"])
@pytest.mark.parametrize("keep", [0, 1, 3])
def test_crop_is_what_transformers_does(raw, keep):
    """The same wrong logits, to rounding; and they are wrong."""
    qwen, probe = small(raw), torch.tensor([[9, 4]])
    ours = qwen.model.new_cache()
    qwen.model(READ, cache=ours)
    read_and_keep(qwen.model, ours, DRAFTS, keep, "crop")
    with quiet_transformers():
        model = transformers_model(qwen)
        past = DynamicCache(config=model.config)
        past.activate_past_recording()
        model(input_ids=READ, past_key_values=past)
        model(input_ids=DRAFTS, past_key_values=past)
        past.crop(keep - DRAFTS.shape[1])
        theirs = model(input_ids=probe, past_key_values=past).logits
    right = qwen.model(torch.cat((READ, DRAFTS[:, :keep], probe), dim=1)).logits[:, -2:]
    found = qwen.model(probe, cache=ours).logits
    assert gap(found, theirs) < 1e-4 and gap(found, right) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("way", WAYS)
def test_where_everything_is_kept_there_is_nothing_to_take_back(way):
    qwen, right = small(), small().model.new_cache()
    qwen.model(torch.cat((READ, DRAFTS), dim=1), cache=right)
    cache = qwen.model.new_cache()
    qwen.model(READ, cache=cache)
    read_and_keep(qwen.model, cache, DRAFTS, DRAFTS.shape[1], way)
    assert state_gap(cache, right) < 1e-5


def test_the_errors_are_those_of_each_way_and_number():
    qwen = small()
    qwen.model.double()
    found = take_back(qwen, READ, DRAFTS)
    assert found.ways == WAYS and found.taken == (1, 2, 3, 4) and found.tokens == 4
    assert found.states.shape == found.logits.shape == (3, 4)
    assert found.states[:2].max() < 1e-9 and found.logits[:2].max() < 1e-9
    assert found.states[2].min() > 1e-3 and found.logits[2].min() > 1e-3


def test_the_probe_is_what_is_read_next():
    qwen = small()
    asked = take_back(qwen, READ, DRAFTS, then=torch.tensor([[3, 3]]))
    assert not torch.equal(asked.logits, take_back(qwen, READ, DRAFTS).logits)
    assert torch.equal(asked.states, take_back(qwen, READ, DRAFTS).states)


def test_without_deltanet_layers_cropping_is_right():
    qwen = small({**DENSE, "layer_types": ["full_attention"] * 4})
    qwen.model.double()
    found = take_back(qwen, READ, DRAFTS)
    assert found.logits.max() < 1e-9 and found.states.max() == 0


def test_another_way_is_refused():
    model = small().model
    with pytest.raises(lab.InputError, match="no way 'undo' of taking tokens back; choose from replay, record, crop"):
        read_and_keep(model, model.new_cache(), DRAFTS, 1, "undo")
