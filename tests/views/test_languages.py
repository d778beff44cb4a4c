"""Charts of savings and rows draw the numbers that they are given, and say them."""

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import Overlap, fertility, table_cost
from qwen35_lab.inputs import Vocabulary
from qwen35_lab.views import language_chart, rows_chart, savings_chart, table_chart
from qwen35_lab.views.languages import NONE, percent

SIZES = {"α": 100, "a": 100, "b": 100, "c": 100, "ש": 100}
NEW = {"α": 40, "a": 95, "b": 80, "c": 100, "ש": 130}


def sizes(name: str, counts: dict[str, int]) -> Vocabulary:
    return Vocabulary(name, {}, {}, ".", lambda text: [0] * counts[text])


OLD_ONE, NEW_ONE = sizes("Old", SIZES), sizes("New", NEW)
TEXTS = {"Greek": "α", "first": "a", "second": "b", "third": "c", "Hebrew": "ש"}


@pytest.fixture(scope="module")
def found():
    return fertility(TEXTS, OLD_ONE, NEW_ONE)


def test_bars_are_savings_in_order(found):
    figure = savings_chart(found, provenance="REAL · x")
    (bars,) = figure.data
    assert list(bars.y) == ["Hebrew", "third", "first", "second", "Greek"]
    assert list(bars.x) == pytest.approx([-0.3, 0, 0.05, 0.2, 0.6])
    assert list(bars.text) == ["−30%", "0%", "5%", "20%", "60%"]
    assert [bool(shape) for shape in bars.marker.pattern.shape] == [True, False, False, False, False]
    assert "fewer tokens than Old for 3 of 5 texts, as many for 1, more for 1" in figure.caption()
    assert "most in Greek, 60%, and least in Hebrew, −30%" in figure.caption()


def test_a_point_is_a_language_in_the_row_of_its_script(found):
    figure = language_chart({"lists": found, "again": found}, provenance="REAL · x", claimed=(0.1, 0.6))
    points, medians, *rest = figure.data
    assert list(points.x) == pytest.approx([0.6, 0.05, 0.2, 0, -0.3])
    assert list(figure.layout.yaxis.ticktext) == ["Hebrew, 1", "Latin, 3", "Greek, 1"]
    rows = [round(y) for y in points.y]
    assert rows == [2, 1, 1, 1, 0] and len(set(points.y) & set(rest[0].y)) == 0  # two kinds do not cover each other
    assert list(medians.x) == pytest.approx([0.05])  # only where there are three or more
    assert points.marker.symbol != rest[0].marker.symbol
    assert "2 of them between 10% and 60%, 1 need more tokens" in figure.caption()
    assert "from Greek to Hebrew" in figure.caption()
    with pytest.raises(lab.InputError, match="at least one"):
        language_chart({}, provenance="")


def test_rows_run_from_the_old_number_to_the_new_one():
    old = Vocabulary("Old", {f"a{n}".encode(): n for n in range(30)} | {f"α{n}".encode(): 30 + n for n in range(25)},
                     {}, ".", lambda text: [])  # fmt: skip
    new = Vocabulary("New", {f"a{n}".encode(): n for n in range(90)}, {}, ".", lambda text: [])
    figure = rows_chart(Overlap(old, new), provenance="REAL · x")
    before, after = figure.data[-2:]
    assert dict(zip(before.y, before.x)) == {"Greek": 25, "Latin": 30}
    assert dict(zip(after.y, after.x)) == {"Greek": NONE, "Latin": 90}
    assert "30 byte strings are in both tables, 60 are new in New and 25 of Old are gone" in figure.caption()
    assert "Fewer rows than before: Greek (25 to 0)." in figure.caption()
    assert figure.layout.xaxis.tickangle == 0 and len(figure.layout.xaxis.tickvals) <= 4  # or they lie on each other


def test_tables_are_drawn_at_their_share():
    figure = table_chart(248_077)
    drawn = {name: share for bars in figure.data for name, share in zip(bars.y, bars.x)}
    assert len(drawn) == 8
    for name, share in drawn.items():
        assert share == table_cost(lab.load_config(name), 248_077).share
    assert "29% of all parameters in Qwen3.5-0.8B" in figure.caption() and "243 of them" in figure.caption()
    shared, two = figure.data
    assert "Qwen3.5-4B" in shared.y and "Qwen3.5-9B" in two.y
    assert shared.marker.pattern.shape != two.marker.pattern.shape
    assert figure.layout.xaxis.range[1] > 1.7 * max(drawn.values())  # a narrow page cut the number behind the bar off


@pytest.mark.parametrize("share, text", [(0.5, "50%"), (-0.125, "−12%"), (-0.001, "0%"), (0.0, "0%")])
def test_a_share_is_written_with_a_real_minus_and_none_before_zero(share, text):
    assert percent(torch.tensor(share).item()) == text
