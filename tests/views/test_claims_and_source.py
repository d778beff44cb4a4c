"""Claims hold or stop the notebook; sources are the package's own."""

import math

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.views import claims

HOLDING = [
    (1e-7, {"below": 1e-4}, "measured 1e-07, below 0.0001"),
    (0.5, {"above": 0.25, "below": 1}, "measured 0.5, below 1 and above 0.25"),
    (3, {"equals": 3}, "(measured 3)"),
    (3.05, {"equals": 3, "within": 0.1}, "equal to 3 ± 0.1"),
    (True, {}, "(measured True)"),
    (torch.tensor(2.0), {"below": 3}, "measured 2, below 3"),
    (torch.tensor([1.0, 2.0]), {"below": 3}, "below 3"),
    (torch.arange(4), {"equals": torch.arange(4)}, "equal in all 4 places"),
    (["a"], {"equals": ["a"]}, "(measured ['a'])"),
]
BROKEN = [
    (1e-3, {"below": 1e-4}, "Measured 0.001, which is not below 0.0001"),
    (1e-4, {"below": 1e-4}, "not below"),  # strict
    (math.nan, {"below": 1e-4}, "Measured nan"),
    (math.nan, {"above": 1e-4}, "Measured nan"),
    (math.nan, {"equals": 0, "within": 1}, "Measured nan"),
    (torch.tensor([1.0, 5.0]), {"below": 3}, "from 1 to 5"),
    (torch.tensor([1.0, math.nan]), {"below": 3}, "not below 3"),
    (torch.arange(4), {"equals": torch.arange(4).flip(0)}, "equal in all 4 places"),
    (torch.arange(4), {"equals": torch.arange(5)}, "not equal"),
    (False, {}, "Measured False"),
    (0.0, {}, "not equal to True"),
    (2, {"equals": 3}, "not equal to 3"),
    (3.2, {"equals": 3, "within": 0.1}, "± 0.1"),
]


@pytest.mark.parametrize("measured, bounds, said", HOLDING, ids=range(len(HOLDING)))
def test_a_claim_that_holds_prints_a_tick_and_the_number(measured, bounds, said, capsys):
    assert lab.claim("it holds", measured, **bounds) is None
    printed = capsys.readouterr().out
    assert printed.startswith("✓ it holds (") and said in printed


@pytest.mark.parametrize("measured, bounds, said", BROKEN, ids=range(len(BROKEN)))
def test_a_claim_that_does_not_hold_stops_with_a_sentence(measured, bounds, said, capsys):
    with pytest.raises(AssertionError, match="Not so: “it holds”") as error:
        lab.claim("it holds", measured, **bounds)
    assert said in str(error.value)
    assert capsys.readouterr().out == ""


def test_a_tolerance_without_a_target_is_an_error():
    with pytest.raises(TypeError, match="within"):
        lab.claim("x", 1.0, below=2, within=0.1)


def test_claims_are_collected_once_each_also_those_that_failed():
    lab.claim("collected", 1, equals=1)
    lab.claim("collected", 2, equals=2)
    with pytest.raises(AssertionError):
        lab.claim("failed", 1, equals=2)
    found = {claim.statement: claim for claim in claims.made()}
    assert found["collected"].measured == 2 and found["collected"].holds
    assert not found["failed"].holds
    assert [claim.statement for claim in claims.made()].count("collected") == 1


NORM = lab.model.norm.RMSNorm


@pytest.mark.parametrize("thing", [NORM, NORM.forward, lab.model.delta_rule.recurrent])
def test_the_source_is_what_runs_with_file_and_lines(thing):
    source = lab.show_source(thing)
    file = lab.paths.Path(lab.__file__).parents[1] / source.where.split(",")[0]
    first, last = (int(n) for n in source.where.split("lines ")[1].split("–"))
    lines = file.read_text(encoding="utf-8").splitlines()[first - 1 : last]
    assert [line.strip() for line in source.text.splitlines()] == [line.strip() for line in lines]
    assert source.text in repr(source)


def test_the_source_is_highlighted_and_escaped():
    html = lab.show_source(lab.analysis.gap)._repr_html_()
    assert "qwen35_lab/analysis/compare.py" in html
    assert '<span class="k">def</span>' in html and "-&gt;" in html


def test_what_has_no_source_is_refused_with_a_remedy():
    with pytest.raises(lab.InputError, match="pass a function, a method or a class"):
        lab.show_source(len)
