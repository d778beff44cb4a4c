"""The cost explorer in a real browser, without JupyterLab: it says what Python says, and stays within its page."""

import pytest
from browser.driver import heard_outside

from qwen35_lab.analysis import Machine
from qwen35_lab.views import cost_explorer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

MACHINE = Machine("this machine, 1 thread", 8e10, 1.2e10, 4e9, "float32", "RANDOM · x", 2.4e10, 0.1)


def explorer(**at):
    return cost_explorer(MACHINE, ["0.8B", "35B-A3B"], usd_an_hour={"here": 0.1, "H100": 3.0}, **at)


def facts(page) -> list[tuple[str, str]]:
    rows = page.locator(".q35-facts tr").all()
    return [(row.locator("th").inner_text(), row.locator("td").inner_text()) for row in rows]


def alike(theirs: list[tuple[str, str]], ours: list[tuple[str, str]]) -> bool:
    """Exponents are written `4.71e+12` there and here; JavaScript has two digits where Python has three."""
    return [name for name, _ in theirs] == [name for name, _ in ours] and all(
        a == b or "e+" in b for (_, a), (_, b) in zip(theirs, ours, strict=True)
    )


def test_every_dial_says_what_python_says(open_page):
    page = open_page(explorer())
    at = {}
    assert alike(facts(page), explorer().facts())
    for name, label, place in (
        ("context", "tokens of context", 19), ("model", "model", 1), ("mix", "DeltaNet : attention", 4),
        ("batch", "texts at a time", 2), ("machine", "machine", 1),
    ):  # fmt: skip
        at[name] = place
        if name == "context":
            page.get_by_role("slider", name=label).fill(str(place))
        else:
            page.get_by_label(label, exact=True).select_option(str(place))
        expected = explorer(**at)
        assert page.locator(".q35-heading").inner_text() == expected.heading()
        assert alike(facts(page), expected.facts()), (facts(page), expected.facts())
    page.get_by_role("radio", name="write one more token").click()
    assert page.locator(".q35-heading").inner_text() == explorer(**at, view=1).heading()
    assert page.errors == []


def test_all_four_charts_move_with_the_slider_and_reset_brings_them_back(open_page):
    page = open_page(explorer())
    charts = page.locator(".q35-chart > svg")
    before = [chart.inner_html() for chart in charts.all()]
    page.get_by_role("slider", name="tokens of context").focus()
    page.keyboard.press("ArrowRight")
    after = [chart.inner_html() for chart in charts.all()]
    assert len(before) == 4 and all(a != b for a, b in zip(before, after, strict=True))
    page.get_by_role("button", name="Reset").click()
    assert [chart.inner_html() for chart in charts.all()] == before
    assert page.errors == []


def test_charts_are_described_and_have_their_marks(open_page):
    page = open_page(explorer(context=8))
    said = [chart.get_attribute("aria-label") for chart in page.locator(".q35-chart > svg").all()]
    assert "break-even at 1,536 tokens" in said[0] and "crossover at" in said[1]
    assert page.locator(".q35-hatch").count() == 1
    assert [text for text in page.locator(".q35-told").all_text_contents() if text.startswith("break-even")]


def test_keys_stay_inside(open_page):
    page = open_page(explorer())
    assert heard_outside(page, ("input[type=range]", "select", ".q35-tab")) == []


@pytest.mark.parametrize("width", [360, 480, 960])
def test_nothing_sticks_out_on_narrow_screens(open_page, width):
    page = open_page(explorer(view=1, model=1, batch=4), width, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.errors == []
