"""Heads as a deck, clocks and distances as charts: what is drawn is what was measured, and captions say it."""

import json

import pytest
import torch
from small import DENSE, IDS, small

import qwen35_lab as lab
from qwen35_lab.analysis import head_statistics
from qwen35_lab.analysis.clocks import mean_logit, rope_spectrum
from qwen35_lab.views import distance_curves, heads_deck, spectrum_chart
from qwen35_lab.views.heads import passing

RECORD = ["*", "layers.*.mixer.weights"]


@pytest.fixture(scope="module")
def trace():
    kinds = ["linear_attention", "full_attention", "linear_attention", "full_attention"]
    return small(DENSE, layer_types=kinds).trace(IDS, RECORD)


# ------------------------------------------------------------------------- heads


def test_every_head_of_every_attention_layer_is_on_the_dial(trace):
    deck = heads_deck(trace)
    (dial,) = json.loads(deck.payload)["dials"]
    assert dial["labels"] == [f"{layer} F, head {h}" for layer in (1, 3) for h in range(4)]
    heat, curve, held, sink = deck.panels()
    found = [head_statistics(trace, n) for n in (1, 3)]
    assert heat.values.shape == (8, len(IDS), len(IDS))
    torch.testing.assert_close(heat.values[4:], trace["layers.3.mixer.weights"])
    torch.testing.assert_close(held.series["share"], torch.cat([each.suppressed for each in found]))
    torch.testing.assert_close(sink.series["weight"], torch.cat([each.sink for each in found]))
    assert deck.at[0] == int(held.series["share"].argmax())
    assert f"{float(held.series['share'].max()):.0%} of what {dial['labels'][deck.at[0]]} finds" in deck.caption()
    assert "nats" in dial["notes"][0] and curve.series["share"].shape == (8, len(IDS))


def test_what_passes_is_a_share_and_all_of_it_through_an_open_gate(trace):
    assert (passing(trace, 3) > 0).all() and (passing(trace, 3) < 1).all()
    edit = lab.edit("layers.3.mixer.gate").set(1)
    torch.testing.assert_close(passing(small().trace(IDS, RECORD, edits=[edit]), 3), torch.ones(4, len(IDS)))


def test_one_layer_can_be_chosen_and_none_is_refused(trace):
    assert len(json.loads(heads_deck(trace, layers=[3], start=2).payload)["dials"][0]["labels"]) == 4
    assert heads_deck(trace, layers=[3], start=2).at == [2]
    for layers in ([], [0]):
        with pytest.raises(lab.InputError):
            heads_deck(trace, layers=layers)
    with pytest.raises(lab.InputError, match="weights"):
        heads_deck(small().trace(IDS))


def test_a_long_text_is_refused_before_it_is_drawn(trace, monkeypatch):
    monkeypatch.setattr("qwen35_lab.views.heads.CELLS", 100)
    with pytest.raises(lab.InputError, match="fewer layers"):
        heads_deck(trace)


# ------------------------------------------------------------------------- clocks and distances


def test_the_spectrum_shows_every_clock_twice():
    found = rope_spectrum(lab.load_config("4B"), 4)
    figure = spectrum_chart(found, provenance="PUBLISHED · config", name="4B")
    before, *after = figure.data
    assert list(before.y) == pytest.approx(found.wavelength.tolist())
    assert [len(trace.x) for trace in after] == [15, 7, 10]
    assert list(after[2].y) == pytest.approx((4 * found.wavelength[22:]).tolist())
    assert figure.caption() == (
        "4B: 10 of 32 clocks need more than 262,144 positions for a turn. YaRN by 4 leaves 15 alone, blends 7, and "
        "divides the speed of 10 by 4."
    )
    assert "(divided)" in figure.alt() and len({trace.marker.symbol for trace in after}) == 3


def test_a_curve_for_every_head_and_their_ends_in_the_caption(trace):
    qwen, places = small(), [0, 4, 8]
    logits = mean_logit(trace, 3, qwen.config.text, places, qwen.config.text.rope)
    figure = distance_curves(places, logits, provenance=trace.provenance)
    assert [list(curve.y) for curve in figure.data] == [pytest.approx(row) for row in logits.tolist()]
    change = logits[:, -1] - logits[:, 0]
    assert f"in head {int(change.argmin())} to" in figure.caption() and "From distance 0 to 8" in figure.caption()
    assert len({(c.line.color, c.line.dash, c.marker.symbol) for c in figure.data}) == 4
    many = distance_curves(places, torch.randn(8, 3), provenance="RANDOM")
    assert len({(c.line.color, c.marker.symbol) for c in many.data}) == 8


def test_scores_that_do_not_fit_the_distances_are_refused():
    for logits in (torch.zeros(2, 4), torch.zeros(3), torch.zeros(0, 3)):
        with pytest.raises(lab.InputError, match=r"pass \[head, 3\]"):
            distance_curves([1, 2, 3], logits, provenance="RANDOM")
