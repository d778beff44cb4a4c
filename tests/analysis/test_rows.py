"""What two tables share, what their rows are, and what they cost a model."""

import pytest

import qwen35_lab as lab
from qwen35_lab.analysis.rows import BLANK, DIGITS, PART, SIGNS, Overlap, kind, lengths, table_cost
from qwen35_lab.inputs import Vocabulary


def table(name: str, *tokens: str) -> Vocabulary:
    return Vocabulary(name, {token.encode(): n for n, token in enumerate(tokens)}, {}, ".", lambda text: [])


def test_tables_are_compared_by_their_bytes():
    found = Overlap(table("a", "x", "the", "λ", "日"), table("b", "x", "λ", "the", "ש", "new"))
    assert found.shared == {b"x", b"the", "λ".encode()} and found.same_id == 1
    assert found.gone == {"日".encode()} and found.added == {"ש".encode(), b"new"}
    assert found.by_script() == {"Latin": (2, 3, 2), "Greek": (1, 1, 1), "Hebrew": (0, 1, 0), "Han": (1, 0, 0)}


def test_the_official_tables_share_what_was_counted_before():
    found = Overlap(lab.vocabulary("Qwen3"), lab.vocabulary("Qwen3.5"))
    assert (len(found.shared), found.same_id) == (131_586, 281)
    assert len(found.shared) + len(found.added) == 248_044 and len(found.shared) + len(found.gone) == 151_643
    rows = found.by_script()
    assert sum(before for before, _, _ in rows.values()) == 151_643
    assert sum(after for _, after, _ in rows.values()) == 248_044
    assert all(both <= min(before, after) for before, after, both in rows.values())
    assert rows["Hebrew"][1] < rows["Hebrew"][0] / 4 and rows["Devanagari"][1] > 10 * rows["Devanagari"][0]


@pytest.mark.parametrize(
    "token, name",
    [(b" the", "Latin"), ("9λ".encode(), "Greek"), (b"\n  ", BLANK), (b" 12", DIGITS), (b"):\n", SIGNS),
     ("🐸".encode(), SIGNS), (b"\xe0\xa4", PART), (b"a\xe0", PART)],
)  # fmt: skip
def test_a_row_is_of_one_kind(token, name):
    assert kind(token) == name


def test_lengths_are_in_bytes_and_the_last_place_holds_the_rest():
    assert lengths(frozenset({b"a", b"b", "λ".encode(), b"x" * 40}), most=4).tolist() == [2, 1, 0, 1]


def test_what_a_table_costs_is_counted_from_the_config():
    small, large = (table_cost(lab.load_config(name), 248_077) for name in ("0.8B", "9B"))
    assert (small.tables, small.parameters, small.total) == (1, 254_279_680, 873_438_784)
    assert (large.tables, large.parameters) == (2, 2 * 1_017_118_720)
    assert (small.rows, small.width, small.unused, small.row) == (248_320, 1024, 243, 1024)
    assert large.row == 2 * large.width and small.share == pytest.approx(0.2911, abs=1e-4)


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(lab.InputError, match="pass the tokenizer of this model"):
        table_cost(lab.load_config("0.8B"), 300_000)
