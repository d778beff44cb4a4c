"""Published scores and features: read by their schema, never filled in, and a bad row gets one clear sentence."""

import re

import pytest

import qwen35_lab as lab
from qwen35_lab.published import SCHEMAS, TABLES, check_row, features, read_table, scores

SCORE = {
    "table": "small_language", "benchmark": "GPQA Diamond", "category": "STEM", "model": "X", "score": "81.7",
    "setting": "", "date": "2026-03-02", "source": "card of x/y", "note": "",
}  # fmt: skip


def test_the_shipped_tables_keep_their_rules():
    assert len(scores()) > 1600 and {score.table for score in scores()} == set(TABLES)
    assert len(features()) > 15
    for table in SCHEMAS:
        assert read_table(table)


def test_nobody_has_two_numbers_in_one_setting():
    keys = [(s.table, s.benchmark, s.model, s.setting) for s in scores()]
    assert len(keys) == len(set(keys))


def test_scores_are_percentages_but_for_ratings():
    assert all(score.score <= 100 or score.setting.startswith("rating") for score in scores())


@pytest.mark.parametrize(
    "change, said",
    [
        ({"table": "big"}, "must be one of 397b_base"),
        ({"benchmark": " "}, "`benchmark` is ''; it must not be empty"),
        ({"score": "81,7"}, "plain number"),
        ({"score": "nan"}, "0 or more"),
        ({"score": "-1"}, "0 or more"),
        ({"date": "2 March"}, "a day written as 2026-03-11"),
        ({"date": "20260302"}, "written as 2026-03-11"),
        ({"date": "2999-01-01"}, "between 2025-01-01 and today"),
        ({"source": ""}, "can be read again"),
        ({"source": "internet"}, "can be read again"),
        ({"source": "https://example.org"}, "whole site"),
        ({"source": "a card, from memory"}, "not from memory"),
        ({"model": ["X"]}, "is a list; write it as text"),
        ({"score": 10**400}, "0 or more"),
        ({"points": "3"}, "no column 'points'"),
    ],
)
def test_a_bad_cell_gets_one_sentence(change, said):
    with pytest.raises(lab.InputError) as refused:
        check_row("benchmarks", SCORE | change)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_good_row_comes_back_typed():
    assert check_row("benchmarks", SCORE)["score"] == 81.7
    with pytest.raises(lab.InputError, match="`score` is ''"):
        check_row("benchmarks", {k: v for k, v in SCORE.items() if k != "score"})


@pytest.mark.parametrize("line, said", [("a,b", "more or fewer cells"), ("one,two,x,2026-03-11,vague,", "line 2")])
def test_a_bad_line_of_a_file_is_named(tmp_path, line, said):
    file = tmp_path / "competitors.csv"
    file.write_text("model,feature,value,date,source,note\n" + line + "\n", encoding="utf-8")
    with pytest.raises(lab.InputError, match=said) as refused:
        read_table("competitors", path=file)
    assert re.match(r"competitors\.csv, line 2: ", str(refused.value))


def test_filters_keep_what_has_that_name_and_refuse_what_nothing_has():
    found = scores(table="397b_language", benchmark="BrowseComp", model="Qwen3.5-397B-A17B")
    assert {(s.setting, s.score) for s in found} == {("context folding", 69.0), ("discard-all", 78.6)}
    assert scores(table="397b_language", benchmark="BrowseComp-zh", model="K2.5-1T-A32B") == (), "a gap stays a gap"
    with pytest.raises(lab.InputError, match="did you mean 'GPQA'"):
        scores(benchmark="GPQ")
    with pytest.raises(lab.InputError, match="no model"):
        scores(model="zzz")
