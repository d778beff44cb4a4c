"""The layer elevator in a real browser, without JupyterLab: keyboard, mouse, screen reader, narrow and dark screens."""

import pytest
from small import IDS, small

from qwen35_lab.views import elevator

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("elevator") / "elevator.html"
    file.write_text(elevator(small(), IDS, floor=2, token=5).html(), encoding="utf-8")
    return file


@pytest.fixture
def open_page(open_widget, file):
    return lambda width=900, **options: open_widget(file, width, **options)


def title(page) -> str:
    return page.locator(".q35-title").inner_text()


def test_arrow_keys_on_the_slider_ride_up_and_down(open_page):
    page = open_page()
    slider = page.get_by_role("slider", name="layer")
    assert title(page) == "After layer 1 · Gated DeltaNet · token 5 “<9>”"
    slider.focus()
    for key, place in (
        ("ArrowUp", "After layer 2"), ("ArrowRight", "After layer 3 · gated attention"), ("ArrowUp", "After layer 3"),
        ("ArrowDown", "After layer 2"), ("ArrowLeft", "After layer 1"), ("Home", "Embedding"), ("End", "After layer 3"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert title(page).startswith(place), key
    assert page.errors == []


def test_arrow_keys_on_a_token_choose_its_neighbour(open_page):
    page = open_page()
    page.get_by_role("radio", checked=True).focus()
    page.keyboard.press("ArrowRight")
    assert "token 6" in title(page)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert "token 0" in title(page)
    page.keyboard.press("End")
    assert f"token {len(IDS) - 1} " in title(page)
    assert page.locator(":focus").get_attribute("aria-checked") == "true"


def test_a_click_on_a_floor_and_on_a_token_goes_there(open_page):
    page = open_page()
    page.locator(".q35-floor").first.click()  # the top one
    assert title(page).startswith("After layer 3")
    page.get_by_role("radio").nth(2).click()
    assert "token 2" in title(page)
    assert page.locator(".q35-lit .q35-index").inner_text() == "3"


def test_every_step_redraws_the_strips(open_page):
    page = open_page()
    draw = "[...document.querySelectorAll('.q35-tap:not([hidden]) canvas')].map(canvas => canvas.toDataURL()).join()"
    seen = {page.evaluate(draw)}
    page.get_by_role("slider").focus()
    for _ in range(2):
        page.keyboard.press("ArrowUp")
        seen.add(page.evaluate(draw))
    page.get_by_role("radio").nth(1).click()
    seen.add(page.evaluate(draw))
    assert len(seen) == 4


def test_a_screen_reader_hears_layer_token_norm_and_guess(open_page):
    page = open_page()
    heard = page.get_by_role("slider").get_attribute("aria-valuetext")
    assert heard.startswith("After layer 1 · Gated DeltaNet · token 5") and "Norm " in heard and "Lens: <" in heard
    assert page.locator("canvas:visible").first.get_attribute("aria-label")


def test_keys_stay_inside_so_that_jupyterlab_deletes_no_cell(open_page):
    page = open_page()
    page.evaluate("window.heard = []; document.addEventListener('keydown', event => window.heard.push(event.key))")
    page.get_by_role("slider").focus()
    for key in ("d", "ArrowUp", "Escape", "Control+s", "Shift+Enter"):
        page.keyboard.press(key)
    page.get_by_role("radio", checked=True).focus()
    page.keyboard.press("d")
    assert [key for key in page.evaluate("window.heard") if key not in ("Control", "Shift")] == ["Escape", "s", "Enter"]


@pytest.mark.parametrize("width", [360, 480, 900])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_narrow_screens(open_page, width, scheme):
    page = open_page(width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.errors == []
