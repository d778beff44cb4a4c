"""Fits recover powers, their errors are as large as the noise, and mixes are sums of what was measured."""

import math
import statistics

import pytest
import torch
from small import DENSE

import qwen35_lab as lab
from qwen35_lab.analysis import LayerTimes, fit_power, time_layers

SIZES = [256, 512, 1024, 2048]


def times(exponents=(1.0, 2.0), noise=0.0, repeats=3) -> LayerTimes:
    draw = torch.Generator().manual_seed(0)
    clean = torch.tensor([[(n / 256) ** e for n in SIZES] for e in exponents], dtype=torch.float64)[:, None]
    wobble = noise * torch.randn(2, repeats, len(SIZES), generator=draw, dtype=torch.float64)
    return LayerTimes(tuple(SIZES), clean.repeat(1, repeats, 1) * wobble.exp(), clean[:, 0], "RANDOM · x")


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7, 2.0])
def test_a_power_is_found_again(exponent):
    fit = fit_power(SIZES, [3e-4 * n**exponent for n in SIZES])
    assert fit.exponent == pytest.approx(exponent) and fit.scale == pytest.approx(3e-4)
    assert fit.error == pytest.approx(0, abs=1e-6) and fit.doubling == pytest.approx(2**exponent)


def test_the_error_is_what_fits_to_other_noise_differ_by():
    draw = torch.Generator().manual_seed(1)
    fits = []
    for _ in range(400):
        wobble = (0.1 * torch.randn(12, generator=draw, dtype=torch.float64)).exp().tolist()
        fits.append(fit_power(SIZES * 3, [n**1.5 * w for n, w in zip(SIZES * 3, wobble, strict=True)]))
    spread, said = statistics.stdev(f.exponent for f in fits), statistics.fmean(f.error for f in fits)
    assert said == pytest.approx(spread, rel=0.15)
    inside = sum(abs(f.exponent - 1.5) < 2 * f.error for f in fits) / len(fits)
    assert 0.88 < inside < 0.98


def test_a_mix_is_the_sum_of_its_layers():
    found = times()
    assert found.median((1, 0)) == [1, 2, 4, 8] and found.median((0, 1)) == [1, 4, 16, 64]
    assert found.median("3 : 1") == found.median((3, 1)) == [4, 10, 28, 88]
    assert found.median("all attention") == found.median((0, 1))
    assert found.fit((1, 0)).exponent == pytest.approx(1) and found.fit("all attention").exponent == pytest.approx(2)
    assert 1 < found.fit("3 : 1").exponent < found.fit("3 : 1", shortest=1024).exponent < 2


def test_doubling_has_its_band():
    middle, low, high = times(noise=0.2).doubling((1, 0), 512)
    assert low < middle < high
    assert times().doubling((0, 1), 1024) == pytest.approx((4, 4, 4))


def test_the_work_doubles_however_the_clock_runs():
    found = times(noise=0.5)
    assert [found.work_doubling(mix, 512) for mix in ((1, 0), (0, 1))] == [2, 4]
    assert found.work_doubling("3 : 1", 512) == 28 / 10


def test_real_layers_are_timed_in_every_repeat():
    found = time_layers(lab.ModelConfig.from_dict(DENSE), (64, 128, 256), repeats=2)
    assert found.seconds.shape == (2, 2, 3) and bool((found.seconds >= 0).all())
    assert found.work_doubling("all DeltaNet", 64) == 2 < found.work_doubling("all attention", 64)
    assert found.provenance.startswith("RANDOM")


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: fit_power([1, 2], [1, 2]), "at least three"),
        (lambda: fit_power([2, 2, 2], [1, 2, 3]), "two sizes"),
        (lambda: fit_power([1, 2, 3], [1, 0, 3]), "not above zero"),
        (lambda: times().of("2 : 1"), "There is no mix '2 : 1'"),
        (lambda: times().doubling((1, 0), 300), "not both measured"),
        (lambda: times().doubling((1, 0), 2048), "not both measured"),
        (lambda: times().work_doubling((1, 0), 2048), "not both measured"),
        (lambda: time_layers("0.8B", ()), "no length to time"),
        (lambda: time_layers("0.8B", (0,)), "a number of tokens is 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, said):
    with pytest.raises(lab.InputError, match=said):
        call()


def test_a_fit_reads_as_a_sentence():
    assert repr(fit_power(SIZES, [n**2 for n in SIZES])) == "Fit(tokens^2.00 ± 0.00, ×4.00 when doubled)"
    assert math.isfinite(fit_power(SIZES, [n for n in SIZES]).error)
