"""The clock wall in a real browser, without JupyterLab: it says and draws what the package computes."""

import pytest

import qwen35_lab as lab
from qwen35_lab.views import clock_wall
from qwen35_lab.views.clock_wall import FACTORS, PLACES, place_of

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

NATIVE = 262_144
WALL = "document.querySelector('.q35-wall').toDataURL()"
CHART = "document.querySelector('.q35-kernel').toDataURL()"


def wall(**at):
    nano = lab.load("nano").config
    kinds = {"official": lab.load_config("0.8B"), "tiny": nano}
    return clock_wall(kinds, native={"tiny": 512}, provenance="PUBLISHED · configs", **at)


def facts(page) -> dict[str, str]:
    rows = page.locator(".q35-facts tr").all()
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows}


def test_it_says_what_the_package_says_wherever_it_stands(open_page):
    page = open_page(wall())
    position, factor = (page.get_by_role("slider", name=name) for name in ("position", "YaRN factor"))
    for place, n in ((0, 0), (place_of(NATIVE, NATIVE), 12), (PLACES, 12), (PLACES, 4), (300, 7)):
        position.fill(str(place))
        factor.fill(str(n))
        shown = wall(factor=FACTORS[n])
        shown.place = place
        told, found = {name: value for name, value, _ in shown.facts()}, facts(page)
        assert {k: v for k, v in found.items() if "in training" not in k} == {
            k: v for k, v in told.items() if "in training" not in k
        }
        assert page.locator(".q35-told").inner_text() == shown.said()
    assert page.errors == []


def test_both_sliders_turn_hands_and_the_factor_moves_the_curve(open_page):
    page = open_page(wall())
    before = page.evaluate(WALL), page.evaluate(CHART)
    page.get_by_role("slider", name="YaRN factor").press("ArrowRight")
    after = page.evaluate(WALL), page.evaluate(CHART)
    assert after[0] != before[0] and after[1] != before[1]
    page.get_by_role("slider", name="position").press("ArrowLeft")
    assert page.evaluate(WALL) != after[0]
    page.get_by_role("button", name="Reset").click()
    assert (page.evaluate(WALL), page.evaluate(CHART)) == before and page.errors == []


def test_it_runs_and_stops(open_page, stopped_clock):
    page = open_page(wall(position=1))
    wait = stopped_clock(page)
    play = page.get_by_role("button", name="play position")
    play.click()
    wait(2)
    page.get_by_role("button", name="pause position").click()
    stopped = facts(page)["position"]
    wait(2)
    assert facts(page)["position"] == stopped != "1" and play.is_visible() and page.errors == []


def test_another_model_can_be_chosen(open_page):
    page = open_page(wall())
    page.get_by_label("clocks of").select_option("tiny")
    assert facts(page)["clocks that had not once been round"].endswith("of 8")
    assert page.errors == []


def test_a_phone_shows_all_of_it(open_page):
    page = open_page(wall(), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate("document.querySelector('.q35-wall').getBoundingClientRect().width")
    assert 240 <= wide <= 390 and page.errors == []


def test_what_is_painted_follows_the_theme(open_page, follows_the_theme):
    assert follows_the_theme(open_page(wall()))
