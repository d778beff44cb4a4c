"""The checkers of notebook 12 take what is right, and name each known mistake."""

import pytest

import qwen35_lab as lab
from qwen35_lab.exercises import streams as s
from qwen35_lab.exercises import waiting
from qwen35_lab.serving import EventParser


def by_package(pieces):
    parser = EventParser()
    return [text for piece in pieces for text in parser.push(piece)]


@pytest.mark.parametrize("seed", range(5))
def test_the_packages_own_parser_finds_what_the_oracle_finds(seed):
    assert all(by_package(pieces) == s.events(pieces) for pieces in s.streams(seed))
    assert lab.check("12.1", by_package) and lab.check("12.1", lambda pieces: iter(by_package(pieces)))


def test_the_streams_are_of_every_kind():
    made = s.streams()
    assert [] in made and any(len(pieces) > 4 for pieces in made)
    assert any(b"\r\n" in b"".join(pieces) for pieces in made)
    for _, change in s.EVENT_MISTAKES:
        assert any(s._events(pieces, **change) != s.events(pieces) for pieces in made)


@pytest.mark.parametrize("diagnosis, change", s.EVENT_MISTAKES)
def test_each_wrong_parser_is_told_why(diagnosis, change):
    verdict = lab.check("12.1", lambda pieces: s._events(pieces, **change))
    assert not verdict and verdict.message == diagnosis


@pytest.mark.parametrize("diagnosis, change", s.BUDGET_MISTAKES)
def test_each_wrong_budget_is_told_why(diagnosis, change):
    verdict = lab.check("12.2", lambda model, prompt, budget: s._think(model, prompt, budget, **change))
    assert not verdict and verdict.message == diagnosis


def test_a_right_budget_passes_and_a_loop_is_seen():
    assert lab.check("12.2", s.think)
    verdict = lab.check("12.2", lambda model, prompt, budget: s._think(model, prompt, budget, always=True))
    assert not verdict and "never ends its thought, and you read on" in verdict.message


@pytest.mark.parametrize("diagnosis, change", waiting.LATENCY_MISTAKES)
def test_each_wrong_measure_is_told_why(diagnosis, change):
    verdict = lab.check("12.3", lambda log: waiting._latency(log, **change))
    assert not verdict and verdict.message == diagnosis


def test_a_right_measure_passes_and_half_of_it_is_said():
    assert lab.check("12.3", waiting.latency)
    assert "exchanged" in lab.check("12.3", lambda log: waiting.latency(log)[::-1]).message
    assert "The first is right." in lab.check("12.3", lambda log: (waiting.latency(log)[0], 3.0)).message


@pytest.mark.parametrize(
    "exercise, answer, told",
    [
        ("12.1", lambda pieces: None, "returns nothing yet"),
        ("12.1", lambda pieces: "text", "return a list of texts"),
        ("12.1", lambda pieces: ["x"], "Not yet"),
        ("12.1", lambda pieces: 1 / 0, "It raises ZeroDivisionError"),
        ("12.1", [], "Pass the function itself"),
        ("12.2", lambda model, prompt, budget: None, "returns nothing yet"),
        ("12.2", lambda model, prompt, budget: "text", "return two texts"),
        ("12.2", lambda model, prompt, budget: ("", ""), "Not yet"),
        ("12.3", lambda log: (1, float("nan")), "return two numbers"),
        ("12.3", lambda log: (1, 2), "Not yet"),
        ("12.3", lambda: 1, "must take one argument"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_told_politely(exercise, answer, told):
    verdict = lab.check(exercise, answer)
    assert not verdict and told in verdict.message
