"""The chart of layer times: every repeat a point, fits as lines, predictions beside them."""

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import LayerTimes
from qwen35_lab.config import FULL, LINEAR
from qwen35_lab.views import layer_times

TOKENS = (64, 128, 256)
SECONDS = torch.tensor([[[1, 2, 4], [1.1, 2, 4.4]], [[1, 4, 16], [1, 4, 16]]], dtype=torch.float64)
TIMES = LayerTimes(TOKENS, SECONDS, SECONDS[:, 0], "RANDOM · one layer")


def test_every_repeat_is_a_point_and_every_kind_has_its_line():
    figure = layer_times(TIMES)
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert [list(trace.y) for trace in points] == [SECONDS[0].flatten().tolist(), SECONDS[1].flatten().tolist()]
    assert list(points[0].x) == [*TOKENS, *TOKENS]
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert list(lines[1].y) == pytest.approx([1, 4, 16])
    assert len({trace.marker.symbol for trace in points}) == 2, "not by colour alone"
    assert "gated attention grows as tokens^2.00 ± 0.00" in figure.caption() and "predict" not in figure.caption()
    assert "4 s at 128" in figure.alt() and figure.provenance() == TIMES.provenance


def test_predictions_are_dashed_and_compared():
    figure = layer_times(TIMES, {LINEAR: [2.1, 4, 8.4], FULL: [1, 4, 8]})
    dashed = [trace for trace in figure.data if trace.line.dash == "dash"]
    assert [list(trace.y) for trace in dashed] == [[2.1, 4, 8.4], [1, 4, 8]]
    assert "0.50 to 2.10 times what was measured" in figure.caption()


def test_a_prediction_for_other_lengths_is_refused():
    with pytest.raises(lab.InputError, match="each of the 3 lengths"):
        layer_times(TIMES, {LINEAR: [1, 2]})
