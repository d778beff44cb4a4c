"""The checkers of notebook 11 take what is right, and name each known mistake."""

import pytest

import qwen35_lab as lab
from qwen35_lab.claims import article_claim
from qwen35_lab.exercises.pricing import DIFFERS, KEY, MISTAKES, _bill, bills, monthly_cost

ROW = {
    "date": "2026-07-02", "model": "Qwen3.5-9B", "provider": "example", "usd_in": 0.1, "usd_out": 0.4,
    "usd_cached": "", "above_tokens": "", "usd_in_above": "", "usd_out_above": "", "usd_cached_above": "",
    "context": 262144, "listed_as": "qwen3.5-9b", "source": "https://example.org/prices", "note": "",
}  # fmt: skip


def bill(requests, prompt, cached, thinking, answer, usd_in, usd_cached, usd_out):
    if usd_cached is None:
        usd_cached = usd_in
    usd = (prompt - cached) * usd_in + cached * usd_cached + (thinking + answer) * usd_out
    return 30 * requests * usd / 1e6


def test_the_right_bill_passes():
    assert lab.check("11.1", bill)
    assert all(monthly_cost(*case) == pytest.approx(bill(*case)) for case in bills())


def test_the_cases_hold_the_edges():
    cases = bills()
    assert any(case[2] == 0 for case in cases) and any(case[2] == case[1] for case in cases)
    assert any(case[6] is None and case[2] for case in cases) and any(case[3] == 0 for case in cases)


@pytest.mark.parametrize("diagnosis, change", MISTAKES, ids=[next(iter(change)) for _, change in MISTAKES])
def test_each_known_mistake_is_named(diagnosis, change):
    verdict = lab.check("11.1", lambda a, b, c, d, e, f, g, h: _bill((a, b, c, d, e, f, g, h), **change))
    assert not verdict and verdict.message == diagnosis


def test_what_is_no_bill_is_said_politely():
    def forgets_none(requests, prompt, cached, thinking, answer, usd_in, usd_cached, usd_out):
        return 30 * requests * ((prompt - cached) * usd_in + cached * usd_cached + (thinking + answer) * usd_out) / 1e6

    assert "`usd_cached` is None" in lab.check("11.1", forgets_none).message
    assert "returns nothing yet" in lab.check("11.1", lambda a, b, c, d, e, f, g, h: None).message
    assert "eight arguments" in lab.check("11.1", lambda a: 1).message
    assert "function itself" in lab.check("11.1", 3).message
    assert "not a mistake this checker knows" in lab.check("11.1", lambda *bill: 7.0).message
    assert "return a number" in lab.check("11.1", lambda *bill: "7").message


def test_a_good_row_is_taken():
    assert lab.check("11.2", ROW)
    assert lab.check("11.2", ROW | {"above_tokens": 200_000, "usd_in_above": 0.2, "usd_out_above": 0.8})


@pytest.mark.parametrize(
    "change, said",
    [
        ({"usd_in": "$0.10"}, "plain number"),
        ({"date": "July 2"}, "a day written as"),
        ({"date": "2999-01-01"}, "between"),
        ({"source": ""}, "can be read again"),
        ({"source": "https://example.org"}, "whole site"),
        ({"usd_in": 0.0001, "usd_out": 0.0004}, "times 1,000"),
        ({"usd_cached": 0.3}, "cache cost more"),
        ({"usd_in": 0.4, "usd_out": 0.1}, "exchanged"),
        ({"above_tokens": 200_000}, "belong together"),
        ({"currency": "USD"}, "no column 'currency'"),
    ],
)
def test_a_bad_row_gets_one_sentence(change, said):
    verdict = lab.check("11.2", ROW | change)
    assert not verdict and said in verdict.message and "\n" not in verdict.message


def test_a_row_that_is_there_already_is_refused():
    old = lab.prices.price_list()[0]
    assert "already" in lab.check("11.2", {name: getattr(old, name) for name in ROW}).message
    assert "No answer yet" in lab.check("11.2", None).message
    assert "write a dict" in lab.check("11.2", "a,b").message


def test_the_key_names_claims_that_exist_and_is_taken():
    for id, found in KEY.items():
        article_claim(id)
        for differs in found:
            assert differs in DIFFERS and lab.check("11.3", (id, differs))


@pytest.mark.parametrize(
    "answer, said",
    [
        (None, "No answer yet"),
        ("aime", "Write a pair"),
        (("aime", "weather"), "not among the things"),
        (("nothing", "model"), "There is no claim"),
        (("apache", "model"), "one kind"),
        (("claude-price-in", "model"), "not by its setting"),
        (("aime", "prompt"), "not the prompt"),
    ],
)
def test_other_answers_are_told_why_not(answer, said):
    verdict = lab.check("11.3", answer)
    assert not verdict and said in verdict.message
