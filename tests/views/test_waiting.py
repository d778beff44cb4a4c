"""The chart of arrivals says what the clocks say."""

import pytest

import qwen35_lab as lab
from qwen35_lab.serving import Clock
from qwen35_lab.views import arrival_chart


def test_lines_diamonds_and_caption_are_the_clocks():
    figure = arrival_chart({"a": Clock(arrivals=[0.5, 0.75, 1.5]), "b": Clock(arrivals=[0.1])}, provenance="TINY · x")
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [list(trace.x) for trace in lines] == [[0.5, 0.75, 1.5], [0.1]] and list(lines[0].y) == [1, 2, 3]
    assert "a: the first of 3 pieces after 0.5 s, then 2 pieces a second; b: the first of 1" in figure.caption()
    assert figure.layout.xaxis.title.text.startswith("seconds") and figure.alt() and figure.provenance() == "TINY · x"


@pytest.mark.parametrize("clocks", [{}, {"a": Clock()}])
def test_nothing_to_draw(clocks):
    with pytest.raises(lab.InputError, match="something came"):
        arrival_chart(clocks, provenance="TINY · x")
