"""The chart of experts kept in memory: what is drawn is what was passed."""

import pytest
import torch

from qwen35_lab.views import expert_budget_chart


def test_lines_and_marks_are_the_numbers_that_were_passed():
    rates = torch.tensor([0.0, 0.1, 0.5, 0.8])
    figure = expert_budget_chart(
        rates, {1: (0.0, 2_000_000), 3: (0.5, 6_000_000)}, asked=2, rest=1_000_000, provenance="TINY · x"
    )
    rate_line, megabytes, rate_marks, counted = figure.data
    assert list(rate_line.x) == list(megabytes.x) == [1, 2, 3, 4]
    assert list(rate_line.y) == pytest.approx(rates.tolist()) and list(megabytes.y) == [3, 5, 7, 9]
    assert list(rate_marks.x) == list(counted.x) == [1, 3]
    assert list(rate_marks.y) == [0, 0.5] and list(counted.y) == [3, 7]
    assert "room for 2 experts" in figure.caption() and "10% are in memory" in figure.caption()
    assert "with room for all 4, 80%" in figure.caption() and "5.0 and 9.0 MB" in figure.caption()
    assert "3: 50% there, 7.00 MB" in figure.alt()
