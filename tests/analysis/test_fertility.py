"""Counts are counts, savings are shares of them, and the words of a text are what a reader calls words."""

import math

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import languages
from qwen35_lab.analysis.fertility import by_script, fertility, rank_correlation, spread
from qwen35_lab.analysis.scripts import main_script, script, scripts, words
from qwen35_lab.inputs import Vocabulary

BYTES = Vocabulary("bytes", {bytes([n]): n for n in range(256)}, {}, ".", lambda text: list(text.encode()))
PAIRS = Vocabulary("pairs", BYTES.table, {}, ".", lambda text: list(text.encode()[::2]))

# Another person's sentences in these languages: tokens with Qwen3 and with Qwen3.5 (a check made before this project).
KNOWN = {
    "English": (33, 33), "Chinese": (29, 27), "Japanese": (52, 43), "Korean": (55, 47), "German": (44, 38),
    "French": (50, 44), "Russian": (49, 42), "Arabic": (50, 40), "Hindi": (171, 70), "Thai": (79, 37),
    "Turkish": (55, 45), "Vietnamese": (47, 46), "Hebrew": (51, 64), "Ukrainian": (78, 55), "Python code": (37, 39),
}  # fmt: skip


@pytest.fixture(scope="module")
def official():
    return lab.vocabulary("Qwen3"), lab.vocabulary("Qwen3.5")


# ------------------------------------------------------------------------- scripts and words


@pytest.mark.parametrize(
    "character, name",
    [("a", "Latin"), ("Ж", "Cyrillic"), ("λ", "Greek"), ("ש", "Hebrew"), ("ि", "Devanagari"), ("日", "Han"),
     ("Ꮳ", "Cherokee"), ("ⴰ", "Tifinagh"), ("7", ""), ("…", ""), ("🐸", ""), ("\u0301", ""), ("𐎠", "Other")],
)  # fmt: skip
def test_a_letter_has_its_script(character, name):
    assert script(character) == name


def test_scripts_are_counted_and_the_main_one_is_of_most_letters():
    assert scripts("ab, β 12") == {"Latin": 2, "Greek": 1}
    assert main_script("ab β") == "Latin" and main_script("12 🐸") == ""
    assert main_script("図書館は開き") == "Japanese" and main_script("图书馆") == "Han"


@pytest.mark.parametrize(
    "text, found",
    [
        ("It's 9 – no, 10!", ["It", "s", "9", "no", "10"]),
        ("पुस्तकालय सुबह", ["पुस्तकालय", "सुबह"]),
        ("e\u0301te\u0301", ["été"]),
        ("two  blanks\n", ["two", "blanks"]),
        ("🐸 …", []),
        ("ห้องสมุดเปิด", None),
        ("the word 日本", None),
    ],
)
def test_words_are_runs_of_letters_marks_and_digits(text, found):
    assert words(text) == found


# ------------------------------------------------------------------------- counts


def test_what_is_counted_is_there():
    found = fertility({"a": "naïve one", "b": "日本", "c": "…"}, BYTES, PAIRS)
    assert found.tokens.tolist() == [[10, 5], [6, 3], [3, 2]]
    assert found.bytes.tolist() == [10, 6, 3] and found.characters.tolist() == [9, 2, 1]
    assert found.words[0] == 2 and found.words[1:].isnan().all()  # none to be told apart, and none at all
    assert found.scripts == ("Latin", "Han", "") and found.vocabularies == ("bytes", "pairs")
    assert found.per_word[0].tolist() == [5, 2.5] and found.per_character[1].tolist() == [3, 1.5]
    assert found.saved().tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 3])
    assert found.saved(1, 0).tolist() == pytest.approx([-1, -1, -0.5])
    assert found.row("b") == 1


def test_the_nano_s_own_tokenizer_can_be_compared_too(official):
    own = lab.vocabulary(lab.load_tokenizer("nano"), "nano")
    found = fertility({"own": "Mia likes tea.", "foreign": "Η βιβλιοθήκη ανοίγει."}, own, official[1])
    assert found.saved()[1] > 0.5 and found.tokens[1, 0] > found.bytes[1] / 2


@pytest.mark.parametrize("texts, vocabularies", [({}, [BYTES]), ({"a": "b"}, []), ({"a": ""}, [BYTES])])
def test_nothing_to_count_is_refused(texts, vocabularies):
    with pytest.raises(lab.InputError, match="at least one"):
        fertility(texts, *vocabularies)


def test_a_text_that_is_not_there_is_named():
    with pytest.raises(lab.InputError, match="no text 'z'"):
        fertility({"a": "b"}, BYTES).row("z")


# ------------------------------------------------------------------------- descriptions


def test_a_spread_is_ends_and_quartiles():
    found = spread([4, 1, math.nan, 2, 3, 5])
    assert (found.n, found.least, found.low, found.median, found.high, found.most) == (5, 1, 2, 3, 4, 5)
    assert str(spread([-0.1, 0.2, 0.5])) == "median 20%, half of them 5% to 35%, n = 3"
    assert str(spread([-0.1])) == "median −10%, half of them −10% to −10%, n = 1"
    with pytest.raises(lab.InputError, match="no number"):
        spread([math.nan])


def test_rank_correlation_is_spearman_s():
    assert rank_correlation([1, 2, 3], [10, 20, 21]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 4], [1, 3, 2, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))  # a tie
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0
    with pytest.raises(lab.InputError, match="as many in both"):
        rank_correlation([1, 2], [1])


def test_scripts_come_with_the_largest_median_first():
    found = fertility({"a": "abcd", "b": "βγ", "c": "a", "d": "12"}, BYTES, PAIRS)
    assert next(iter(by_script(found))) == "Greek" and set(by_script(found)) == {"Latin", "Greek", "no letters"}
    assert by_script(found)["Latin"].n == 2 and by_script(found)["Latin"].median == pytest.approx(0.25)


# ------------------------------------------------------------------------- the texts


def test_our_sentences_are_what_their_names_say():
    samples = languages.sentences()
    spoken = [sample for sample in samples if sample.locale]
    assert len({sample.name for sample in samples}) == len(samples) and len(spoken) >= 15
    wanted = {
        "Hebrew": "Hebrew", "Hindi": "Devanagari", "Thai": "Thai", "Chinese": "Han", "Japanese": "Japanese",
        "Greek": "Greek", "Tamil": "Tamil", "Russian": "Cyrillic", "Arabic": "Arabic", "Turkish": "Latin",
    }  # fmt: skip
    texts = languages.texts(samples)
    assert {name: main_script(texts[name]) for name in wanted} == wanted
    compile(texts["Python code"], "sample", "exec")
    assert set(languages.held_out()).isdisjoint(texts.values()) and len(languages.held_out()) == 20


def test_they_agree_with_what_others_have_found(official):
    """Other sentences in the same languages: the same sign, and not far away."""
    ours = fertility({s.name: s.text for s in languages.sentences() if s.name in KNOWN}, *official)
    assert set(ours.texts) == set(KNOWN)
    for name, (before, after) in KNOWN.items():
        known, mine = 1 - after / before, float(ours.saved()[ours.row(name)])
        assert abs(mine - known) < 0.16, name
        assert (mine > 0) == (known > 0) and (mine < 0) == (known < 0), name
    known = [1 - KNOWN[name][1] / KNOWN[name][0] for name in ours.texts]
    assert rank_correlation(ours.saved(), known) > 0.7


@pytest.mark.parametrize("kind", languages.KINDS)
def test_parallel_lists_mean_the_same_in_more_than_a_hundred_languages(kind):
    lists = languages.parallel(kind)
    assert len(lists) > 100 and not {"no", "root"} & lists.keys()
    assert len({sample.name for sample in lists.values()}) == len(lists)
    expected = {"times": ("März", "vor Stunden", "มีนาคม"), "names": ("Frankreich", "Japanisch", "ญี่ปุ่น")}[kind]
    for part, code in zip(expected, ("de", "de", "th")):
        assert part in lists[code].text
    assert "M03" not in "".join(sample.text for sample in lists.values())
    assert not any("{" in sample.text for sample in lists.values())
    found = fertility({"English": lists["en"].text, "German": lists["de"].text}, BYTES)
    assert torch.all(found.tokens > 300)


def test_another_kind_is_refused():
    with pytest.raises(lab.InputError, match="use times or names"):
        languages.parallel("verbs")
