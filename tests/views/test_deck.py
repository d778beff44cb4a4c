"""The deck: what is sent is what was given, wrong shapes are named, and everybody gets to see something."""

import base64
import io
import json
import re
import shutil
import subprocess
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from qwen35_lab.errors import InputError
from qwen35_lab.views.deck import Axis, Bars, Curves, Deck, Dial, Heat, Strip, shrink
from qwen35_lab.views.frames import BLANK, EXACT, STEPS, dequantise, ends, quantise, ticks
from qwen35_lab.views.pen import SCALE
from qwen35_lab.views.widget import HERE, css, esm

TOKENS = ["the", " cat", " is", "\n"]
TOKEN, LAMBDA = Dial("token", TOKENS, start=2, play=True), Dial("λ", ["0", "½", "1"], start=-1)
NUMBERS = np.random.default_rng(0).normal(size=(4, 3, 5, 6)).astype("float32")


def deck(**options) -> Deck:
    panels = [
        Strip(TOKENS, NUMBERS[:, 0, 0, :4], over=("token",)),
        Heat("State", NUMBERS, over=("token", "λ"), rows=Axis("key"), columns=Axis("value")),
        Curves("Norm", Axis("token", TOKENS), {"norm": NUMBERS[:, :, 0, 0].T}, over=("λ",), cursor="token"),
        Bars("Ledger", ["write", "erase"], {"head 0": NUMBERS[:, 0, 0, :2]}, over=("token",)),
    ]
    given = {"caption": "What is written.", "provenance": "RANDOM · numbers", **options}
    return Deck(panels, [TOKEN, LAMBDA], **given)


def sent(shown: Deck) -> dict:
    return json.loads(shown.payload)


def received(array: dict) -> np.ndarray:
    """What the browser makes of an array, written again in Python."""
    kind = np.dtype(array["type"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(array["base64"]), kind).reshape(array["shape"])


# ------------------------------------------------------------------------- scripts and styles


@pytest.mark.parametrize("name", ["clock_wall", "deck", "elevator", "size_ruler", "stepper"])
def test_a_widget_styles_nothing_but_itself(name):
    """All widgets of a notebook stand on one page: what is said of one must not be said of the others."""
    rules = re.sub(r"/\*.*?\*/", "", css(name), flags=re.DOTALL).strip()
    assert rules.startswith(f".q35-{name} {{") and rules.count("{") == rules.count("}")
    depth, ends_at = 0, 0
    for place, letter in enumerate(rules):
        depth += (letter == "{") - (letter == "}")
        if letter == "}" and depth == 0:
            ends_at = ends_at or place
    assert ends_at == len(rules) - 1, "there is a second rule beside the widget's own"


# ------------------------------------------------------------------------- numbers


def test_few_numbers_arrive_exactly():
    assert np.array_equal(received(sent(deck())["panels"][1]["values"]), NUMBERS)


finite = some.floats(-1e6, 1e6, width=32)


@given(arrays("float32", array_shapes(max_dims=3), elements=finite), some.booleans())
def test_a_byte_is_off_by_at_most_half_a_step(values, signed):
    top = float(np.abs(values).max()) or 1.0
    low = -top if signed else 0.0
    values = values if signed else np.abs(values)
    back = dequantise(quantise(values, low, top), low, top)
    assert np.abs(back - values).max() <= (top - low) / (2 * STEPS) * 1.001 + 1e-6 * top


def test_zero_stays_zero_in_a_byte():
    assert dequantise(quantise(np.zeros(1), -0.7, 0.7), -0.7, 0.7) == 0


def test_what_is_no_number_is_blank():
    codes = quantise(np.array([np.nan, np.inf, -np.inf, -1, 1]), -1, 1)
    assert codes.tolist() == [BLANK, BLANK, BLANK, 0, STEPS]


def test_many_numbers_take_a_byte_each():
    many = np.random.default_rng(1).normal(size=(4, 64, EXACT // 128)).astype("float32")
    panel = sent(Deck([Heat("many", many, over=("token",))], [TOKEN]))["panels"][0]
    assert panel["values"]["type"] == "uint8"
    back = dequantise(received(panel["values"]), panel["low"], panel["high"])
    assert np.abs(back - many).max() <= panel["high"] / STEPS * 1.001


def test_clipped_colours_are_said():
    clipped, whole = (sent(Deck([Heat("a", np.array([[3.0, -4.0]]), limit=limit)]))["panels"][0] for limit in (1, None))
    assert (clipped["high"], clipped["most"]) == (1, 4)
    assert (whole["high"], whole["most"]) == (4, None)


def test_tensors_of_any_dtype_are_taken():
    values = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    assert received(sent(Deck([Heat("a", values)]))["panels"][0]["values"]).tolist() == [[1, 1, 1]] * 2


@given(some.integers(1, 50), some.integers(1, 20))
def test_shrinking_keeps_both_ends(size, most):
    short = shrink(np.arange(size), most)
    assert len(short) == min(size, most) and short[0] == 0
    assert short[-1] == size - 1 or most == 1


@given(some.floats(-1e6, 1e6), some.floats(1e-3, 1e6))
def test_ticks_are_few_even_and_inside(low, length):
    found = ticks(low, low + length)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-5 * length <= tick <= low + length * 1.00001 for tick in found)
    gaps = [b - a for a, b in pairwise(found)]
    assert max(gaps, default=0) == pytest.approx(min(gaps, default=0), rel=1e-3)


@given(some.floats(-1e6, 1e6), some.floats(1e-3, 1e6), some.booleans())
def test_an_axis_holds_its_values_and_ends_on_ticks(low, length, log):
    low = abs(low) + 1e-3 if log else low
    bottom, top = ends(low, low + length, log)
    assert bottom <= low + 1e-5 * length and low + length <= top + 1e-5 * length
    found = ticks(bottom, top, log)
    assert (found[0], found[-1]) == pytest.approx((bottom, top), rel=1e-6, abs=1e-6 * length)
    assert len(found) >= 2


# ------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    "panels, message",
    [
        ([], "something to show"),
        ([Heat("Map", NUMBERS[0, 0], over=("token",))], r"'Map' has values of shape \[5, 6\].*\[token 4, …, …\]"),
        ([Heat("Map", NUMBERS[0, 0, :, :0])], "'Map' has values of shape"),
        ([Heat("Map", NUMBERS[0, 0], over=("head",))], "depends on a dial 'head'"),
        ([Heat("Map", NUMBERS[0, 0], rows=Axis("key", ["a"]))], "'key' of 'Map' has 1 labels for 5 places"),
        ([Heat("Map", NUMBERS[0, 0], signed=False)], "negative"),
        ([Curves("C", Axis("x"), {"a": [1, 2], "b": [1, 2, 3]})], "one length"),
        ([Curves("C", Axis("x"), {"a": [1, 2]}, cursor="token")], "'token', which has 4 places for 2 values"),
        ([Bars("B", ["a", "b"], {"s": [1, 2, 3]})], "3 values for 2 labels"),
        ([Strip(["a"])], "1 tokens and its dial 'token' 4"),
        ([Strip(TOKENS, [1, 2, 3])], "3 values for 4 tokens"),
    ],
)
def test_wrong_panels_are_refused_by_name(panels, message):
    with pytest.raises(InputError, match=message):
        Deck(panels, [TOKEN])


def test_too_much_is_refused_and_the_panel_named():
    small, large = (
        Heat("small", np.zeros((4, 2, 2)), over=("token",)),
        Heat("large", np.zeros((4, 1500, 1500)), over=("token",)),
    )
    with pytest.raises(InputError, match=r"'large', \(4, 1500, 1500\) over \['token'\].*fewer frames"):
        Deck([small, large], [TOKEN])


@pytest.mark.parametrize("dial", [{"labels": []}, {"labels": ["a"], "start": 1}])
def test_a_dial_without_places_or_with_a_wrong_start_is_refused(dial):
    with pytest.raises(InputError):
        Dial("token", **dial)


def test_notes_must_fit_their_dial():
    with pytest.raises(InputError, match="1 notes for the dial 'λ'"):
        deck(notes={"λ": ["one"]})


def test_a_place_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no place 4 of a dial 'token'"):
        deck().choose({"token": 4})


# ------------------------------------------------------------------------- pictures, words, pages


def test_the_picture_follows_the_dials():
    shown, pictures = deck(), set()
    for places in ({"token": 0}, {"token": 1}, {"λ": 0}):
        shown.choose(places)
        picture = Image.open(io.BytesIO(shown.static()))
        picture.load()
        assert picture.format == "PNG" and picture.width == 760 * SCALE
        pictures.add(picture.convert("RGB").tobytes())
    assert len(pictures) == 3


def test_a_picture_shows_blue_above_and_orange_below_zero():
    picture = Image.open(io.BytesIO(Deck([Heat("a", np.array([[1.0, -1.0]]))]).static())).convert("RGB")
    colours = {colour for _, colour in picture.getcolors(picture.width * picture.height)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


def test_the_words_say_the_numbers():
    shown = deck()
    shown.choose({"token": 1, "λ": 0})
    now = NUMBERS[1, 0]
    row, column = np.unravel_index(now.argmax(), now.shape)
    words = shown.alt()
    assert "Dials: token  cat; λ 0." in words
    assert f"to {now.max():.3g} ({row}, {column})" in words and f"from {now.min():.3g}" in words
    assert f"here {NUMBERS[1, 0, 0, 0]:.3g}" in words
    assert f"write {NUMBERS[1, 0, 0, 0]:.3g}" in words


def test_own_words_may_depend_on_the_dials():
    shown = deck(alt=lambda places: f"at {places['token']}")
    shown.choose({"token": -1})
    assert shown.alt() == "at 3"


def test_a_map_without_any_value_is_said_and_drawn():
    shown = Deck([Heat("nothing", np.full((2, 2), np.nan))])
    assert "nothing: no values" in shown.alt()
    Image.open(io.BytesIO(shown.static())).verify()


def test_without_widgets_there_is_a_picture_and_a_text():
    shown = deck()
    data, _ = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).verify()
    assert data["text/plain"] == shown.alt()


def test_the_page_asks_nobody_for_anything():
    page = deck().html()
    assert "http" not in page and "import(" not in page and "@import" not in page


def test_text_that_looks_like_html_cannot_break_the_page():
    page = deck(caption="</script><b>").html()
    assert page.count("</script>") == 2  # the state's and the module's own


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed; the browser tests run the script itself")
def test_the_script_parses(tmp_path):
    module = tmp_path / "deck.mjs"
    module.write_text(esm("kit", "deck_heat", "deck_plots", "deck"), encoding="utf-8")
    result = subprocess.run(["node", "--check", str(module)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_script_is_small():
    """Large scripts load slowly on Colab."""
    assert len(esm("kit", "deck_heat", "deck_plots", "deck")) < 33_000


# ------------------------------------------------------------------------- live dials


def live_deck(answer) -> Deck:
    return Deck(dials=[LAMBDA], live=answer)


def ask(shown: Deck, count: int, *at: int) -> dict:
    """What the browser does when a live dial moves, and what it hears."""
    shown.ask = json.dumps({"count": count, "at": at})
    return sent(shown)


def test_a_live_dial_is_answered_by_the_function():
    shown = live_deck(lambda places: [Heat("a", np.full((1, 1), places["λ"] + 1.0))])
    assert sent(shown)["dials"][0]["live"]
    heard = ask(shown, 1, 0)
    assert heard["said"] == 1 and heard["error"] == ""
    assert received(heard["panels"][0]["values"]) == [[1]]
    shown.choose({"λ": 1})
    assert received(sent(shown)["panels"][0]["values"]) == [[2]]


def test_dials_that_panels_follow_are_not_live():
    shown = Deck(dials=[TOKEN, LAMBDA], live=lambda _: [Heat("a", np.zeros((4, 1, 1)), over=("token",))])
    assert [dial["live"] for dial in sent(shown)["dials"]] == [False, True]


def test_an_error_is_shown_and_goes_away():
    def answer(places):
        if places["λ"] == 1:
            raise InputError("There is no such thing.")
        return [Heat("a", np.zeros((1, 1)))]

    shown = live_deck(answer)
    heard = ask(shown, 1, 1)
    assert heard["error"] == "InputError: There is no such thing." and heard["said"] == 1
    assert ask(shown, 2, 0)["error"] == ""


def test_panels_that_do_not_fit_are_shown_as_an_error():
    shown = live_deck(lambda places: [Heat("a", np.zeros((1,) * (2 + (places["λ"] == 0))))])
    assert "values of shape [1, 1, 1]" in ask(shown, 1, 0)["error"]
    assert sent(shown)["panels"], "what was there before is still there"


def test_in_other_threads_one_at_a_time_and_the_latest_question_wins():
    """Subshells call back in other threads, where gradients are on."""
    running, started, go_on, seen = [], threading.Event(), threading.Event(), []

    def answer(places):
        running.append(places["λ"])
        assert len(running) == 1 and not torch.is_grad_enabled()
        if len(seen) == 1:  # the first was asked while the widget was made
            started.set()
            go_on.wait(120)
        seen.append(running.pop())
        return [Heat("a", np.full((1, 1), float(places["λ"])))]

    shown = live_deck(answer)
    threads = [threading.Thread(target=ask, args=(shown, 1, 1))]
    threads[0].start()
    assert started.wait(120)
    for count, place in ((2, 0), (3, 2)):
        threads.append(threading.Thread(target=ask, args=(shown, count, place)))
        threads[-1].start()
        while json.loads(shown.ask)["count"] != count:
            pass
    go_on.set()
    for thread in threads:
        thread.join(120)
    assert seen == [2, 1, 2], "start, first question, last question; the one between was overtaken"
    assert sent(shown)["said"] == 3 and received(sent(shown)["panels"][0]["values"]) == [[2]]


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
@pytest.mark.parametrize(
    "values, high, letters, texts",
    [
        ([0.549, -4.5e-7, 0.0147, 0], 0.549, 6, ["0.549", "0", "0.015", "0"]),
        ([0.549, -0.0396, 0.0147], 0.549, 4, ["0.5", "0", "0"]),
        ([100, 66.7, -0.01], 100, 4, ["100", "66.7", "0"]),
        ([100, 66.7], 100, 3, ["100", "67"]),
        ([12345, 1], 12345, 3, []),
        ([0.04, 0.01], 0.04, 3, []),  # zeros would say something else
    ],
)
def test_numbers_in_cells_are_cut_at_the_same_decimal_and_never_leave_their_cell(values, high, letters, texts):
    script = "".join((HERE / name).read_text(encoding="utf-8") for name in ("kit.js", "deck_heat.js"))
    asked = f"{json.dumps(values)}, {high}, text => text.length <= {letters}"
    run = subprocess.run(
        ["node", "-e", f"{script}\nconsole.log(JSON.stringify(cellTexts({asked})))"], capture_output=True, text=True
    )
    assert json.loads(run.stdout) == texts, run.stderr
