"""Products without gradients are the usual ones; with gradients, or a listener, they are those to the last bit."""

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import MOE, small
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from qwen35_lab.analysis.counter import count_operators
from qwen35_lab.model import product
from qwen35_lab.model.product import ACTIVATIONS, Linear, bent, through, times

# how far apart the same sums may be, of the largest number
CLOSE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
DTYPES = st.sampled_from(list(CLOSE))
KINDS = ["", *ACTIVATIONS]
large = mock.patch.object(product, "LARGE", 1)  # each matrix counts as a large one


def close(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=CLOSE[found.dtype] * float(expected.abs().max()), rtol=0)


def plainly(layer: nn.Linear, x: Tensor, activation: str) -> Tensor:
    return bent(F.linear(x, layer.weight, layer.bias), activation)


@large
@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70), DTYPES, st.booleans())
def test_a_matrix_times_rows_is_the_usual_product(
    rows: int, width: int, out: int, dtype: torch.dtype, turned: bool
) -> None:
    generator = torch.Generator().manual_seed(rows + 4 * width + 300 * out)
    x, weight = (torch.randn(n, width, generator=generator).to(dtype) for n in (rows, out))
    weight = weight.T.contiguous().T if turned else weight
    with torch.no_grad():
        close(times(x, weight), F.linear(x, weight))


@large
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 70), st.integers(1, 70), DTYPES,
    st.sampled_from(KINDS), st.booleans(), st.booleans(),
)  # fmt: skip
def test_a_layer_and_what_follows_it_are_the_usual_ones(
    rows: list[int], width: int, out: int, dtype: torch.dtype, activation: str, bias: bool, apart: bool
) -> None:
    torch.manual_seed(width + 100 * out)
    layer = Linear(width, out, bias, dtype=dtype)
    x = torch.randn(*rows, width + 3, dtype=dtype)[..., 3:] if apart else torch.randn(*rows, width, dtype=dtype)
    with torch.no_grad():
        close(through(layer, x, activation), plainly(layer, x, activation))
        assert torch.equal(through(layer, x), layer(x))


@large
@pytest.mark.parametrize("activation", KINDS)
def test_with_gradients_they_are_the_usual_ones_to_the_last_bit(activation: str) -> None:
    layer, one, many = Linear(300, 64), torch.randn(1, 300), torch.randn(50, 300)
    assert torch.equal(times(one, layer.weight), F.linear(one, layer.weight))
    assert torch.equal(through(layer, many, activation), plainly(layer, many, activation))
    ours, theirs = (torch.autograd.grad(f(layer, many, activation).sum(), layer.weight)[0] for f in (through, plainly))
    assert torch.equal(ours, theirs)


def test_a_hook_on_a_layer_is_heard() -> None:
    layer, x = Linear(6, 4), torch.randn(3, 6)
    with torch.no_grad():
        plain = through(layer, x)
        layer.register_forward_hook(lambda module, inputs, value: value.add(1))
        close(through(layer, x), plain + 1)


def test_what_was_put_in_the_place_of_a_layer_s_forward_is_called() -> None:
    """As accelerate does it."""
    layer, x = Linear(6, 4), torch.randn(3, 6)
    with torch.no_grad():
        plain, forward = through(layer, x), layer.forward
        layer.forward = lambda input: forward(input) + 1
        close(through(layer, x), plain + 1)


def test_a_layer_of_another_kind_does_its_own_work() -> None:
    class Doubled(Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    layer, x = Doubled(6, 4), torch.randn(3, 6)
    with torch.no_grad():
        assert torch.equal(through(layer, x, "relu"), layer(x).relu())


@large
@pytest.mark.parametrize("rows", [1, 3])
def test_small_matrices_and_a_pass_in_fewer_bits_have_the_usual_product_to_the_last_bit(rows: int) -> None:
    x, weight = torch.randn(rows, 300), torch.randn(64, 300)
    with torch.no_grad():
        with mock.patch.object(product, "LARGE", weight.numel() + 1):
            assert torch.equal(times(x, weight), F.linear(x, weight))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(times(x, weight), F.linear(x, weight))
            assert times(x, weight).dtype == torch.bfloat16


@large
@pytest.mark.skipif(not product.X86, reason="oneDNN's product is taken on x86 only")
def test_the_products_named_are_the_ones_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all tests here would compare PyTorch's product with itself."""
    x, layer = torch.randn(3, 300), Linear(300, 64, bias=False)
    assert taken(lambda: layer(x)) == taken(lambda: through(layer, x, "silu")) == {"_linear_pointwise"}
    assert "bmm" in taken(lambda: layer(x[:1]))
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert taken(lambda: layer(x)) == {"mm"}


def test_the_scores_of_a_text_s_last_tokens_take_no_copy_of_the_table() -> None:
    """PyTorch makes one for a part of a text, which does not lie in one piece."""
    qwen, text = small(MOE), torch.randn(2, 9, small(MOE).config.text.hidden_size, dtype=torch.bfloat16)
    qwen.model.bfloat16()
    with torch.no_grad():
        close(qwen.model.head(text[:, -2:]), qwen.model.head(text)[:, -2:])
    assert taken(lambda: qwen.model.head(text[:1, -2:])) == {"mm"}


@pytest.mark.parametrize("shape", [(0,), (1, 0), (2, 3), ()])
def test_there_are_scores_for_any_number_of_tokens(shape: tuple[int, ...]) -> None:
    qwen = small(MOE)
    text = qwen.config.text
    found = qwen.model.head(torch.zeros(*shape, text.hidden_size))
    assert found.shape == (*shape, text.vocab_size)


@large
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # PyTorch says it of itself
@pytest.mark.parametrize("rows", [1, 3])
def test_a_derivative_without_a_graph_is_taken(rows: int) -> None:
    weight, x, along = torch.randn(64, 300), torch.randn(rows, 300), torch.randn(rows, 300)
    with torch.no_grad(), forward_ad.dual_level():
        _, change = forward_ad.unpack_dual(times(forward_ad.make_dual(x, along), weight))
    close(change, along @ weight.T)


@large
@pytest.mark.parametrize("rows", [1, 2])
def test_a_wrong_width_is_said_in_pytorch_s_words(rows: int) -> None:
    with torch.no_grad(), pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        times(torch.randn(rows, 300), torch.randn(64, 600))


def taken(work: Callable[[], object]) -> set[str]:
    return set(count_operators(work).operators)
