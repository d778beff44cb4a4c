"""The experts of a pass that nobody watches or trains, against the readable form."""

from contextlib import ExitStack

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import MOE
from torch import Tensor

from qwen35_lab.config import ModelConfig
from qwen35_lab.model import experts
from qwen35_lab.model.moe import Routing, SparseMoE

# how far apart the same sums may be, of the largest number
CLOSE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
DTYPES = st.sampled_from(list(CLOSE))


def layer(seed: int, **sizes: int) -> SparseMoE:
    """With random weights."""
    generator = torch.Generator().manual_seed(seed)
    ffn = SparseMoE(ModelConfig.from_dict(MOE | sizes).text)
    for p in ffn.parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5, generator=generator)
    return ffn.requires_grad_(False)


@st.composite
def layers(draw: st.DrawFn) -> tuple[SparseMoE, Tensor]:
    """A layer of any small sizes, routed as configured or otherwise, and what it reads."""
    number, seed = draw(st.integers(1, 6)), draw(st.integers(0, 2**31))
    sizes = {name: draw(st.integers(1, 24)) for name in ("hidden_size", "moe_intermediate_size")}
    ffn = layer(seed, num_experts=number, num_experts_per_tok=draw(st.integers(1, number)), **sizes)
    turned = st.dictionaries(st.integers(0, number - 1), st.integers(0, number - 1), max_size=2)
    ffn.configured = Routing(draw(st.integers(1, number)), stand_ins=draw(turned))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 40)), sizes["hidden_size"]
    return ffn, torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1))


def close(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=CLOSE[found.dtype] * float(expected.abs().max()), rtol=0)


@given(layers(), DTYPES)
def test_the_sum_in_one_go_is_the_sum_of_the_answers(made: tuple[SparseMoE, Tensor], dtype: torch.dtype) -> None:
    ffn, x = made[0].to(dtype), made[1].to(dtype)
    with torch.no_grad():
        ids, weights = ffn.route(x)
        close(experts.mix(x, ids, weights, ffn.expert), ffn.mix(x, ids, weights))


def test_it_is_taken_where_nobody_listens_and_nothing_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    ffn, x = layer(0), torch.randn(2, 5, 24)
    taken = []
    mix = experts.mix
    monkeypatch.setattr(experts, "mix", lambda *given: taken.append(1) or mix(*given))
    with torch.inference_mode():
        plain = ffn(x)
        assert len(taken) == 1
        with ExitStack() as stack:
            handle = ffn.expert_out.register_forward_hook(lambda tap, inputs, value: value.mul(2))
            stack.callback(handle.remove)
            doubled = ffn(x)
        silent = ffn.shared_gate.register_forward_hook(lambda tap, inputs, value: value.mul(0))
        routed = ffn(x)
        silent.remove()
    close(doubled - plain, routed)
    with torch.enable_grad():
        close(ffn(x), plain)
    assert len(taken) == 2, "once plain, once with the shared expert silenced"


def test_weights_that_a_hook_made_wider_still_weigh() -> None:
    ffn, x = layer(1).bfloat16(), torch.randn(1, 3, 24).bfloat16()
    with torch.no_grad():
        ids, weights = ffn.route(x)
        close(experts.mix(x, ids, weights.float(), ffn.expert), ffn.mix(x, ids, weights))
