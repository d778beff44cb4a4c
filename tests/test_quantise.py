"""Scales: their shapes, the bound of the error, and what they cost."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import qwen35_lab as lab
from qwen35_lab.formats import FORMATS, grid
from qwen35_lab.quantise import SHARED_BY, block_of, quantise, rounded, scale_shape


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5),
    st.sampled_from(["e4m3", "e5m2", "int8", "int4"]), st.integers(0, 99),
)  # fmt: skip
def test_every_weight_is_within_half_a_step_of_its_own_block(rows, columns, down, across, name, seed):
    """A loop over blocks, written apart from the code under test."""
    w, fmt = matrix(rows, columns, seed), FORMATS[name]
    found = quantise(w, name, (down, across))
    back, numbers = found.dequantise(), grid(name)
    assert found.scale.shape == (-(-rows // min(down, rows)), -(-columns // min(across, columns)))
    for i in range(rows):
        for j in range(columns):
            a, b = i // min(down, rows), j // min(across, columns)
            block = w[a * down : (a + 1) * down, b * across : (b + 1) * across]
            scale = block.abs().max().double() / fmt.largest
            assert found.scale[a, b] == pytest.approx(float(scale), rel=1e-6)
            nearest = (numbers * scale - w[i, j].double()).abs().min()
            assert abs(back[i, j].double() - w[i, j].double()) <= nearest + 1e-6 * block.abs().max()


@pytest.mark.parametrize(
    "shared_by, shape", [("tensor", (1, 1)), ("channel", (200, 1)), ("block", (2, 3)), ("group", (200, 3))]
)
def test_how_many_scales_there_are(shared_by, shape):
    found = quantise(matrix(200, 300), "e4m3", shared_by)
    assert tuple(found.scale.shape) == shape == scale_shape((200, 300), found.block)


def test_a_stack_of_matrices_is_each_of_them():
    stack = torch.stack([matrix(70, 40, seed) for seed in range(3)])
    found = quantise(stack, "int8", (32, 16))
    for n in range(3):
        alone = quantise(stack[n], "int8", (32, 16))
        assert torch.equal(found.codes[n], alone.codes) and torch.equal(found.scale[n], alone.scale)


def test_zeros_stay_zeros_and_the_largest_stays_itself():
    w = torch.zeros(4, 4)
    assert torch.equal(rounded(w, "int4"), w)
    w[1, 2] = -3.25
    assert torch.equal(rounded(w, "e4m3"), w)


def test_what_it_weighs():
    found = quantise(matrix(256, 256), "int4", "group")
    assert found.bytes == 256 * 256 / 2 + 4 * 256 * 2
    assert found.bits == 4 + 32 / 128


@pytest.mark.parametrize("name", ["e4m3", "int8", "int4"])
def test_smaller_blocks_do_not_hurt_and_help_against_outliers(name):
    plain, spiked = matrix(256, 256), matrix(256, 256)
    spiked[::61, ::59] *= 200
    for w in (plain, spiked):
        whole, group = ((rounded(w, name, by) - w).norm() for by in ("tensor", "group"))
        assert group <= 1.001 * whole
    ratio = (rounded(spiked, name, "group") - spiked).norm() / (rounded(spiked, name, "tensor") - spiked).norm()
    assert ratio < 0.7


def test_bfloat16_weights_are_scaled_in_float32_and_come_back_as_they_were():
    w = matrix(64, 64).bfloat16()
    assert quantise(w, "e4m3").scale.dtype == torch.float32
    assert rounded(w, "e4m3").dtype == torch.bfloat16


def test_what_cannot_be_scaled():
    w = matrix(4, 4)
    for bad, words in ((("row"), "Nothing shares a scale by 'row'"), ((0, 4), "A block of 0 × 4 holds nothing")):
        with pytest.raises(lab.InputError, match=words):
            quantise(w, "e4m3", bad)
    with pytest.raises(lab.InputError, match="NaN or infinity"):
        quantise(torch.full((2, 2), torch.nan), "e4m3")
    with pytest.raises(lab.InputError, match="has no rows and columns"):
        quantise(torch.ones(3), "e4m3")
    assert block_of("block", (7, 300)) == (7, 128) and set(SHARED_BY) == {"tensor", "channel", "block", "group"}
