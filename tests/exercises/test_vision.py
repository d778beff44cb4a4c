"""The exercises of notebook 08: right answers pass however they are written, wrong ones are told what is wrong."""

import pytest
import torch
from answers import written

import qwen35_lab as lab
from qwen35_lab.exercises.page import legible
from qwen35_lab.exercises.vision import MOST, PAGES, POSITION_MISTAKES, mrope_positions, texts
from qwen35_lab.inputs import ImageSettings, image_size

# ------------------------------------------------------------------------- 08.1  mrope_positions

POSITIONS = """
    def mrope_positions(parts):
        found, p = [], 0
        for part in parts:
            if isinstance(part, int):
                found += [(p + n, p + n, p + n) for n in range(part)]
                p += part
            else:
                h, w = part
                found += [(p, p + row, p + column) for row in range(h) for column in range(w)]
                p += max(h, w)
        return torch.tensor(found).T
"""
JUMP, CELL, RETURN = "p += max(h, w)", "(p, p + row, p + column)", "return torch.tensor(found).T"
ORDER = "for row in range(h) for column in range(w)"


def by_lists(parts):
    time, height, width = [], [], []
    for part in parts:
        p = max(time + height + width, default=-1) + 1
        rows, columns = (1, part) if isinstance(part, int) else part
        for n in range(rows * columns):
            text = isinstance(part, int)
            time.append(p + n if text else p)
            height.append(p + n if text else p + n // columns)
            width.append(p + n if text else p + n % columns)
    return time, height, width


@pytest.mark.parametrize("answer", [written(POSITIONS), by_lists, written(POSITIONS, (RETURN, f"{RETURN}.float()"))])
def test_right_positions_pass_however_they_are_written(answer):
    verdict = lab.check("08.1", answer)
    assert verdict, verdict


WRONG_POSITIONS = {
    "You count tokens": [(RETURN, "return torch.arange(len(found)).expand(3, -1)")],
    "not h·w": [(JUMP, "p += h * w")],
    "goes on at its height": [(JUMP, "p += h")],
    "goes on at its width": [(JUMP, "p += w")],
    "goes on one too far": [(JUMP, "p += max(h, w) + 1")],
    "begins on the picture's last position": [(JUMP, "p += max(h, w) - 1")],
    "goes on at its shorter side": [(JUMP, "p += min(h, w)")],
    "as if the picture took up one position": [(JUMP, "p += 1")],
    "Height and width are exchanged": [(CELL, "(p, p + column, p + row)")],
    "counted from 0 in every picture": [(CELL, "(p, row, column)")],
    "Time runs on with the rows": [(CELL, "(p + row, p + row, p + column)")],
    "Time counts the tokens": [(RETURN, "found = [(n, h, w) for n, (_, h, w) in enumerate(found)]; " + RETURN)],
    "column by column": [(ORDER, "for column in range(w) for row in range(h)")],
    "Turn it over with .T": [(RETURN, "return torch.tensor(found)")],
    "no table of numbers": [(RETURN, "return {'found': found}")],
    "returns nothing yet": [(RETURN, "return None")],
    "must take one argument, (parts)": [("(parts)", "(parts, grid)")],
    "token 3 stands at (3, 3, 4); it should stand at (3, 3, 3)": [(CELL, "(p, p + row, p + column + 1)")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_POSITIONS.items(), ids=list(WRONG_POSITIONS))
def test_wrong_positions_are_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("08.1", written(POSITIONS, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_mistake_that_the_checker_knows_is_made_here_and_told_apart():
    for told, _ in POSITION_MISTAKES:
        assert sum(diagnosis in told for diagnosis in WRONG_POSITIONS) == 1, told
    seen = [[wrong(parts).tolist() for parts in texts()] for _, wrong in POSITION_MISTAKES]
    assert len({str(each) for each in seen}) == len(seen)


def test_the_oracle_is_the_rule():
    for parts in texts():
        assert mrope_positions(parts).tolist() == [list(row) for row in by_lists(parts)]


# ------------------------------------------------------------------------- 08.2  page_size

SIZE = """
    def page_size(height, width, most):
        share = ((most - 1) * 32**2 / (height * width)) ** 0.5
        return int(height * share) // 32 * 32, int(width * share) // 32 * 32
"""
SHARE, GIVE = (
    "share = ((most - 1) * 32**2 / (height * width)) ** 0.5",
    "int(height * share) // 32 * 32, int(width * share) // 32 * 32",
)


def by_search(height, width, most):
    """The largest of a hundred sizes that stays below."""
    sizes = [(height * n / 100, width * n / 100) for n in range(10, 101)]
    return max(size for size in sizes if ImageSettings().tokens(*map(int, size)) < most)


@pytest.mark.parametrize("answer", [written(SIZE), by_search])
def test_a_right_size_passes_however_it_is_found(answer):
    verdict = lab.check("08.2", answer)
    assert verdict, verdict


@pytest.mark.parametrize(
    "diagnosis, edits",
    {
        "For a page of 1300 × 1300: 1024 × 1024 is resized to 1024 × 1024 and costs 1,024 tokens; stay below 1,024.":
            [("(most - 1)", "most")],
        "up as well as down": [("(most - 1)", "most"), (GIVE, "height * share, width * share")],
        "stay below": [(SHARE, "share = 1")],
        "Shrink both edges alike": [(GIVE, "992, 992")],
        "use more of the 1,024 tokens": [("(most - 1)", "(most / 2)")],
        "not cells": [(GIVE, "25, 38")],
        "Return two numbers": [(GIVE, "height")],
        "at least one pixel": [(GIVE, "0, 0")],
        "cut it": [(GIVE, "2000, 8")],
        "returns nothing yet": [("return", "return None;")],
    }.items(),
)  # fmt: skip
def test_a_wrong_size_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("08.2", written(SIZE, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_the_reader_reads_what_is_there_and_guesses_what_is_gone():
    height, width = PAGES[2]
    assert legible(height, width, height, width) == 1
    assert legible(height, width, 64, 64) < 0.25


def test_there_is_room_for_an_answer_and_not_too_much():
    """The best size leaves something to spare; half of its tokens do not do."""
    settings = ImageSettings()
    for height, width in PAGES:
        share = ((MOST - 1) * 32**2 / (height * width)) ** 0.5
        best, half = (
            image_size(int(height * s) // 32 * 32, int(width * s) // 32 * 32, settings) for s in (share, share * 0.6)
        )
        assert legible(height, width, *best) > 0.915
        assert legible(height, width, *half) < 0.8


# ------------------------------------------------------------------------- 08.3  after two pictures

GIVEN = [4, (4, 6), 2, (5, 3), 7]


@pytest.mark.parametrize("answer", [(17, 17, 17), [17, 17, 17], torch.tensor([17, 17, 17]), 17])
def test_the_right_place_passes(answer):
    verdict = lab.check("08.3", answer, given=GIVEN)
    assert verdict, verdict


@pytest.mark.parametrize(
    "answer, diagnosis",
    [(45, "You count tokens"), (15, "add the heights; "), (13, "shorter sides"), (11, "first picture is missing"),
     (12, "where the second picture begins"), (16, "One too little"), (18, "One too much"),
     ((17, 21, 20), "one and the same"), (99, "Go through the parts"), (..., "No answer yet"),
     ("seventeen", "three whole numbers"), ((17, 17), "2 numbers")],
)  # fmt: skip
def test_a_wrong_place_is_told_what_is_wrong(answer, diagnosis):
    verdict = lab.check("08.3", answer, given=GIVEN)
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_an_exercise_without_its_text_is_refused():
    with pytest.raises(lab.InputError, match="two pictures"):
        lab.check("08.3", 4, given=[4, (2, 2)])
