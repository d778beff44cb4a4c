"""Heat maps and strips: the cells are the numbers, captions name the right ones, nothing hangs on colour alone."""

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.views import heat_map, logit_lens_map, picture, recall_grid, theme, token_strip
from qwen35_lab.views.maps import MARKED, WRITTEN, in_cells
from qwen35_lab.views.words import listed, minus, short, signed

FROM = "TINY · made for a test"
VALUES = torch.tensor([[1.5, -2.25, 0.0], [torch.nan, 4.0, 0.125]])
ROWS, COLUMNS = ["first", "second"], ["a", "b", "c"]


WHITE = '<span style="color:white">'


def cells(figure) -> torch.Tensor:
    return torch.tensor(figure.data[0].z)


def texts(figure) -> list[list[str]]:
    """What stands in the cells, whatever its colour."""
    return [[text.removeprefix(WHITE).removesuffix("</span>") for text in row] for row in figure.data[0].text]


def test_a_heat_map_draws_the_numbers_and_names_the_extremes():
    figure = heat_map(VALUES, ROWS, COLUMNS, provenance=FROM, what="score", axes=("who", "what"))
    torch.testing.assert_close(cells(figure), VALUES, equal_nan=True)
    assert figure.data[0].zmin == -4 and figure.data[0].zmax == 4  # zero in the middle
    assert "largest at second · b, 4" in figure.caption() and "smallest at first · b, −2.25" in figure.caption()
    assert figure.layout.xaxis.title.text == "what" and figure.layout.yaxis.title.text == "who"
    assert figure.provenance() == FROM and "20% negative" in figure.alt()


@pytest.mark.parametrize("rows", [2, 20])
def test_the_name_of_a_scale_is_no_longer_than_the_scale(rows):
    values, names = torch.rand(rows, 2), [str(n) for n in range(rows)]
    figure = heat_map(values, names, ["a", "b"], provenance=FROM, what="share of the values that pass")
    lines = figure.data[0].colorbar.title.text.split("<br>")
    assert " ".join(lines) == "share of the values that pass" and (len(lines) == 1) == (rows == 20)
    assert 7 * max(map(len, lines)) <= figure.layout.height - 130


def test_values_that_are_never_negative_get_a_scale_from_zero():
    figure = heat_map(torch.tensor([[0.5, 2.0]]), ["r"], ["a", "b"], provenance=FROM)
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 2)
    assert [place for place, _ in figure.data[0].colorscale] == [place for place, _ in theme.SEQUENTIAL]


def test_small_maps_bear_numbers_and_larger_ones_a_minus_where_they_are_negative():
    assert in_cells(torch.tensor([[-1.0, torch.nan]]), 1.0) == [["−1", ""]]
    values = torch.full((WRITTEN[0] + 1, 3), -1.0)
    values[0, 0] = 1
    marks = in_cells(values, 1.0)
    assert marks[0] == ["", "−", "−"] and marks[-1] == ["−"] * 3
    assert not any(any(row) for row in in_cells(torch.full((MARKED + 1, 3), -1.0), 1.0))


@pytest.mark.parametrize("sign", [1, -1])
def test_text_on_a_strong_colour_is_white(sign):
    figure = heat_map(sign * VALUES, ROWS, COLUMNS, provenance=FROM)
    white = [[text.startswith(WHITE) for text in row] for row in figure.data[0].text]
    assert white == [[False, True, False], [False, True, False]]  # −2.25 and 4 of 4
    assert texts(figure)[1] == ["", "4" if sign > 0 else "−4", "0.125" if sign > 0 else "−0.125"]


@pytest.mark.parametrize(
    "values, rows", [(VALUES, ["one"]), (VALUES[0], ROWS), (torch.full((2, 3), torch.nan), ROWS)], ids=range(3)
)
def test_maps_of_nothing_or_with_missing_names_are_refused(values, rows):
    with pytest.raises(lab.InputError, match=r"pass a matrix|nothing to draw"):
        heat_map(values, rows, COLUMNS, provenance=FROM)


@pytest.mark.parametrize("count", [1, 5, 23, 60])
def test_a_strip_shows_every_token_once_with_its_value(count):
    tokens = [f"w{n}" for n in range(count)]
    values = torch.linspace(-1, 3, count)
    figure = token_strip(tokens, values, provenance=FROM, what="β")
    drawn, written = cells(figure).flatten(), [text for row in texts(figure) for text in row]
    torch.testing.assert_close(drawn[:count], values)
    assert drawn[count:].isnan().all() and not any(written[count:])
    for token, value, text in zip(tokens, values.tolist(), written, strict=False):
        assert text.startswith(token + "<") and short(value) in text
        assert f"{token} {short(value)}" in figure.alt()
    assert f"most at token {count - 1} “w{count - 1}”" in figure.caption()


def test_spaces_can_be_seen_in_a_strip():
    assert "␣a" in texts(token_strip([" a", "\n"], torch.tensor([1.0, 2.0]), provenance=FROM))[0][0]


def test_a_strip_needs_one_value_per_token():
    with pytest.raises(lab.InputError, match="one value for each token"):
        token_strip(["a", "b"], torch.zeros(3), provenance=FROM)


def test_a_recall_grid_is_in_percent_and_counts_the_good_cells():
    accuracy = torch.tensor([[1.0, 0.995, 0.5], [torch.nan, 0.25, 0.0625]])
    figure = recall_grid(accuracy, [2, 4], [8, 16, 32], provenance=FROM, axes=("keys", "writes"), chance=1 / 16)
    assert texts(figure)[0] == ["100%", "100%", "50%"]
    assert texts(figure)[1][0] == ""  # nothing was asked
    assert "2 of 5 cells reach 99 %" in figure.caption() and "6.2%" in figure.caption()
    assert "smallest at 4 · 32, 0.0625" in figure.caption()


def test_the_lens_map_writes_the_best_guess_and_marks_what_is_final():
    qwen = lab.load("recall")
    trace = qwen.trace("cat red . dog blue . ? cat", ["*"])
    lens = lab.logit_lens(qwen.model, trace)
    words = {n: qwen.token_text(n) for n in lens.ids.unique().tolist()}
    figure = logit_lens_map(lens, trace.tokens, words, provenance=trace.provenance)
    torch.testing.assert_close(cells(figure), lens.probabilities[..., 0])
    text = texts(figure)
    for row in range(len(lens.ids)):
        for n in range(len(trace.tokens)):
            assert text[row][n].endswith("*") == bool(lens.chosen_rank[row, n] == 0)
            shown = text[row][n].removesuffix("*").removesuffix("…")
            assert shown and words[int(lens.ids[row, n, 0])].startswith(shown)
    assert figure.layout.yaxis.autorange is True  # upwards
    early = sum(lens.settled(n) < len(lens.ids) - 1 for n in range(len(trace.tokens)))
    assert f"{early} of {len(trace.tokens)} guesses" in figure.caption()
    assert figure.provenance().startswith("TINY")
    with pytest.raises(lab.InputError, match="pass the tokens of its trace"):
        logit_lens_map(lens, trace.tokens[1:], words, provenance=FROM)
    with pytest.raises(lab.InputError, match=r"pass \{id: text\}"):
        logit_lens_map(lens, trace.tokens, {}, provenance=FROM)


@pytest.mark.parametrize("value, text", [(-0.001, "0.00"), (-1.5, "−1.50"), (2, "2.00")])
def test_signed_numbers_have_a_real_minus_and_no_negative_zero(value, text):
    assert signed(value) == text and minus("-1") == "−1"


def test_lists_are_read_aloud():
    assert [listed(x) for x in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_a_picture_is_shown_as_it_is_and_said_in_words():
    pixels = torch.zeros(2, 3, 3, dtype=torch.uint8)
    pixels[:, :, 0] = 60
    pixels[0, 0] = torch.tensor([0, 120, 255])
    figure = picture(pixels.numpy(), provenance=FROM)
    assert torch.equal(torch.as_tensor(figure.data[0].z), pixels)
    assert "3 × 2 pixels" in figure.caption() and figure.provenance() == FROM
    assert figure.alt() == "A picture of 3 × 2 pixels; its mean colour is rgb(50, 20, 42)."


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3, 3), torch.zeros(2, 3, dtype=torch.uint8)])
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(lab.InputError, match="uint8"):
        picture(wrong, provenance=FROM)
