"""*Will it fit?* in a real browser, without JupyterLab: it says what Python says, and stays within its page."""

import json

import pytest
from browser.driver import heard_outside

from qwen35_lab.analysis import Device
from qwen35_lab.memory import in_words
from qwen35_lab.views import fit_explorer

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def explorer(**at):
    return fit_explorer(["0.8B", "9B", "27B"], here=Device("a laptop", 12e9, "cpu"), **at)


def said(page) -> tuple[str, str, list[str]]:
    sizes = page.locator(".q35-size").all_inner_texts()
    return page.locator(".q35-heading").inner_text(), page.locator(".q35-verdict").inner_text(), sizes


def expected(widget) -> tuple[str, str, list[str]]:
    told = widget.footprint()
    sizes = [in_words(size) if size else "none" for size in told.terms.values()]
    mark = "✓" if told.fits else "✗"
    return f"{told.heading()}: {in_words(told.total)}", f"{mark} {told.verdict()}", sizes


def test_every_control_says_what_python_says(open_page):
    page, at = open_page(explorer()), {}
    assert said(page) == expected(explorer())
    for name, label, place in (("model", "model", 1), ("precision", "precision", 3), ("batch", "texts at a time", 2),
                               ("device", "device", 4), ("context", "tokens", 8)):  # fmt: skip
        at[name] = place
        if name == "context":
            page.get_by_role("slider", name=label).fill(str(place))
        else:
            page.get_by_label(label, exact=True).select_option(str(place))
        assert said(page) == expected(explorer(**at))
    page.get_by_role("button", name="Reset").click()
    assert said(page) == expected(explorer())
    assert page.errors == []


def test_a_cell_of_the_article_can_be_gone_to_and_is_marked(open_page):
    page = open_page(explorer(model=0))
    cell = page.get_by_role("button", name="Qwen3.5-27B, A100 40 GB: wrong")
    cell.focus()
    page.keyboard.press("Enter")
    assert cell.get_attribute("aria-pressed") == "true" and "✗ does not fit: A100 40 GB" in said(page)[1]
    page.get_by_role("button", name="Qwen3.5-9B, 6 GB: wrong").click()
    assert "Qwen3.5-9B in int4" in said(page)[0]
    marks = page.locator(".q35-cell").all_inner_texts()
    now = explorer(**{name: place for name, place in (("model", 1), ("precision", 3))}, device=6)
    assert [mark[0] == "✓" for mark in marks] == [cell["holds"] for cell in now.cells()]


def test_keys_stay_inside(open_page):
    page = open_page(explorer())
    assert heard_outside(page, ("input[type=range]", "select", ".q35-cell")) == []


@pytest.mark.parametrize("width", [360, 480, 960])
def test_nothing_sticks_out_on_narrow_screens(open_page, width):
    page = open_page(explorer(model=2, batch=3, context=11), width, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.errors == []


def test_parts_and_line_stand_where_the_bytes_say(open_page):
    page = open_page(explorer())
    told = explorer().footprint()
    widths = page.locator(".q35-part").evaluate_all("parts => parts.map(p => p.getBoundingClientRect().width)")
    line = page.locator(".q35-line").evaluate(
        "l => l.getBoundingClientRect().left - l.parentNode.getBoundingClientRect().left"
    )
    for width, size in zip(widths, told.terms.values(), strict=True):
        assert width / max(widths) == pytest.approx(size / max(told.terms.values()), abs=0.01)
    assert line / sum(widths) == pytest.approx(told.device.bytes / told.total, rel=0.02)
    assert json.loads(explorer().start)["model"] == 2
