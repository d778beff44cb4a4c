"""The text ruler counts what the vocabularies count, and everybody gets to see something."""

import io
import json

import numpy as np
import pytest
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.analysis.languages import Sample
from qwen35_lab.inputs import Vocabulary
from qwen35_lab.views import text_ruler
from qwen35_lab.views.pen import SCALE, WIDTH
from qwen35_lab.views.text_ruler import LONGEST, SHOWN, chip, counted

BYTES = Vocabulary("Bytes", {bytes([n]): n for n in range(256)}, {}, ".", lambda text: list(text.encode()))
LETTERS = Vocabulary(
    "Letters", {chr(n).encode(): n for n in (*range(0x3000), *map(ord, "日本🐸"))}, {}, ".",
    lambda text: [ord(letter) for letter in text],
)  # fmt: skip
SAMPLES = [Sample("Greek", "el", "Το βιβλίο"), Sample("Hebrew", "he", "שלום"), Sample("Plain", "", "a b\n")]


def ruler(**at):
    return text_ruler(
        BYTES, LETTERS, SAMPLES, prices={"one": 0.6, "other": 2.0}, priced="on a day",
        windows={"big": 1000, "small": 100}, provenance="REAL · x", **at,
    )  # fmt: skip


def test_it_counts_what_the_vocabularies_count():
    found = ruler().measured()
    text = SAMPLES[0].text
    assert found["tokens"] == (len(text.encode()), len(text)) and found["words"] == 2
    assert found["saved"] == pytest.approx(1 - 9 / 17) and found["bytes"] == 17
    assert found["usd"] == pytest.approx((17 * 1000 * 0.6e-6, 9 * 1000 * 0.6e-6))
    assert found["share"] == pytest.approx((0.017, 0.009))
    other = ruler(price=1, window=1).measured()
    assert other["usd"][0] == pytest.approx(17 * 1000 * 2e-6) and other["share"][1] == pytest.approx(0.09)


def test_its_facts_are_written_as_they_are_shown():
    assert ruler().facts() == [
        ("tokens", "17", "9"), ("bytes a token", "1", "1.89"), ("tokens a word", "8.5", "4.5"),
        ("1,000 such texts", "$0.0102", "$0.0054"), ("of a window of 1,000", "1.7 %", "0.9 %"),
    ]  # fmt: skip
    assert ruler().said() == "Letters needs 9 tokens where Bytes needs 17: 47% fewer."
    assert ruler(sample=2).said() == "Letters needs 4 tokens where Bytes needs 4: as many."


def test_a_text_of_ones_own_is_shown():
    shown = ruler()
    found = shown.count("日本 🐸")
    assert found["tokens"] == (11, 4) and found["words"] is None and shown.sample == len(SAMPLES)
    assert dict((what, old) for what, old, _ in shown.facts())["tokens a word"] == "–"
    assert "日本 🐸" in shown.alt()
    shown.sample = 0
    assert shown.measured()["tokens"] == (17, 9)


@pytest.mark.parametrize(
    "token, label",
    [(b" the", "␣the"), (b"\n", "⏎"), (b"\xe0\xa4", "E0 A4"), ("\u093f".encode(), "◌\u093f"), (b"a", "a")],
)
def test_a_token_can_be_seen(token, label):
    assert chip(token, 7) == [label, 7, len(token), int(label == "E0 A4")]


def test_long_texts_are_counted_whole_and_shown_in_part():
    found = counted("ab " * 1000, (BYTES, LETTERS))
    assert [side["tokens"] for side in found["sides"]] == [3000, 3000]
    assert {len(side["chips"]) for side in found["sides"]} == {SHOWN}


def test_texts_that_run_from_the_right_say_so():
    assert counted("שלום", (BYTES, LETTERS))["rtl"] and counted("سلام", (BYTES, LETTERS))["rtl"]
    assert not counted("shalom (שלום)", (BYTES, LETTERS))["rtl"]


def test_the_latest_question_is_answered_and_an_error_is_shown():
    shown = ruler()
    shown.ask = json.dumps({"count": 3, "text": "abc"})
    answer = json.loads(shown.answer)
    assert (answer["count"], answer["error"]) == (3, "")
    assert [side["tokens"] for side in answer["counted"]["sides"]] == [3, 3]
    shown.ask = json.dumps({"count": 4, "text": "x" * (LONGEST + 1)})
    assert "InputError: The text has 100,001 characters" in json.loads(shown.answer)["error"]
    shown.ask = json.dumps({"count": 5, "text": "half a pair \ud83d"})
    assert json.loads(shown.answer)["error"] == ""


@pytest.mark.parametrize("sample", [0, 1, 2])
def test_the_static_twin_is_a_picture_of_the_sample(sample):
    image = Image.open(io.BytesIO(ruler(sample=sample).static())).convert("RGB")
    assert image.width == WIDTH * SCALE
    other = Image.open(io.BytesIO(ruler(sample=(sample + 1) % 3).static())).convert("RGB")
    assert image.size != other.size or not np.array_equal(np.asarray(image), np.asarray(other))


def test_it_travels_with_all_samples():
    payload = json.loads(ruler(sample=1).payload)
    assert [each["counted"]["text"] for each in payload["samples"]] == [each.text for each in SAMPLES]
    assert payload["badge"] == "REAL" and "on a day" in payload["caption"]


def test_a_ruler_without_anything_or_with_a_wrong_place_is_refused():
    with pytest.raises(lab.InputError, match="at least one sample"):
        text_ruler(BYTES, LETTERS, [], prices={"a": 1.0}, priced="", windows={"b": 1}, provenance="")
    with pytest.raises(lab.InputError, match="no place 9 of 'sample'"):
        ruler(sample=9)
    with pytest.raises(lab.InputError, match="no place 0 of 'token'"):
        ruler(token=0)
    with pytest.raises(lab.InputError, match="0 characters"):
        ruler().count("")
