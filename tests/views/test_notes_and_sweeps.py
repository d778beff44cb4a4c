"""What a notebook notes is kept as it was measured, and drawn against what was turned."""

import json
import math

import numpy as np
import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.views import noted, notes, sweep_chart

FROM = "TINY · made for a test"
SCALARS = [(3, 3), (0.25, 0.25), (True, True), ("red", "red"), (torch.tensor(0.5), 0.5), (np.int64(7), 7),
           (torch.tensor([[2]]), 2), (np.array([1.5]), 1.5)]  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A kernel that has noted and claimed nothing."""
    monkeypatch.setattr(notes, "_notes", {})
    monkeypatch.setattr(notes.claims, "_claims", {})


@pytest.mark.parametrize("value, kept", SCALARS)
def test_a_note_is_printed_and_kept_as_a_plain_value(value, kept, capsys):
    lab.note("it", value)
    assert noted() == {"it": kept} and type(noted()["it"]) is type(kept)
    assert capsys.readouterr().out.startswith("it: ")


def test_the_last_note_of_a_name_counts(capsys):
    for value in (0.123456, 1234567):
        lab.note("it", value)
    assert noted() == {"it": 1234567}
    assert capsys.readouterr().out == "it: 0.1235\nit: 1,234,567\n"


@pytest.mark.parametrize("value", [None, [1, 2], torch.ones(3), np.ones(2), {"a": 1}, print])
def test_what_is_no_single_value_is_refused(value):
    with pytest.raises(lab.InputError, match=r"'it' is a .*; note a number, a truth value or a text"):
        lab.note("it", value)
    with pytest.raises(lab.InputError, match="needs a name"):
        lab.note(" ", 1)
    assert noted() == {}


def test_the_record_holds_claims_and_notes_and_is_strict_json(capsys):
    lab.note("square", 9.0)
    lab.note("nothing", math.nan)
    lab.claim("small", torch.tensor(0.5), below=1)
    lab.claim("everywhere", torch.ones(2), below=2)
    with pytest.raises(AssertionError):
        lab.claim("wrong turn", math.inf, below=1)

    def refuse(word):
        raise ValueError(word)

    found = json.loads(notes.record(), parse_constant=refuse)
    assert found["values"] == {"square": 9.0, "nothing": "nan"}
    assert [(claim["measured"], claim["holds"]) for claim in found["claims"]] == [
        (0.5, True), ("a tensor [2] from 1 to 1", True), ("inf", False)
    ]  # fmt: skip


# ------------------------------------------------------------------------- the figure


def test_runs_that_share_a_place_have_a_line_through_their_mean():
    figure = sweep_chart([4, 2, 2, 4], {"loss": [1, 2, 4, 5]}, x_name="size", provenance=FROM)
    line, points = figure.data
    assert list(line.x) == [2, 4] and list(line.y) == [3, 3]
    assert list(points.x) == [2, 2, 4, 4] and list(points.y) == [2, 4, 1, 5]
    assert "loss: 3 at every place. Open points are single runs." in figure.caption()
    assert "size" in figure.alt() and figure.layout.xaxis.title.text == "size"


def test_each_measure_has_a_panel_and_each_curve_a_look_of_its_own():
    measures = {"loss": [3.0, 2.0, 1.0, 0.5], "seconds": [1.0, math.nan, 4.0, 8.0]}
    figure = sweep_chart([1, 2, 1, 2], measures, x_name="n", provenance=FROM, curves=["a", "a", "b", "b"])
    assert [line.name for line in figure.data] == ["a", "b", "a", "b"]
    assert [bool(line.showlegend) for line in figure.data] == [True, True, False, False]
    for look in ("line.color", "line.dash", "marker.symbol"):
        assert figure.data[0][look] != figure.data[1][look] and figure.data[0][look] == figure.data[2][look]
    assert list(figure.data[2].x) == [1], "what was not measured is not drawn"
    assert "loss (a): from 2 at 2 to 3 at 1." in figure.caption()
    assert [note.text for note in figure.layout.annotations] == ["loss", "seconds"]
    assert "Open points" not in figure.caption()


def test_a_measure_that_a_curve_never_had_is_said():
    figure = sweep_chart(
        [1, 2], {"loss": [1.0, math.nan]}, x_name="n", provenance=FROM, curves=["a", "b"]
    )  # fmt: skip
    assert "loss (b): nothing measured." in figure.caption()


def test_names_keep_their_order_and_are_not_joined_and_wide_ranges_are_logarithmic():
    figure = sweep_chart(["recall", "nano"], {"loss": [1, 2]}, x_name="model", provenance=FROM)
    assert list(figure.data[0].x) == ["recall", "nano"] and figure.data[0].mode == "markers"
    assert figure.layout.xaxis.type == "category"
    wide = sweep_chart([1024, 4096, 65536], {"s": [1, 2, 3]}, x_name="length", provenance=FROM)
    assert wide.layout.xaxis.type == "log" and list(wide.layout.xaxis.ticktext) == ["1,024", "4,096", "65,536"]
    assert sweep_chart([0, 1, 50], {"s": [1, 2, 3]}, x_name="n", provenance=FROM).layout.xaxis.type is None


@pytest.mark.parametrize("x, measures", [([1], {"a": [1]}), ([1, 2], {}), ([1, 2], {"a": [1]})])
def test_what_cannot_be_drawn_is_refused(x, measures):
    with pytest.raises(lab.InputError, match="Pass at least two runs"):
        sweep_chart(x, measures, x_name="n", provenance=FROM)
