"""The deck in a real browser, without JupyterLab: dials, linked reading, keyboard, narrow and dark screens."""

import json

import numpy as np
import pytest
from browser.driver import heard_outside

from qwen35_lab.views.deck import Axis, Bars, Curves, Deck, Dial, Heat, Strip

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

TOKENS = ["the", " cat", " is", " green", "?"]
READ = {"rows": Axis("reader", TOKENS), "columns": Axis("source", TOKENS), "over": ("λ",)}
RANDOM = np.random.default_rng(0)
STATE = RANDOM.normal(size=(5, 2, 8, 12)).astype("float32")
TOTAL, WRITE = (RANDOM.normal(size=(2, 5, 5)).astype("float32") for _ in range(2))
NORM, LEDGER = RANDOM.random((2, 5)).astype("float32"), RANDOM.normal(size=(5, 2)).astype("float32")
TOTAL[:, 0, 4] = np.nan
PICTURES = (
    "[...document.querySelectorAll('canvas.q35-cells, .q35-lines canvas')].map(canvas => canvas.toDataURL()).join()"
)


def shown() -> Deck:
    panels = [
        Strip(TOKENS, LEDGER.T, over=("λ",)),
        Heat("State", STATE, over=("token", "λ"), rows=Axis("key"), columns=Axis("value")),
        Heat("Influence", TOTAL, reading="‘{row}’ reads ‘{column}’", text=True, **READ),
        Heat("write", WRITE, **READ),
        Curves("Norm", Axis("token", TOKENS), {"norm": NORM}, over=("λ",), cursor="token"),
        Bars("Ledger", ["write", "erase"], {"head 0": LEDGER}, over=("token",)),
    ]
    dials = [Dial("token", TOKENS, start=1, play=True), Dial("λ", ["0", "1"])]
    notes = [f"reads {token}" for token in TOKENS]
    return Deck(panels, dials, caption="What is written.", provenance="RANDOM · numbers", notes=notes)


def saved(folder, page: str):
    file = folder / "deck.html"
    file.write_text(page, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("deck"), shown().html())


@pytest.fixture
def open_page(open_widget, file):
    return lambda width=900, file=file, **options: open_widget(file, width, **options)


def written(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def readout(page) -> str:
    return page.locator(".q35-readout").inner_text()


def test_every_place_of_every_dial_looks_different(open_page):
    page = open_page()
    seen = []
    for dial in ("token", "λ"):
        page.get_by_role("slider", name=dial, exact=True).focus()
        page.keyboard.press("Home")
        for _ in range(5 if dial == "token" else 2):
            seen.append(page.evaluate(PICTURES))
            page.keyboard.press("ArrowRight")
    assert len(set(seen)) == 6, "5 tokens, one of them twice, and 2 λ"
    assert page.errors == []


def test_cells_have_the_colours_of_their_values(open_page):
    """Blue above zero, orange below, and more of it for more."""
    page = open_page()
    pixels = page.evaluate(
        "[...document.querySelector('canvas.q35-cells').getContext('2d').getImageData(0, 0, 12, 8).data]"
    )
    red, _, blue, alpha = np.array(pixels).reshape(8, 12, 4).transpose(2, 0, 1).astype(int)
    now = STATE[1, 0]
    strong = np.abs(now) > 0.1 * np.abs(STATE).max()
    assert ((blue > red) == (now > 0))[strong].all()
    expected = 255 * (np.abs(now) / np.abs(STATE).max()) ** 0.65
    assert np.abs(alpha - expected)[strong].max() < 4


def test_what_is_painted_follows_the_theme(open_widget, follows_the_theme, tmp_path):
    panel = Heat("numbers", np.linspace(-1, 1, 16).reshape(4, 4), text=True)
    assert follows_the_theme(open_widget(saved(tmp_path, Deck([panel], caption="c", provenance="RANDOM · x").html())))


def test_a_screen_reader_hears_dial_label_and_place(open_page):
    slider = open_page().get_by_role("slider", name="token", exact=True)
    assert slider.get_attribute("aria-valuetext") == " cat, 2 of 5"


def test_notes_follow_their_dial(open_page):
    page = open_page()
    page.get_by_role("slider", name="token", exact=True).fill("3")
    assert page.locator(".q35-dialnote").inner_text() == "reads green"


def test_a_click_and_arrow_keys_on_the_strip_move_the_dial(open_page):
    page = open_page()
    page.get_by_role("radio").nth(3).click()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("slider", name="token", exact=True).input_value() == "4"


def test_a_click_on_a_curve_moves_the_dial_its_cursor_follows(open_page):
    page = open_page()
    area = page.locator(".q35-lines .q35-plot").bounding_box()
    page.mouse.click(area["x"] + 0.76 * area["width"], area["y"] + 20)
    assert page.get_by_role("slider", name="token", exact=True).input_value() == "3"


def test_play_plays_to_the_end_and_pause_stops(open_page, stopped_clock):
    page = open_page()
    wait = stopped_clock(page)
    slider = page.get_by_role("slider", name="token", exact=True)
    page.get_by_label("frames a second").select_option("2")
    page.get_by_role("button", name="play token").click()
    wait(0.7)
    assert slider.input_value() == "2"
    page.get_by_role("button", name="pause token").click()
    wait(1.2)
    assert slider.input_value() == "2"
    page.get_by_label("frames a second").select_option("60")
    for _ in range(2):  # to the end, and from the start again
        page.get_by_role("button", name="play token").click()
        wait(1)
        assert slider.input_value() == "4" and page.get_by_role("button", name="play token").is_visible()
    assert page.errors == []


def test_reset_goes_back_to_the_start(open_page):
    page = open_page()
    before = page.evaluate(PICTURES)
    for dial in ("token", "λ"):
        page.get_by_role("slider", name=dial, exact=True).focus()
        page.keyboard.press("End")
    assert page.evaluate(PICTURES) != before
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate(PICTURES) == before


def test_pointing_at_a_cell_reads_all_panels_with_these_axes(open_page):
    page = open_page()
    area = page.get_by_role("application", name="Influence").bounding_box()
    page.mouse.move(area["x"] + 1.5 / 5 * area["width"], area["y"] + 3.5 / 5 * area["height"])
    numbers = f"{written(TOTAL[0, 3, 1])} (write {written(WRITE[0, 3, 1])})"
    assert readout(page) == f"‘ green’ reads ‘ cat’: {numbers}"
    lit = page.locator(".q35-cell:visible")
    assert lit.count() == 2, "the map of the state has other axes"
    cell = lit.nth(1).bounding_box()
    other = page.get_by_role("application", name="write").bounding_box()
    assert cell["x"] == pytest.approx(other["x"] + other["width"] / 5, abs=1)
    assert cell["y"] == pytest.approx(other["y"] + 3 * other["height"] / 5, abs=1)
    page.mouse.move(0, 0)
    assert page.locator(".q35-cell:visible").count() == 0


def test_arrow_keys_read_cells_and_a_dial_reads_them_anew(open_page):
    page = open_page()
    page.get_by_role("slider", name="λ", exact=True).focus()
    page.keyboard.press("Tab")  # Reset
    plot = page.get_by_role("application", name="Influence")
    for _ in range(20):
        page.keyboard.press("Tab")
        if plot.evaluate("plot => plot === document.activeElement"):
            break
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert written(TOTAL[0, 2, 1]) in readout(page)
    page.evaluate(
        "const dial = document.querySelectorAll('input')[1]; dial.value = 1; dial.dispatchEvent(new Event('input'))"
    )
    assert written(TOTAL[1, 2, 1]) in readout(page)
    for key in ("ArrowUp", "ArrowUp", "End"):
        page.keyboard.press(key)
    assert "no value" in readout(page)


def test_keys_stay_inside_so_that_jupyterlab_deletes_no_cell(open_page):
    page = open_page()
    places = ("input[type=range]", ".q35-play", "select", "[role=radio][aria-checked=true]", "[role=application]")
    assert heard_outside(page, places) == []
    for key in ("Escape", "Control+s", "Shift+Enter"):
        page.keyboard.press(key)
    assert [key for key in page.evaluate("window.heard") if key not in ("Control", "Shift")] == ["Escape", "s", "Enter"]


@pytest.mark.parametrize("width", [360, 480, 900])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_narrow_screens(open_page, width, scheme):
    page = open_page(width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".q35-plot").evaluate_all("plots => Math.min(...plots.map(plot => plot.clientWidth))") > 150
    assert page.errors == []


# ------------------------------------------------------------------------- live dials


def answer(places) -> list:
    return [Heat("Answer", np.full((2, 2), places["β"] - 1.0), rows=Axis("row"), columns=Axis("column"))]


def test_without_a_kernel_a_live_dial_says_so(open_page, tmp_path):
    page = open_page(file=saved(tmp_path, Deck(dials=[Dial("β", [0, 1, 2])], live=answer).html()))
    page.set_viewport_size({"width": 360, "height": 900})
    assert page.get_by_role("slider", name="β").is_disabled()
    said, label = page.get_by_text("needs a running kernel"), page.locator(".q35-out")
    assert said.bounding_box()["y"] >= label.bounding_box()["y"] + label.bounding_box()["height"]  # below its dial
    page.get_by_role("button", name="Reset").click()
    assert page.errors == []


def test_a_live_dial_asks_waits_draws_and_shows_errors(open_page, tmp_path, stopped_clock):
    """The page plays the front end, this test the kernel."""
    live = Deck(dials=[Dial("β", [0, 1, 2])], live=answer)
    html = (
        live.html().replace("still: true, ", "").replace("on: nothing", "on: (what, call) => { heard[what] = call; }")
    )
    html = html.replace("const state =", "const heard = window.heard = {}; const state = window.state =")
    html = html.replace("send: nothing", "send: () => { window.greetings = (window.greetings ?? 0) + 1; }")
    page = open_page(file=saved(tmp_path, html))
    for _ in range(3):  # it greets twice, however often it is answered: see deck.js
        page.evaluate("heard['msg:custom']()")
    assert page.evaluate("greetings") == 2
    before = page.evaluate(PICTURES)
    wait = stopped_clock(page)
    page.get_by_role("slider", name="β").fill("2")
    question = page.evaluate("state.ask")
    assert json.loads(question)["at"] == [2] and page.get_by_text("computing").is_hidden()
    wait(0.5)
    assert page.get_by_text("computing").is_visible()
    live.ask = question
    tell = "payload => { state.payload = payload; heard['change:payload'](); }"
    page.evaluate(tell, live.payload)
    assert page.get_by_text("computing").is_hidden()
    assert page.evaluate(PICTURES) != before
    page.get_by_role("application").hover()
    assert "1" in readout(page)
    live._live = lambda places: [][0]
    live.ask = json.dumps({"count": 2, "at": [0]})
    page.evaluate(tell, live.payload)
    assert "IndexError" in page.get_by_role("alert").inner_text()
    assert page.errors == []


# ------------------------------------------------------------------------- how long a redraw takes

REDRAWS = """async () => {
  const dial = document.querySelector('input'), times = [];
  for (let place = 1; place <= 30; place++) {
    const began = performance.now();
    dial.value = place;
    dial.dispatchEvent(new Event('input'));
    await new Promise(painted => requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = painted;
      channel.port2.postMessage(0);
    }));
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[15];
}"""


@pytest.mark.parametrize("shape", [(64, 64), (64, 512), (2000,)], ids=str)
def test_a_redraw_is_announced_and_its_time_printed(open_page, tmp_path, shape):
    """No assertion on time: that would fail on a busy machine. Run with -s to read it."""
    values = RANDOM.normal(size=(31, *shape))
    curve = Curves("curve", Axis("x"), {"y": values}, over=("frame",)) if len(shape) == 1 else None
    panel = curve or Heat("map", values, over=("frame",))
    page = open_page(file=saved(tmp_path, Deck([panel], [Dial("frame", range(31))], provenance="RANDOM").html()))
    page.evaluate("window.drawn = 0; document.addEventListener('q35-drawn', () => { window.drawn += 1; })")
    print(f"{shape}: input to painted frame, median {page.evaluate(REDRAWS):.1f} ms")
    assert page.evaluate("window.drawn") == 30


def test_a_chosen_cell_moves_both_dials_by_click_and_by_keyboard(open_widget, tmp_path):
    """The cell bears a frame, and what hangs on the dials follows."""
    share = np.arange(6, dtype="float32").reshape(2, 3)
    panels = [
        Heat("Recall", share, rows=Axis("length", ["8", "16"]), columns=Axis("depth", ["0", "½", "1"]), signed=False,
             choose=("length", "depth")),
        Bars("Left", ["all"], {"cut": share[..., None]}, over=("length", "depth"), signed=False),
    ]  # fmt: skip
    deck = Deck(
        panels, [Dial("length", ["8", "16"]), Dial("depth", ["0", "½", "1"])], caption="A map.", provenance="RANDOM"
    )
    page = open_widget(saved(tmp_path, deck.html()), 700)
    plot, left = page.locator(".q35-heat .q35-plot"), page.locator(".q35-bars .q35-number")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 5 / 6, "y": box["height"] * 3 / 4})
    assert left.inner_text() == "5"
    framed = page.locator(".q35-picked").evaluate("mark => [mark.style.getPropertyValue('--row'), mark.offsetWidth]")
    assert framed[0] == "50%" and abs(framed[1] - box["width"] / 3) < 2
    plot.focus()
    for key in ("ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    assert left.inner_text() == "5", "walking reads, and chooses nothing"
    page.keyboard.press("Enter")
    assert left.inner_text() == "1"


def test_the_chosen_token_is_in_sight_from_the_start_and_when_the_page_changes(open_widget, tmp_path):
    tokens = [f" token{n}" for n in range(40)]
    deck = Deck([Strip(tokens)], [Dial("token", tokens, start=39)], caption="x", provenance="RANDOM · x")
    page = open_widget(saved(tmp_path, deck.html()), 900)
    for width in (900, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("""() => {
            const box = x => document.querySelector(x).getBoundingClientRect();
            return box('.q35-token[aria-checked=true]').right <= box('.q35-tokens').right;
        }""")
    assert page.errors == []
