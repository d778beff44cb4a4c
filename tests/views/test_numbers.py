"""The decks about number formats and the charts about rounding: what they show is what was computed."""

import json

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis.rounding import Harm
from qwen35_lab.formats import round_to

FOUND = [
    Harm("experts", "int8", 900, 3600, 910.0, 0.01, 1e-3, 0.0, True),
    Harm("norms", "int8", 100, 400, 110.0, 0.01, 2e-2, 0.1, False),
    Harm("experts", "int4", 900, 3600, 460.0, 0.1, 3e-2, 0.2, True),
    Harm("norms", "int4", 100, 400, 60.0, 0.1, 0.0, 0.1, False),
]  # fmt: skip


def test_the_bits_of_a_number_under_their_columns():
    deck = lab.views.number_deck([0.5, 3.5], start=3.5)
    bits, bars, curves = deck.panels()
    e4m3 = bits.values[1][2].tolist()  # sign, 8 exponent bits, 10 fraction bits
    assert [n for n in e4m3 if n == n] == [0, 1, 0, 0, 0, 1, 1, 0], "0 1000 110"
    assert [n == n for n in e4m3] == [True, *[False] * 4, *[True] * 7, *[False] * 7]
    assert "3.5 is 3.5 in bf16" in deck.caption() and "4 in int8" in deck.caption()
    assert bars.series["error"][1].tolist() == pytest.approx([0, 0, 0, 0, 100 / 7, 100 / 7])
    assert deck.places() == {"number": 1} and set(curves.series) == {"e4m3", "e5m2", "int8", "int4"}
    assert deck.alt() and deck.static()[:4] == b"\x89PNG"


def test_the_notes_name_the_rounded_number():
    deck = lab.views.number_deck([1.3], ("e4m3",))
    assert f"e4m3 {float(round_to(torch.tensor(1.3), 'e4m3')):g}" in json.loads(deck.payload)["dials"][0]["notes"][0]


def test_numbers_that_cannot_be_shown():
    for numbers, formats in (((), ("e4m3",)), ((1.0,), ()), ((1.0,), ("fp32",))):
        with pytest.raises(lab.InputError, match="at least one number, and formats of up to 16 bits"):
            lab.views.number_deck(numbers, formats)


def test_the_scale_deck_shows_what_was_measured():
    found = lab.analysis.spoilt_by_outliers(("int8", "int4"), (1, 100), ("tensor", "group"), lab.analysis.tile(64, 1))
    deck = lab.views.scale_deck(found)
    off, sizes, bars, curves = deck.panels()
    assert torch.equal(torch.as_tensor(off.values), found.off)
    assert sizes.series["before"].shape == sizes.series["after"].shape == (2, 2, 2, 10)
    assert bars.series["error"].shape == (2, 2, 2)
    assert float(curves.series["tensor"][0, 1]) == pytest.approx(100 * float(found.output[0, 0, 1]))
    assert f"{100 * float(found.output[0, 0, 1]):.3g} %" in deck.caption()
    for places in ({"format": 1}, {"one scale for": 0}, {"outliers ×": 0}):
        deck.choose(places)
        assert deck.static()[:4] == b"\x89PNG"


def test_harm_by_kind_says_which_is_worst_and_which_are_official():
    figure = lab.views.harm_chart(FOUND, provenance="TINY · x")
    assert "int8: norms, 0.02 nats; int4: experts, 0.03 nats" in figure.caption()
    assert list(figure.data[0].y) == ["norms · 10.0%", "experts · 90.0% ◆"]
    assert figure.data[1].x[0] == pytest.approx(1e-9) and "edge: 1 of less than 1e-09 nats" in figure.caption()
    with pytest.raises(lab.InputError, match="nothing to draw"):
        lab.views.harm_chart([], provenance="TINY · x")


def test_fading_and_half_lives():
    figure = lab.views.fading_chart(lab.analysis.fading(lab.analysis.random_decays(300)))
    assert "α rounded to bf16 1" in figure.caption() and figure.data[0].x[-1] == 300
    chart = lab.views.half_life_chart(lives=[10, 1_000])
    assert "1 of 2 heads would lose it in bf16, and 0 of 2 heads would lose it in fp16" in chart.caption()
    bf16 = chart.data[1]
    assert bf16.y[-1] is None and bf16.y[0] == pytest.approx(1)


def test_weights_as_a_share_of_bf16():
    config = lab.load_config("Qwen3.5-0.8B")
    rows = [lab.analysis.weigh(config, dtype) for dtype in ("bfloat16", "int4")]
    figure = lab.views.weight_chart({"0.8B": rows})
    assert figure.data[0].y[0] == 1 and figure.data[1].y[0] == rows[1].bytes / rows[0].bytes
    assert "0.8B bfloat16 1.75" in figure.caption()
