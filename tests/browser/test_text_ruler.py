"""The text ruler and the prompt deck in a real browser, without JupyterLab: they show what Python says."""

import json

import pytest

import qwen35_lab as lab
from qwen35_lab.analysis.chat_steps import ChatStep
from qwen35_lab.analysis.languages import Sample
from qwen35_lab.inputs import Vocabulary
from qwen35_lab.views import prompt_deck, text_ruler

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

BYTES = Vocabulary("Bytes", {bytes([n]): n for n in range(256)}, {}, ".", lambda text: list(text.encode()))
LETTERS = Vocabulary(
    "Letters", {chr(n).encode(): n for n in (*range(0x3000), *map(ord, "日本🐸"))}, {}, ".",
    lambda text: [ord(letter) for letter in text],
)  # fmt: skip
SAMPLES = [
    Sample("Greek", "el", "Το βιβλίο"),
    Sample("Hebrew", "he", "שלום"),
    Sample("Thai", "th", "ห้อง"),
    Sample("Long", "", "one two " * 150),
]


def ruler(**at):
    return text_ruler(
        BYTES, LETTERS, SAMPLES, prices={"one": 0.6, "other": 2.0}, priced="on a day",
        windows={"big": 1000, "small": 100}, provenance="REAL · x", **at,
    )  # fmt: skip


def facts(page) -> list[tuple[str, ...]]:
    rows = page.locator(".q35-facts tr").all()[1:]
    return [tuple(cell.inner_text() for cell in row.locator("th, td").all()) for row in rows]


def chips(page, side: int) -> list[str]:
    return page.locator(".q35-side").nth(side).locator(".q35-flow .q35-chip").all_text_contents()


def test_every_sample_shows_the_packages_numbers(open_page):
    page = open_page(ruler())
    for sample, each in enumerate(SAMPLES):
        page.get_by_label("sample").select_option(str(sample))
        for price, window in ((0, 0), (1, 1)):
            page.get_by_label("price").select_option(str(price))
            page.get_by_label("window").select_option(str(window))
            expected = ruler(sample=sample, price=price, window=window)
            assert facts(page) == expected.facts()
        assert page.locator(".q35-said").inner_text() == expected.said()
        assert page.get_by_label("text", exact=True).input_value() == each.text
        for side, counted in enumerate(expected.counted()["sides"]):
            assert chips(page, side) == [label for label, *_ in counted["chips"]]
    assert "… and 800 more" in page.locator(".q35-side").first.inner_text()
    assert page.errors == []


def test_a_text_that_runs_from_the_right_is_laid_out_so(open_page):
    page = open_page(ruler(sample=1))
    first, last = (
        page.locator(".q35-side").nth(1).locator(".q35-flow .q35-chip").nth(n).bounding_box() for n in (0, 3)
    )
    assert first["x"] > last["x"]


def test_a_token_is_read_by_pointing_and_by_arrow_keys(open_page):
    page = open_page(ruler())
    page.locator(".q35-side").nth(1).locator(".q35-flow .q35-chip").nth(0).hover()
    readout = page.locator(".q35-readout")
    assert readout.inner_text() == "Letters, token 1 of 9: “Τ”, id 932, 2 bytes"
    page.get_by_label("tokens of Bytes").focus()
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft"):
        page.keyboard.press(key)
    assert readout.inner_text() == "Bytes, token 16 of 17: “CE”, id 206, 1 byte, part of a character"
    assert page.errors == []


def test_without_a_kernel_a_text_of_ones_own_is_not_promised(open_page):
    page = open_page(ruler())
    assert page.get_by_text("needs a running kernel").is_visible()
    assert not page.get_by_label("text", exact=True).is_editable()
    shown = ruler()
    shown.count("日本 🐸")
    page = open_page(shown)
    assert facts(page) == shown.facts() and page.get_by_label("text", exact=True).input_value() == "日本 🐸"


def test_what_is_typed_is_counted_by_the_kernel(open_page):
    """The page plays the front end, this test the kernel."""
    live = ruler()
    html = live.html().replace("still: true, ", "")
    html = html.replace("on: nothing", "on: (what, call) => { heard[what] = call; }")
    html = html.replace("const state = JSON", "const heard = window.heard = {}; const state = window.state = JSON")
    page = open_page(html)
    area = page.get_by_label("text", exact=True)
    area.fill("日本 🐸")
    page.wait_for_function("state.ask")
    tell = "answer => { state.answer = answer; heard['change:answer'](); }"
    live.ask = page.evaluate("state.ask")
    page.evaluate(tell, live.answer)
    assert json.loads(live.ask)["text"] == "日本 🐸"
    assert facts(page)[0] == ("tokens", "11", "4")
    assert page.get_by_label("sample").input_value() == str(len(SAMPLES))
    area.fill("x" * 10)
    page.wait_for_function("JSON.parse(state.ask).count === 2")
    page.evaluate(tell, json.dumps({"count": 2, "counted": None, "error": "InputError: too long"}))
    assert "too long" in page.get_by_role("alert").inner_text()
    assert facts(page)[0] == ("tokens", "11", "4")
    assert page.errors == []


def test_keys_stay_inside(open_page):
    page = open_page(ruler())
    page.evaluate("window.heard = []; document.addEventListener('keydown', event => window.heard.push(event.key))")
    for place in ("select", "textarea", ".q35-flow"):
        page.locator(place).first.focus()
        for key in ("d", "ArrowUp", "x"):
            page.keyboard.press(key)
    assert page.evaluate("window.heard") == []


@pytest.mark.parametrize("sample", [0, 3])
@pytest.mark.parametrize("width", [360, 480, 900])
def test_nothing_sticks_out_on_narrow_screens(open_page, width, sample):
    page = open_page(ruler(sample=sample), width, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.errors == []


# ------------------------------------------------------------------------- the prompt deck

NAMES = ["<|im_start|>", "<|im_end|>", "user", "assistant", "\n", "Hi", " you"]
SMALL = Vocabulary(
    "small", {n.encode(): k for k, n in enumerate(NAMES) if "<" not in n},
    {n: k for k, n in enumerate(NAMES) if "<" in n}, ".", lambda text: [],
)  # fmt: skip


def deck():
    ids = (0, 2, 4, 5, 1, 4, 0, 3, 4, 5, 6, 1, 4)
    steps = [ChatStep("a", "", ids[:9], 0, SMALL), ChatStep("b", "", ids, 9, SMALL)]
    return prompt_deck({"on": steps, "off": [steps[0], ChatStep("b", "", ids[:11], 2, SMALL)]}, provenance="TINY · x")


def test_every_place_of_the_deck_shows_its_tokens(open_page):
    page, shown = open_page(deck()), deck()
    for way in range(2):
        page.get_by_role("slider", name="thinking").fill(str(way))
        for step in range(2):
            page.get_by_role("slider", name="step").fill(str(step))
            turns = shown.panels()[0].turns({"thinking": way, "step": step})
            assert page.locator(".q35-role").all_text_contents() == [turn.role for turn in turns]
            tokens = [token for turn in turns for token in turn.tokens]
            assert page.locator(".q35-turns .q35-word").all_text_contents() == [token.label for token in tokens]
            assert page.locator(".q35-turns .q35-id").all_text_contents() == [str(token.id) for token in tokens]
            assert page.locator(".q35-turns .q35-special").count() == sum(token.special for token in tokens)
            assert page.locator(".q35-turns .q35-fresh").count() == sum(token.fresh for token in tokens)
            headline = shown.panels()[0].headline({"thinking": way, "step": step})
            assert headline in page.locator(".q35-prompt .q35-paneltitle").inner_text()
    assert page.errors == []


@pytest.mark.parametrize("width", [360, 900])
def test_a_real_prompt_fits_narrow_screens(open_page, width):
    tokenizer = lab.load_tokenizer("nano")
    messages = [{"role": "user", "content": "Where does Mia live? " * 10 + "x" * 80}]
    steps = lab.analysis.build_up(tokenizer, messages)
    page = open_page(prompt_deck({"": steps}, provenance="TINY · nano"), width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.errors == []
