"""The picture ruler and the picture panel in a real browser, without JupyterLab: they say what the package says."""

import io
import json

import numpy as np
import pytest
from inputs.seeing import frames
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.inputs import ImageSettings
from qwen35_lab.views import Deck, picture_ruler
from qwen35_lab.views.deck import Dial, Picture

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SETTINGS = ImageSettings()


def ruler(**at):
    return picture_ruler(
        {"official": lab.load_config("0.8B"), "again": lab.load_config("2B")},
        {"a": frames(1, 32, 48)[0], "b": frames(1, 24, 24, seed=1)[0]}, frames(4, 16, 24), {"one": 0.6, "other": 2.0},
        priced="on a day", provenance="PUBLISHED · x", **({"width": 416, "height": 288} | at),
    )  # fmt: skip


def facts(page) -> dict[str, str]:
    rows = page.locator(".q35-facts tr").all()
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows}


def test_both_edges_say_the_packages_tokens(open_page):
    page = open_page(ruler())
    for width, height in ((416, 288), (32, 32), (4096, 32), (4096, 4096), (1024, 736)):
        page.get_by_role("slider", name="width").fill(str(width))
        page.get_by_role("slider", name="height").fill(str(height))
        assert facts(page)["tokens"] == f"{SETTINGS.tokens(height, width):,}"
        shown = ruler(width=width, height=height).measured()["size"]
        assert facts(page)["is resized to"] == f"{shown[1]:,} × {shown[0]:,}"
    assert page.errors == []


def test_the_corner_can_be_dragged(open_page):
    page = open_page(ruler())
    stage = page.locator(".q35-stage").bounding_box()
    before = facts(page)
    right, bottom = (480 * (416 / 4096) ** 0.25 * part for part in (1, 288 / 416))
    page.mouse.move(stage["x"] + right, stage["y"] + bottom)
    page.mouse.down()
    page.mouse.move(stage["x"] + right + 120, stage["y"] + bottom + 20, steps=4)
    page.mouse.up()
    after = facts(page)
    wide, high = (int(n.replace(",", "")) for n in after["comes with"].removesuffix(" pixels").split(" × "))
    assert wide > 800 and wide / high > 416 / 288 and before != after
    assert after["tokens"] == f"{SETTINGS.tokens(high, wide):,}"


def test_a_cell_is_chosen_by_a_click_and_by_arrow_keys(open_page):
    page = open_page(ruler())
    title = page.locator(".q35-heading")
    page.locator(".q35-stage").click(
        position={"x": 480 * (416 / 4096) ** 0.25 * 5.5 / 13, "y": 480 * (416 / 4096) ** 0.25 * 3.5 / 13}
    )
    assert title.inner_text() == "Row 3, column 5: time 4, height 7, width 9"
    clocks = "document.querySelector('.q35-clocks').toDataURL()"
    before = page.evaluate(clocks)
    page.keyboard.press("ArrowRight")
    assert title.inner_text() == "Row 3, column 6: time 4, height 7, width 10" and page.evaluate(clocks) != before
    page.keyboard.press("ArrowDown")
    assert title.inner_text() == "Row 4, column 6: time 4, height 8, width 10"
    page.get_by_role("slider", name="width").fill("32")  # a smaller picture has no such cell: 5 columns
    assert "column" in title.inner_text() and page.errors == []


def test_a_picture_of_ones_own_is_shown_and_measured(open_page):
    page = open_page(ruler())
    before = page.evaluate("document.querySelector('.q35-stage').toDataURL()")
    file = io.BytesIO()
    Image.new("RGB", (700, 500), (0, 200, 0)).save(file, "PNG")
    own = {"name": "own.png", "mimeType": "image/png", "buffer": file.getvalue()}
    page.locator("input[type=file]").set_input_files(own)
    page.wait_for_function("document.querySelector('.q35-facts td').textContent.startsWith('700 × 500')")
    assert facts(page)["tokens"] == f"{SETTINGS.tokens(500, 700):,}"
    assert page.evaluate("document.querySelector('.q35-stage').toDataURL()") != before
    pixel = page.evaluate("[...document.querySelector('.q35-stage').getContext('2d').getImageData(60, 9, 1, 1).data]")
    assert pixel[1] > pixel[0] and page.errors == []


def test_the_film_says_the_packages_numbers(open_page):
    page = open_page(ruler())
    page.get_by_role("radio", name="Film").click()
    for length in (0, 4, 7, 10):
        page.get_by_role("slider", name="length").fill(str(length))
        found = ruler(view=1, length=length).measured()
        assert facts(page)["tokens"] == f"{found['tokens']:,}"
        assert facts(page)["moments"].startswith(f"{len(found['seconds']):,}")
        assert facts(page)["every frame is resized to"] == f"{found['size'][1]:,} × {found['size'][0]:,}"
    assert page.errors == []


def test_keys_stay_inside(open_page):
    page = open_page(ruler())
    page.evaluate("window.heard = []; document.addEventListener('keydown', event => window.heard.push(event.key))")
    for place in ("input[type=range]", "select", ".q35-stage", ".q35-tab"):
        page.locator(place).first.focus()
        for key in ("d", "ArrowUp", "x"):
            page.keyboard.press(key)
    assert page.evaluate("window.heard") == []


@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("width", [360, 480, 900])
def test_nothing_sticks_out_on_narrow_screens(open_page, width, view):
    page = open_page(ruler(view=view), width, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.errors == []


# ------------------------------------------------------------------------- the deck's picture panel

PIXELS = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)


def deck() -> Deck:
    values = np.zeros((7, 2, 3), "float32")
    values[:, 1, 2] = 0.5
    values[4, 0, 0] = 1
    panel = Picture("seen", PIXELS, (2, 3), values, over=("cell",), dial="cell", first=1)
    return Deck([panel], [Dial("cell", ["none", *"abcdef"])], provenance="RANDOM · x")


def test_a_picture_has_its_pixels_and_a_click_moves_its_dial(open_page):
    page = open_page(deck())
    drawn = page.evaluate(
        "[...document.querySelector('.q35-photo canvas').getContext('2d').getImageData(0, 0, 24, 16).data]"
    )
    assert np.array_equal(np.array(drawn).reshape(16, 24, 4)[..., :3], PIXELS)
    area = page.locator(".q35-photo").bounding_box()
    page.mouse.click(area["x"] + area["width"] / 6, area["y"] + 0.75 * area["height"])
    assert page.get_by_role("slider", name="cell").input_value() == "4"
    assert page.locator(".q35-readout").inner_text() == "row 1, column 0: 0"
    page.mouse.move(area["x"] + 0.9 * area["width"], area["y"] + 0.75 * area["height"])
    assert page.locator(".q35-readout").inner_text() == "row 1, column 2: 0.5"
    assert page.errors == []


def test_arrow_keys_read_a_picture_and_space_chooses(open_page):
    page = open_page(deck())
    page.locator(".q35-photo").focus()
    for key in ("ArrowDown", "ArrowRight", " "):
        page.keyboard.press(key)
    assert page.get_by_role("slider", name="cell").input_value() == "5"
    assert json.dumps(page.locator(".q35-readout").inner_text()) == '"row 1, column 1: 0"'


def test_what_is_painted_follows_the_theme(open_page, follows_the_theme):
    assert follows_the_theme(open_page(ruler()))
