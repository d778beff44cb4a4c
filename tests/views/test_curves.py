"""Curves over a dial: what is drawn is what was passed, and captions say what can be computed from it."""

import json
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import qwen35_lab as lab
from qwen35_lab.analysis.parity import ParityLedger, Row
from qwen35_lab.training import History
from qwen35_lab.views import cost_curves, crossings, dial_curve, parity_chart, training_curves

FROM = "TINY · made for a test"
X = [256.0 * 2**n for n in range(8)]


@given(st.floats(0.1, 9), st.floats(1, 1e6))
def test_a_line_and_a_constant_meet_where_they_must(slope, constant):
    assume(abs(constant / slope - 1) > 1e-6)
    x = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e8]
    ((where, height),) = crossings(x, [slope * n for n in x], [constant] * len(x), log=True) or [(None, None)]
    if x[0] * slope < constant < x[-1] * slope:
        assert where == pytest.approx(constant / slope) and height == pytest.approx(constant)
    else:
        assert where is None


def test_a_crossing_on_a_place_counts_once_and_parallel_curves_never_meet():
    assert crossings([0, 1, 2], [0, 1, 2], [2, 1, 0]) == [(1, 1)]
    assert crossings([0, 1], [0, 1], [1, 2]) == [] == crossings([0, 1], [0, 1], [0, 1])
    assert crossings([0, 1, 2], [0, 1, 2], [1, 2, 2]) == [(2, 2)]


def test_costs_are_drawn_in_different_colours_dashes_and_symbols_with_their_crossing():
    line, flat = [3 * x for x in X], [9000.0] * len(X)
    figure = cost_curves(X, {"grows": line, "flat": flat}, provenance=FROM, x_name="Tokens", unit="bytes")
    grows, constant, ring = figure.data
    assert list(grows.y) == line and list(constant.y) == flat
    for look in ("line.color", "line.dash", "marker.symbol"):
        assert grows[look] != constant[look]
    assert ring.x[0] == pytest.approx(3000) and "Grows and flat meet at 3,000" in figure.caption()
    assert (
        figure.layout.xaxis.type == figure.layout.yaxis.type == "log" and "log scale" in figure.layout.yaxis.title.text
    )


def test_curves_that_never_meet_have_no_ring():
    figure = cost_curves([1, 2], {"a": [1, 2], "b": [3, 4]}, provenance=FROM, x_name="n", unit="s", log=False)
    assert len(figure.data) == 2 and "No two curves cross" in figure.caption()


@pytest.mark.parametrize(
    "x, curves",
    [([1], {"a": [1]}), ([1, 2], {}), ([1, 2], {"a": [1]}), ([0, 1], {"a": [1, 2]}), ([1, 2], {"a": [1, 0]})],
)
def test_costs_that_cannot_be_drawn_are_refused_with_a_remedy(x, curves):
    with pytest.raises(lab.InputError, match=r"[Pp]ass"):
        cost_curves(x, curves, provenance=FROM, x_name="n", unit="s")


def test_a_dial_curve_shows_mean_range_and_every_seed():
    values = torch.tensor([[0.1, 0.5, 0.9], [0.3, 0.7, 1.0]])
    figure = dial_curve([0, 0.5, 1], {"model": values}, provenance=FROM, x_name="λ", chance=0.0625)
    band, mean, seeds = figure.data
    torch.testing.assert_close(torch.tensor(mean.y), values.mean(0))
    torch.testing.assert_close(torch.tensor(seeds.y).view(2, 3), values)
    torch.testing.assert_close(torch.tensor(band.y[:3]), values.amax(0))
    torch.testing.assert_close(torch.tensor(band.y[3:]), values.amin(0).flip(0))
    assert "20.0% at 0, 95.0% at 1" in figure.caption() and "2 seeds at most 20.0% apart" in figure.caption()
    assert "Guessing: 6.2%" in figure.caption()
    with pytest.raises(lab.InputError, match="Pass curves"):
        dial_curve([0, 1], {"model": values}, provenance=FROM, x_name="λ")


def history(steps: int = 100) -> History:
    losses = [math.exp(-n / 30) for n in range(steps)]
    return History(losses, [(n, n / steps) for n in range(25, steps + 1, 25)], 12.0, 12.0, "finished")


def test_training_shows_loss_and_accuracy_of_every_run():
    figure = training_curves([history(), history(200)], provenance=FROM)
    assert [len(line.x) for line in figure.data] == [100, 4, 200, 8]
    assert "run 0: 100 steps in 12 s" in figure.caption() and "accuracy 100.0%" in figure.caption()
    assert figure.layout.yaxis.type == "log"
    alone = training_curves(History([2.0, 1.0], ended="finished"), provenance=FROM)
    assert len(alone.data) == 1 and "accuracy" not in alone.caption()


def test_the_smoothed_loss_keeps_the_mean_of_its_window():
    figure = training_curves(History([float(n) for n in range(1, 101)]), provenance=FROM)
    smooth = figure.data[0].y
    assert smooth[0] == 1 and smooth[-1] == 99.5  # windows of two steps


def test_a_training_without_steps_is_refused():
    with pytest.raises(lab.InputError, match="train first"):
        training_curves(History(), provenance=FROM)


def test_the_parity_chart_has_a_point_for_every_row_and_says_which_is_worst():
    rows = (
        Row("embedding", "transformers", 0.0, 1.0, 1e-4),
        Row("logits", "transformers", 2e-6, 2.0, 1e-4),
        Row("cache", "one full pass", 3e-3, 1.0, 1e-4),
    )
    figure = parity_chart(ParityLedger(rows, FROM, 7, "5.0"))
    drawn = {
        y: (x, symbol) for line in figure.data for x, y, symbol in zip(line.x, line.y, line.marker.symbol, strict=True)
    }
    assert drawn["logits"] == (1e-6, "circle") and drawn["cache"][1] == "x"
    assert drawn["embedding"][1] == "circle-open" and drawn["embedding"][0] < 1e-6
    assert "1 of 3 rows differ" in figure.caption() and "3.0e-03, is at “cache”" in figure.caption()
    assert json.loads(figure.to_json())["layout"]["shapes"][0]["x0"] == 1e-4


def test_the_parity_chart_names_few_enough_decades_for_a_narrow_page():
    for least in (1e-5, 1e-9, 1e-16):
        rows = (Row("a", "b", least, 1.0, 1e-4), Row("c", "b", 2e-5, 1.0, 1e-4))
        axis = parity_chart(ParityLedger(rows, FROM, 7, "5.0")).layout.xaxis
        decades = math.log10(1e-4 / (least / 3))
        assert axis.dtick == int(axis.dtick) and decades / axis.dtick <= 4
