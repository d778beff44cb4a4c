"""Attention by kernels that lay their results out in other ways than a CPU's does."""

import torch
from small import IDS, small
from torch.nn import functional as F


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
