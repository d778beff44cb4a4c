"""Our model against transformers' own on the same weights: random architectures, lengths, batches, padding."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.strategies import configs, inputs, pieces
from reference import grow, memories, ours_like, reference_model
from torch import Tensor

from qwen35_lab.generate import decode
from qwen35_lab.model import Cache

FLOAT32, FLOAT64 = 1e-4, 1e-9
hundreds = settings(max_examples=200)


def rows(mask: Tensor | None, x: Tensor) -> Tensor:
    """The real tokens of [batch, token, …], one after the other."""
    return x.flatten(0, 1) if mask is None else x[mask.bool()]


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    """To a share of the largest value, or of 1 if all are smaller: rounding errors are of that size."""
    scale = max(1.0, theirs.abs().max().item())
    torch.testing.assert_close(ours, theirs, atol=tolerance * scale, rtol=0)


def assert_equal_in_float32(ours: Tensor, theirs: Tensor, reference: torch.nn.Module, raw, ids, mask) -> None:
    """To 1e-4 for every number. Random weights can be so ill-conditioned that rounding alone exceeds that; then the
    same weights in float64 are the referee, and ours may not be further from them than transformers is, on these
    weights or on such as differ by a rounding: a single error can be small by luck."""
    if torch.allclose(ours, theirs, atol=FLOAT32, rtol=FLOAT32):
        return
    exact = reference_model(raw, torch.float64)
    exact.load_state_dict({name: value.double() for name, value in reference.state_dict().items()})
    truth = rows(mask, grow(exact, ids, attention_mask=mask).logits)
    near = [rows(mask, grow(nudged(reference), ids, attention_mask=mask).logits) for _ in range(8)]
    mine, *yours = ((x.double() - truth).abs().max().item() for x in (ours, theirs, *near))
    assert mine <= 2 * max(yours), f"ours is {mine:.1e} from the float64 truth, transformers {max(yours):.1e}"


def nudged(model: torch.nn.Module) -> torch.nn.Module:
    """A copy whose weights are the next numbers, up or down."""
    model = copy.deepcopy(model)
    for weight in model.parameters():
        ways = torch.where(torch.rand_like(weight) < 0.5, -torch.inf, torch.inf)
        weight.data = torch.nextafter(weight.data, ways)
    return model


def check_forward(raw, ids, mask, dtype, tolerance) -> None:
    reference = reference_model(raw, dtype)
    model = ours_like(reference, raw)
    theirs = grow(reference, ids, attention_mask=mask)
    with torch.no_grad():
        ours = model(ids, attention_mask=mask, cache=model.new_cache())
        uncached = model(ids, attention_mask=mask)
    logits = rows(mask, ours.logits), rows(mask, theirs.logits)
    assert_equal(*logits, tolerance)
    if dtype == torch.float32:
        assert_equal_in_float32(*logits, reference, raw, ids, mask)
    assert_equal(uncached.logits, ours.logits, tolerance)
    padded_right = mask is not None and not bool(mask[:, -1].all())
    for kind, mine, yours in zip(
        raw["layer_types"], memories(ours.cache), memories(theirs.past_key_values), strict=True
    ):
        if kind == "full_attention":
            mine, yours = (tuple(rows(mask, x) for x in pair) for pair in (mine, yours))
        elif padded_right:
            continue  # transformers lets padding on the right write: see test_padding.py
        for a, b in zip(mine, yours, strict=True):
            assert_equal(a, b, tolerance)


@hundreds
@given(st.data())
def test_forward_and_cache_equal_transformers_in_float32(data: st.DataObject) -> None:
    raw = data.draw(configs())
    ids, mask = data.draw(inputs(raw["vocab_size"]))
    check_forward(raw, ids, mask, torch.float32, FLOAT32)


@hundreds
@given(st.data())
def test_forward_and_cache_equal_transformers_in_float64(data: st.DataObject) -> None:
    raw = data.draw(configs())
    ids, mask = data.draw(inputs(raw["vocab_size"]))
    check_forward(raw, ids, mask, torch.float64, FLOAT64)


@hundreds
@given(st.data())
def test_pieces_equal_one_pass_and_transformers(data: st.DataObject) -> None:
    """Prefill in pieces of any length, single tokens among them, against transformers' own cached pieces."""
    raw = data.draw(configs())
    ids, _ = data.draw(inputs(raw["vocab_size"]))
    sizes = data.draw(pieces(ids.shape[1]))
    reference = reference_model(raw, torch.float64)
    model = ours_like(reference, raw)
    cache, past, found, theirs = model.new_cache(), None, [], []
    for piece in ids.split(sizes, dim=1):
        with torch.no_grad():
            found.append(model(piece, cache=cache).logits)
        step = grow(reference, piece, past_key_values=past)
        past = step.past_key_values
        theirs.append(step.logits)
    with torch.no_grad():
        whole = model(ids, cache=model.new_cache())
    assert_equal(torch.cat(found, dim=1), whole.logits, FLOAT64)
    assert_equal(torch.cat(found, dim=1), torch.cat(theirs, dim=1), FLOAT64)
    for mine, full, yours in zip(memories(cache), memories(whole.cache), memories(past), strict=True):
        for a, b, c in zip(mine, full, yours, strict=True):
            assert_equal(a, b, FLOAT64)
            assert_equal(a, c, FLOAT64)


@hundreds
@given(st.data())
def test_gradients_equal_transformers(data: st.DataObject) -> None:
    raw = data.draw(configs())
    ids, mask = data.draw(inputs(raw["vocab_size"]))
    reference = reference_model(raw, torch.float64)
    model = ours_like(reference, raw)
    weights = torch.randn(
        *ids.shape, raw["vocab_size"], dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    if mask is not None:
        weights = weights * mask[..., None]
    (model(ids, attention_mask=mask).logits * weights).sum().backward()
    (reference(input_ids=ids, attention_mask=mask, use_cache=False).logits * weights).sum().backward()
    for p in reference.parameters():
        p.data = torch.zeros_like(p) if p.grad is None else p.grad
    theirs = ours_like(reference, raw).state_dict()  # the reference's gradients under our names
    for name, p in model.named_parameters():
        gradient = torch.zeros_like(p) if p.grad is None else p.grad
        assert_equal(gradient, theirs[name], FLOAT64)


@hundreds
@given(st.data())
def test_greedy_continuations_are_identical(data: st.DataObject) -> None:
    raw = data.draw(configs())
    ids, mask = data.draw(inputs(raw["vocab_size"]))
    if mask is not None:
        mask = mask.sort(dim=1).values  # padding on the left, as generation wants it
    reference = reference_model(raw, torch.float64)
    model = ours_like(reference, raw)
    # transformers' generate stops at nothing here: no end token is set
    theirs = reference.generate(
        ids, attention_mask=torch.ones_like(ids) if mask is None else mask, max_new_tokens=12, do_sample=False,
        pad_token_id=0,
    )  # fmt: skip
    ours = torch.stack(list(decode(model, ids, mask, max_new_tokens=12)), dim=1)
    assert ours.tolist() == theirs[:, ids.shape[1] :].tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_to_float64_as_transformers(dtype: torch.dtype) -> None:
    """In 16 bits the two round differently; ours may not be further from the float64 truth."""
    raw = {
        "model_type": "qwen3_5_moe_text", "vocab_size": 50, "hidden_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_experts": 4,
        "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32,
    }  # fmt: skip
    ids = torch.randint(0, 50, (4, 100), generator=torch.Generator().manual_seed(0))
    ours, theirs = [], []
    for seed in range(5):
        narrow = reference_model(raw, torch.float32, seed).to(dtype)
        exact = reference_model(raw, torch.float64, seed)
        exact.load_state_dict({k: v.double() for k, v in narrow.state_dict().items()})
        truth = grow(exact, ids).logits
        model = ours_like(narrow, raw)
        with torch.no_grad():
            ours.append((model(ids, cache=Cache(model.config)).logits.double() - truth).abs().mean())
        theirs.append((grow(narrow, ids).logits.double() - truth).abs().mean())
    assert torch.stack(ours).mean() <= 1.1 * torch.stack(theirs).mean()
