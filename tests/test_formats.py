"""Number formats: every number of every grid, and rounding, against PyTorch's own types and by enumeration."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import qwen35_lab as lab
from qwen35_lab.formats import FORMATS, bits, find_format, grid, round_to, step

FLOATS = ["bf16", "fp16", "e4m3", "e5m2"]
SMALL = ["e4m3", "e5m2", "int8", "int4"]


def patterns(name: str) -> torch.Tensor:
    """All bit patterns of PyTorch's own type, as the numbers they stand for."""
    fmt = FORMATS[name]
    whole = torch.arange(2**fmt.bits, dtype=torch.int32)
    raw = whole.to(torch.uint8) if fmt.bits == 8 else whole.to(torch.int16)
    return raw.view(fmt.dtype).double()


@pytest.mark.parametrize("name", FLOATS)
def test_a_grid_holds_what_the_bit_patterns_stand_for(name):
    found = patterns(name)
    assert torch.equal(grid(name), found[found.isfinite()].unique())


@pytest.mark.parametrize("name, largest, smallest, count", [
    ("e4m3", 448, 2**-9, 253), ("e5m2", 57_344, 2**-16, 247), ("int8", 127, 1, 255), ("int4", 7, 1, 15),
])  # fmt: skip
def test_the_ends_of_the_small_formats(name, largest, smallest, count):
    numbers = grid(name)
    assert (numbers[-1], len(numbers), FORMATS[name].smallest) == (largest, count, smallest)
    assert torch.equal(numbers, -numbers.flip(0)) and numbers[numbers > 0][0] == smallest


@pytest.mark.parametrize("name", FLOATS)
def test_rounding_is_pytorchs_conversion(name):
    fmt = FORMATS[name]
    draw = torch.Generator().manual_seed(0)
    wide = torch.randn(20_000, generator=draw).double() * torch.logspace(-12, 5, 20_000, dtype=torch.float64)
    x = torch.cat((wide, grid(name)[::7], torch.tensor([0.0, fmt.smallest / 2, 1.5 * fmt.smallest]).double()))
    x = x.clamp(-fmt.largest, fmt.largest).float()
    assert torch.equal(round_to(x, name), x.to(fmt.dtype).float())


@pytest.mark.parametrize("name", SMALL)
def test_ties_go_to_the_even_neighbour(name):
    """Halfway between two neighbours, the one whose last bit is 0."""
    numbers = grid(name)
    numbers = numbers[numbers >= 0]
    middle = (numbers[1:] + numbers[:-1]) / 2
    even = torch.where(torch.arange(len(middle)) % 2 == 0, numbers[:-1], numbers[1:])
    assert torch.equal(round_to(middle, name), even)
    assert torch.equal(round_to(-middle, name), -even)


@given(st.floats(-600, 600), st.sampled_from(SMALL))
def test_nothing_on_the_grid_is_nearer(x, name):
    numbers = grid(name)
    found = float(round_to(torch.tensor(x, dtype=torch.float64), name))
    assert found in numbers.tolist()
    clamped = max(-FORMATS[name].largest, min(FORMATS[name].largest, x))
    assert abs(found - clamped) == (numbers - clamped).abs().min()


@pytest.mark.parametrize("name", SMALL)
def test_the_step_is_the_distance_to_the_next_number(name):
    numbers = grid(name)
    numbers = numbers[numbers >= 0]
    assert torch.equal(step(numbers[:-1], name), numbers.diff())


def test_what_does_not_fit():
    x = torch.tensor([1e9, -1e9, float("inf"), float("nan"), 0.0])
    assert round_to(x, "e4m3")[:3].tolist() == [448, -448, 448]
    assert round_to(x, "int4")[:2].tolist() == [7, -7], "two's complement has -8, quantisers keep the balance"
    assert round_to(x, "e4m3")[3].isnan() and round_to(x, "int4")[4] == 0
    assert round_to(x.bfloat16(), "int8").dtype == torch.bfloat16


@pytest.mark.parametrize("name", SMALL)
def test_bits_are_the_pattern_of_the_number(name):
    fmt = FORMATS[name]
    for x in grid(name).tolist():
        pattern = int(bits(x, name).replace(" ", ""), 2)
        if fmt.exponent_bits:
            value = float(torch.tensor([pattern], dtype=torch.uint8).view(fmt.dtype).double())
        else:
            value = pattern - 2**fmt.bits if pattern >= 2 ** (fmt.bits - 1) else pattern
        assert value == x


def test_bits_of_a_wide_format():
    assert bits(1.0, "bf16") == "0 01111111 0000000"
    assert bits(3.5, "e4m3") == "0 1000 110"
    assert bits(-3.4, "int4") == "1101"


def test_an_unknown_format_and_one_too_long_to_list():
    with pytest.raises(lab.InputError, match="no number format 'fp4'; use fp32"):
        find_format("fp4")
    with pytest.raises(lab.InputError, match="fp32 has too many numbers"):
        grid("fp32")
