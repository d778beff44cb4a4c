"""Snapshots roll a hybrid cache back without loss, and its bytes are what the architecture says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.strategies import configs
from reference import memories, ours_like, reference_model
from small import IDS, small

from qwen35_lab.config import ModelConfig
from qwen35_lab.errors import InputError
from qwen35_lab.model import TextModel
from qwen35_lab.model.init import initialise


@settings(max_examples=50)
@given(st.data())
def test_restore_is_exact_whatever_happened_in_between(data: st.DataObject) -> None:
    """Any walk of appends, snapshots and restores ends where a fresh cache given the same tokens ends, bit for bit."""
    raw = data.draw(configs())
    model = ours_like(reference_model(raw), raw)
    cache, history, snapshots = model.new_cache(), [], []
    for _ in range(data.draw(st.integers(1, 8))):
        action = data.draw(st.sampled_from(["append", "snapshot", "restore"]))
        if action == "snapshot":
            snapshots.append((cache.snapshot(), list(history)))
        elif action == "restore" and snapshots:
            snapshot, history = data.draw(st.sampled_from(snapshots))
            history = list(history)
            cache.restore(snapshot)
        else:
            piece = data.draw(st.lists(st.integers(0, raw["vocab_size"] - 1), min_size=1, max_size=80))
            history.append(piece)
            with torch.no_grad():
                model(torch.tensor([piece]), cache=cache)
    fresh = model.new_cache()
    with torch.no_grad():
        for piece in history:
            model(torch.tensor([piece]), cache=fresh)
    assert cache.length == fresh.length == sum(map(len, history))
    if history:
        for mine, expected in zip(memories(cache), memories(fresh), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, expected, strict=True))


CONFIG = {
    "model_type": "qwen3_5_text", "vocab_size": 30, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 6,
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2), (torch.float64, 8)])
def test_bytes_and_dtypes(dtype: torch.dtype, size: int) -> None:
    config = ModelConfig.from_dict(CONFIG).text
    model = initialise(TextModel(config)).to(dtype)
    cache = model.new_cache()
    with torch.no_grad():
        model(torch.zeros(1, 50, dtype=torch.long), cache=cache)
    state = 4 * 8 * 6 * max(size, 4)  # never below float32
    conv = 3 * (2 * 2 * 8 + 4 * 6) * size
    assert cache.nbytes() == 3 * (state + conv) + 50 * 2 * 2 * 8 * size
    before = cache.nbytes()
    with torch.no_grad():
        model(torch.zeros(1, 100, dtype=torch.long), cache=cache)
    assert cache.nbytes() - before == 100 * 2 * 2 * 8 * size, "only keys and values may grow"


def test_gradients_flow_through_a_cache() -> None:
    model = initialise(TextModel(ModelConfig.from_dict(CONFIG).text)).double()
    ids = torch.arange(20)[None]
    whole = torch.autograd.grad(model(ids).logits[:, -1].sum(), list(model.parameters()))
    cache = model.new_cache()
    model(ids[:, :11], cache=cache)
    parts = torch.autograd.grad(model(ids[:, 11:], cache=cache).logits[:, -1].sum(), list(model.parameters()))
    torch.testing.assert_close(parts, whole, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("then", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_what_was_read_in_inference_mode_may_be_read_on_outside_it(then) -> None:
    model = small().model
    ids = torch.tensor([IDS])
    whole, cache = model(ids), model.new_cache()
    with torch.inference_mode():
        model(ids[:, :5], cache=cache)
    for piece in (ids[:, 5:6], ids[:, 6:]):
        with then():
            logits = model(piece, cache=cache).logits
    torch.testing.assert_close(logits, whole.logits[:, 6:], atol=1e-4, rtol=1e-4)
    if then is torch.enable_grad:
        logits.sum().backward()


def test_an_interrupted_forward_leaves_the_cache_as_it_was() -> None:
    """A stop button, or a hook that raises: the same tokens can be given again."""
    model = initialise(TextModel(ModelConfig.from_dict(CONFIG).text), seed=2)
    ids = torch.arange(12)[None]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with torch.no_grad():
        cache = model.new_cache()
        model(ids[:, :7], cache=cache)
        for module in (model.layers[2].ffn, model.layers[3].mixer.o_proj, model.norm):
            handle = module.register_forward_pre_hook(stop)
            with pytest.raises(KeyboardInterrupt):
                model(ids[:, 7:], cache=cache)
            handle.remove()
            assert cache.length == 7
        again = model(ids[:, 7:], cache=cache).logits
        fresh = model.new_cache()
        model(ids[:, :7], cache=fresh)
        assert torch.equal(again, model(ids[:, 7:], cache=fresh).logits)


def test_a_cache_that_does_not_fit_is_refused() -> None:
    model = initialise(TextModel(ModelConfig.from_dict(CONFIG).text))
    other = TextModel(ModelConfig.from_dict(CONFIG | {"num_hidden_layers": 8}).text)
    cache = model.new_cache()
    with torch.no_grad():
        model(torch.zeros(2, 3, dtype=torch.long), cache=cache)
        for ids, given, message in (
            (torch.zeros(1, 3, dtype=torch.long), cache, "holds 2 rows, but input_ids have 1"),
            (torch.zeros(2, 3, dtype=torch.long), other.new_cache(), "belongs to another model"),
        ):
            with pytest.raises(InputError, match=message):
                model(ids, cache=given)
