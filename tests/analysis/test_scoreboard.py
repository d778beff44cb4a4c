"""Who is at least as good as whom: gaps are counted as gaps, whichever way the rows are added up."""

import math

import pytest

import qwen35_lab as lab
from qwen35_lab.analysis.scoreboard import FLAGSHIP, WAYS, Tally, at_least, grid, mean_scores, two_settings
from qwen35_lab.published import Score, scores

OURS, GPT, CLAUDE = "Qwen3.5-397B-A17B", "GPT5.2", "Claude 4.5 Opus"


def made(*cells: tuple[str, str, float, str]) -> list[Score]:
    return [
        Score("small_language", b, "c", m, value, setting, "2026-03-02", "a/b", "") for b, m, value, setting in cells
    ]


def test_a_grid_has_gaps_where_nothing_was_printed():
    board = grid(made(("x", "A", 1, ""), ("x", "B", 2, ""), ("y", "A", 3, "")))
    assert [(row.benchmark, model) for row, model in board.gaps()] == [("y", "B")]
    assert math.isnan(board.values()[1, 1]) and board.values()[0].tolist() == [1, 2]


def test_published_gaps_are_those_of_the_tables():
    board = grid(scores(table="397b_language"))
    assert [(row.benchmark, m) for row, m in board.gaps()] == [
        ("HLE-Verified", "K2.5-1T-A32B"), ("BrowseComp-zh", "K2.5-1T-A32B")
    ]  # fmt: skip
    assert len(grid(scores(table="397b_vision")).gaps()) == 29


@pytest.mark.parametrize(
    "rivals, counted", [((GPT,), (41, 75, 84)), ((CLAUDE,), (47, 77, 84)), ((GPT, CLAUDE), (31, 75, 84))]
)
def test_the_eighty_percent_recounted(rivals, counted):
    """The same counts by hand: facts of November 2026."""
    found = at_least(OURS, rivals)
    assert (found.won, found.compared, found.rows) == counted
    assert max(found.share(way) for way in WAYS) < 0.8


def test_three_ways_with_gaps():
    tally = Tally(won=6, compared=8, rows=10)
    assert [tally.share(way) for way in WAYS] == [0.75, 0.6, 0.8]
    with pytest.raises(lab.InputError, match="no way 'x'"):
        tally.share("x")


def test_any_rival_is_easier_than_all_and_the_worst_setting_harder_than_the_best():
    assert at_least(OURS, (GPT, CLAUDE), any_of_them=True).won > at_least(OURS, (GPT, CLAUDE)).won
    assert at_least(OURS, (GPT,), best=False).won <= at_least(OURS, (GPT,)).won
    with pytest.raises(lab.InputError, match="GPT-9 is not in"):
        at_least(OURS, ("GPT-9",))


def test_means_over_own_rows_and_over_common_rows_rank_models_differently():
    board = grid(scores(table="397b_vision"))
    own, common = (mean_scores(board, common=c) for c in (False, True))
    assert max(common, key=lambda m: common[m][0]) == OURS != max(own, key=lambda m: own[m][0])
    assert len({count for _, count in common.values()}) == 1


def test_a_rating_is_in_no_mean():
    board = grid(scores(table="medium_language"))
    assert all(mean <= 100 for mean, _ in mean_scores(board, common=False).values())


def test_two_settings_of_one_model():
    pairs = two_settings(made(("x", "A", 5, "on"), ("x", "A", 3, "off"), ("y", "A", 1, "")))
    assert [(p.lower.setting, p.higher.setting, p.apart) for p in pairs] == [("off", "on", 2)]
    found = {(p.benchmark, p.model): p for p in two_settings(scores(table=FLAGSHIP))}
    assert found["BrowseComp", OURS].higher.setting == "discard-all"
