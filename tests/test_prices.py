"""What a workload costs: cached tokens, thinking, dearer long prompts, contexts, and machines of one's own."""

import math
from dataclasses import replace

import pytest

import qwen35_lab as lab
from qwen35_lab.prices import Price, Workload, blend, break_even, dates, gpus_needed, monthly_cost, price, price_list

LIST = Price("2026-03-11", "m", "p", 2.0, 12.0, 0.2, 200_000, 4.0, 18.0, 0.4, 1_000_000, "m", "a/b", "")
WORK = Workload(requests=10, prompt=1000, answer=100)


def test_tokens_times_prices_times_days():
    assert monthly_cost(LIST, WORK) == pytest.approx(30 * 10 * (1000 * 2 + 100 * 12) / 1e6)
    assert monthly_cost(LIST, replace(WORK, requests=0)) == 0


def test_thinking_is_charged_as_output():
    assert monthly_cost(LIST, replace(WORK, thinking=400)) == pytest.approx(300 * (2000 + 500 * 12) / 1e6)


def test_cached_tokens_are_charged_once_and_at_their_own_price():
    assert monthly_cost(LIST, replace(WORK, cached=0.25)) == pytest.approx(300 * (750 * 2 + 250 * 0.2 + 1200) / 1e6)
    assert monthly_cost(LIST, replace(WORK, cached=1.0)) == pytest.approx(300 * (1000 * 0.2 + 1200) / 1e6)
    without = replace(LIST, usd_cached=None)
    assert monthly_cost(without, replace(WORK, cached=0.5)) == monthly_cost(without, WORK)


def test_a_long_prompt_makes_the_whole_request_dearer_from_one_token_on():
    at, above = (monthly_cost(LIST, Workload(1, n, 1000), days=1) for n in (200_000, 200_001))
    assert at == pytest.approx((200_000 * 2 + 12_000) / 1e6)
    assert above == pytest.approx((200_001 * 4 + 18_000) / 1e6)
    assert LIST.rates(300_000) == (4.0, 0.4, 18.0)
    assert replace(LIST, above_tokens=256_000).rates(256_000) == (2.0, 0.2, 12.0)


def test_a_language_needs_more_tokens_but_thinks_the_same():
    work = Workload(1, 1000, 100, thinking=50, cached=0.5, language=2)
    assert work.tokens == (1000, 1000, 250)


def test_what_does_not_fit_has_no_cost():
    assert monthly_cost(replace(LIST, context=1100), WORK) is not None
    assert monthly_cost(replace(LIST, context=1099), WORK) is None


@pytest.mark.parametrize("wrong", [{"cached": 1.2}, {"prompt": -1}, {"requests": math.inf}, {"language": 0}])
def test_impossible_workloads_are_refused(wrong):
    with pytest.raises(lab.InputError, match="workload's"):
        replace(WORK, **wrong)


def test_languages_are_mixed_by_share():
    assert blend({"English": 0.75, "Hindi": 0.25}, {"English": 1.0, "Hindi": 2.0}) == 1.25
    with pytest.raises(lab.InputError, match=r"add up to 0\.9"):
        blend({"English": 0.9}, {"English": 1.0})
    with pytest.raises(lab.InputError, match="no factor for Thai"):
        blend({"Thai": 1.0}, {"English": 1.0})


def test_the_lists_have_days_and_filters():
    assert list(dates()) == sorted(dates()) and len(dates()) >= 2
    assert price("GPT-5.2", "openai", dates()[0]).usd_cached == 0.175
    gemini = price("Gemini 3.1 Pro", "google", dates()[0])
    assert (gemini.above_tokens, gemini.usd_in_above, gemini.usd_out_above) == (200_000, 4, 18)
    assert {p.model for p in price_list(model=["GPT-5.2", "GLM-5"])} == {"GPT-5.2", "GLM-5"}
    with pytest.raises(lab.InputError, match="did not list"):
        price("Qwen3.5-9B", "openai", dates()[0])
    with pytest.raises(lab.InputError, match="no date"):
        price_list(date="2026-01-01")


def test_break_even_is_where_both_cost_the_same():
    found = break_even(LIST, WORK, gpus=8, usd_per_gpu_hour=2.5, utilisation=0.5)
    assert found.usd_per_month == 8 * 2.5 * 720
    assert monthly_cost(LIST, replace(WORK, requests=found.requests)) == pytest.approx(found.usd_per_month)
    busy = found.requests * 1100 / (24 * 3600)
    assert found.tokens_per_second == pytest.approx(busy / 0.5), "half the hours must do all the work"
    for wrong in ({"utilisation": 0.0}, {"utilisation": 1.5}, {"gpus": 0}, {"usd_per_gpu_hour": 0.0}):
        with pytest.raises(lab.InputError, match="Pass a utilisation"):
            break_even(LIST, WORK, **({"gpus": 8, "usd_per_gpu_hour": 2.5} | wrong))
    with pytest.raises(lab.InputError, match="no break-even"):
        break_even(replace(LIST, usd_in=0, usd_out=0), WORK, gpus=1, usd_per_gpu_hour=1)


def test_gpus_come_in_powers_of_two_and_leave_room():
    assert [gpus_needed(n * 1e9, 80e9) for n in (10, 68, 69, 403, 807)] == [1, 1, 2, 8, 16]
    with pytest.raises(lab.InputError, match="above 0"):
        gpus_needed(0, 1)
