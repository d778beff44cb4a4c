"""Charts of drafts: counts, clock and law as they were measured; the parts of a probability add up."""

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import Acceptance
from qwen35_lab.analysis.drafting import DraftSpeed
from qwen35_lab.speculative import Draft
from qwen35_lab.views import acceptance_chart, acceptance_law_chart, draft_speed_chart

P = torch.tensor([0.15, 0.5, 0.3, 0.05, 0.0])
Q = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.4])
NAMES = ["a", " b", "c", "d", "e"]


def speed(seconds: list[float], noise: float = 1.0) -> DraftSpeed:
    """Two texts with 0, 1 and 3 drafts."""
    steps = ((), (Draft(0, (1,), 1, (1, 2)),), (Draft(0, (1, 2, 3), 1, (1, 4)),))
    passes, clock = torch.tensor([[11.0, 6, 5], [5, 4, 3]]), torch.tensor([seconds, seconds])
    return DraftSpeed((0, 1, 3), torch.tensor([11.0, 5]), passes, clock, steps, True, noise, "TINY · x")


def test_acceptance_is_drawn_place_by_place():
    figure = acceptance_chart(Acceptance((8, 6, 2), (6, 2, 0)), provenance="TINY · x")
    assert list(figure.data[0].y) == [6 / 8, 2 / 6, 0] and list(figure.data[0].x) == ["first", "second", "third"]
    assert "first 6 of 8, second 2 of 6, third 0 of 2; 50% in all" in figure.caption()


def test_no_drafts_are_no_chart():
    with pytest.raises(lab.InputError, match="Nothing was drafted"):
        acceptance_chart(Acceptance((), ()), provenance="TINY · x")


def test_speed_shows_every_text_and_all_together():
    found = speed([1.0, 0.5, 2.0])
    figure = draft_speed_chart(found, lambda p, k: 1 + p * k)
    points, line, times, clock, formula = figure.data
    assert list(points.y) == found.per_forward.flatten().tolist()
    assert list(line.y) == pytest.approx(found.together[0].tolist())
    assert list(times.y) == (1000 * found.per_token).flatten().tolist()
    assert list(clock.y) == pytest.approx((1000 * found.together[1]).tolist())
    p = 2 / 3  # one of one, and one of the two that were up for a decision
    assert list(formula.y) == pytest.approx([1, 1 + p, 1 + 3 * p]) and formula.name == "formula, p = 0.67"
    assert "Quickest is 1 draft at a time, 2.00 times as fast as without" in figure.caption()


def test_drafts_that_do_not_pay_are_said_not_to():
    assert "no number of drafts is quicker than none" in draft_speed_chart(speed([1.0, 1.5, 2.0])).caption()


def test_the_two_parts_add_up_to_the_models_probability():
    figure = acceptance_law_chart(P, Q, NAMES, provenance="TINY · x", most=4)
    kept, left, head = figure.data
    assert list(figure.layout.xaxis.ticktext) == ["␣b", "c", "a", "e"], "the likeliest in p or q, those of p first"
    order = [1, 2, 0, 4]
    torch.testing.assert_close(torch.tensor(kept.y) + torch.tensor(left.y), P[order])
    torch.testing.assert_close(torch.tensor(kept.y), P.minimum(Q)[order])
    torch.testing.assert_close(torch.tensor(head.y), Q[order])
    assert figure.layout.barmode == "stack" and left.marker.pattern.shape and not kept.marker.pattern.shape
    assert "kept in 60.0% of cases" in figure.caption()


def test_a_gain_within_the_clocks_noise_is_said_to_be_that():
    said = "without drafts, repeats differ by 30%"
    assert said in draft_speed_chart(speed([1.0, 0.8, 2.0], noise=1.3)).caption()
    assert "noise" not in draft_speed_chart(speed([1.0, 0.7, 2.0], noise=1.3)).caption()
    assert "may be noise" in draft_speed_chart(speed([1.0, 0.99, 2.0])).caption()
