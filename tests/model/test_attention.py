"""Attention by different kernels: of a CPU and of others; of tokens that follow earlier ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import IDS, small
from torch.nn import functional as F

from qwen35_lab.model.attention import GatedAttention

FORMS = (
    GatedAttention._attend_apart,
    GatedAttention._attend_in_blocks,
    lambda mixer, *given: mixer._attend_readably(*given, None),
)


def test_a_result_may_have_tokens_before_heads_in_memory(monkeypatch) -> None:
    """As of the kernel that a GPU takes in float32, and with a mask; there a step of one token failed."""
    ids, plain = torch.tensor([IDS]), F.scaled_dot_product_attention

    def turned(*given, **named):
        return plain(*given, **named).transpose(1, 2).contiguous().transpose(1, 2)

    model = small().model  # two key heads, each for two heads
    with torch.no_grad():
        whole, cache = model(ids).logits, model.new_cache()
        monkeypatch.setattr(F, "scaled_dot_product_attention", turned)
        model(ids[:, :-1], cache=cache)
        torch.testing.assert_close(model(ids[:, -1:], cache=cache).logits, whole[:, -1:], atol=1e-4, rtol=1e-4)


@given(
    st.integers(1, 2), st.sampled_from([(4, 2), (4, 4), (4, 1)]), st.integers(2, 700), st.integers(1, 700),
    st.sampled_from([
        (torch.float64, 30, 1e-11), (torch.float32, 1, 2e-5), (torch.float32, 30, 1e-4), (torch.float16, 1, 4e-3),
        (torch.bfloat16, 1, 0.03),
    ]),
    st.integers(0, 99),
)  # fmt: skip
def test_tokens_that_follow_earlier_ones_see_these_and_no_later_one(texts, heads, new, past, numbers, seed):
    """With flat weights, and with such that one key takes all: against the softmax in float64."""
    dtype, sharp, close = numbers
    r = torch.Generator().manual_seed(seed)
    shape = {"num_attention_heads": heads[0], "num_key_value_heads": heads[1]}
    mixer = small(**shape).model.layers[3].mixer
    q = sharp * torch.randn(texts, new, heads[0], 16, generator=r).transpose(1, 2)
    k, v = (torch.randn(texts, past + new, heads[1], 16, generator=r).transpose(1, 2) for _ in range(2))
    q, k, v = (x.to(dtype) for x in (q, k, v))
    later = torch.arange(past + new) > torch.arange(past, past + new)[:, None]
    keys, values = (x.double().repeat_interleave(heads[0] // heads[1], dim=1) for x in (k, v))
    true = (q.double() @ keys.mT / 4).masked_fill(later, -torch.inf).softmax(-1) @ values
    with torch.inference_mode():
        for form in FORMS:
            torch.testing.assert_close(form(mixer, q, k, v).double(), true, atol=close, rtol=0)


@pytest.mark.parametrize("turned", ["q", "k", "v"])
def test_numbers_may_lie_in_memory_as_they_like(turned):
    """A hook may hand on the same numbers in another layout, of which the kernel itself would make something else."""
    mixer, r = small().model.layers[3].mixer, torch.Generator().manual_seed(0)
    q, k, v = given = [torch.randn(2, heads, tokens, 16, generator=r) for heads, tokens in ((4, 5), (2, 9), (2, 9))]
    other = [x.mT.contiguous().mT if name == turned else x for name, x in zip("qkv", given, strict=True)]
    with torch.no_grad():
        torch.testing.assert_close(mixer._attend_fused(*other, None), mixer._attend_readably(q, k, v, None))


def test_a_cache_is_read_on_under_autocast():
    model, ids = small().model, torch.tensor([IDS])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        whole, cache = model(ids).logits, model.new_cache()
        model(ids[:, :5], cache=cache)
        apart = model(ids[:, 5:], cache=cache).logits.float() - whole[:, 5:]
    assert apart.norm() < 0.1 * whole.float().norm(), "what bfloat16 rounds off"


def test_the_kernel_without_a_mask_is_taken_where_nothing_is_derived_and_only_there(monkeypatch) -> None:
    taken, model = [], small().model
    mixer = type(model.layers[3].mixer)
    plain = mixer._attend_apart
    monkeypatch.setattr(mixer, "_attend_apart", lambda self, *given: taken.append(1) or plain(self, *given))
    with torch.no_grad():
        cache = model.new_cache()
        model(torch.tensor([IDS]), cache=cache)
        before = cache.snapshot()
        assert not taken, "nothing came before"
        fast = model(torch.tensor([IDS]), cache=cache).logits
    assert taken.pop()
    cache.restore(before)
    slow = model(torch.tensor([IDS]), cache=cache).logits
    slow.sum().backward()
    assert not taken and model.layers[3].mixer.k_proj.weight.grad.abs().max() > 0
    torch.testing.assert_close(fast, slow.detach(), atol=1e-4, rtol=1e-4)
