"""What a benchmark says: a mark that is missed is said, whoever reads it, and the figure shows what the table says."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from benchmarks import bench, report
from benchmarks.host import read_cpu
from benchmarks.race import Case, Given, Mark, Result
from benchmarks.report import Row

MACHINE = {"CPU": "a chip", "threads": "1"}
FAST = Row("text", "prefill", "transformers", 0.01, 0.02, (1.9, 2.0, 2.1), 5, 1.5, True, (0.9, 0.45), 0.85)
SLOW = replace(FAST, what="decoding", quartiles=(1.0, 1.1, 1.2), reached=False, share=(0.6, 0.5))
FREE = replace(FAST, what="delta rule", goal=None, reached=None, share=None, share_goal=None)
WAIT = Mark("a dial", 120.0, "ms", 100.0, "quartiles 110 … 130")


def test_a_row_has_what_the_race_found():
    case = Case("prefill", list, list, goal=1.5, rival="eager", share=0.85)
    row = Row.of("text", case, Result(0.01, 0.02, (1.0, 1.0, 1.0), ((0.9, 0.5),) * 3))
    assert (row.area, row.what, row.rival, row.rounds) == ("text", "prefill", "eager", 3)
    assert (row.reached, row.share, row.share_reached) == (False, (0.9, 0.5), True)


@pytest.mark.parametrize("row, said", [(FAST, "reached"), (SLOW, "MISSED"), (FREE, "")])
def test_the_table_says_whether_a_goal_is_reached(row, said):
    assert row.cells()[-1] == said
    assert bool(row.cells()[-2]) == (row.goal is not None)


def test_times_are_in_milliseconds_and_every_column_has_a_name():
    cells = FAST.cells()
    assert cells[2:6] == ["10", "20", "2.00", "1.90 … 2.10"] and len(cells) == len(report.HEAD)
    names, rule = report.head(report.HEAD).splitlines()
    assert names.count("|") == rule.count("|") == len(cells) + 1


def test_the_bounds_are_told_once_for_what_has_several_rivals():
    table = report.bounds([FAST, replace(FAST, rival="eager", share=(0.7, 0.2)), SLOW, FREE]).splitlines()
    assert table[2:] == ["| prefill | 90% | 45% | ≥ 85% | reached |", "| decoding | 60% | 50% | ≥ 85% | MISSED |"]
    assert report.bounds([FREE]) == ""


def test_a_mark_says_what_was_wanted_and_missed():
    *_, line = report.marks([WAIT]).splitlines()
    assert line == "| a dial | 120 ms | ≤ 100 ms | MISSED | quartiles 110 … 130 |"
    assert "reached" in report.marks([replace(WAIT, value=99.0)])
    assert report.marks([]) == ""


def test_the_verdict_counts_what_was_promised_and_names_what_was_missed():
    said, missed = report.verdict([FAST, SLOW, FREE], [WAIT])
    assert said == "2 of 5 marks reached."  # prefill and its share
    assert missed == "Missed: decoding (against transformers); decoding, share of the bound; a dial."
    assert report.verdict([FAST], []) == ("2 of 2 marks reached.", "")


def test_results_can_be_read_by_a_program(tmp_path):
    report.write(tmp_path, MACHINE, [], [WAIT])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json"]  # no comparison, no figure
    told = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert told["machine"] == MACHINE and told["marks"][0]["reached"] is False


def test_the_figure_has_every_comparison_with_its_quartiles_and_what_was_wanted():
    drawn = report.figure(MACHINE, [FAST, SLOW, FREE]).to_dict()
    dots, ticks = drawn["data"]
    assert list(dots["x"]) == [2.0, 1.1, 2.0] and dots["y"][0] == "prefill · transformers"
    assert dots["error_x"]["array"] == pytest.approx((0.1, 0.1, 0.1))
    assert list(ticks["x"]) == [1.5, 1.5] and list(ticks["y"]) == list(dots["y"][:2])
    assert list(dots["marker"]["symbol"]) == ["circle", "circle-open", "circle"]
    assert drawn["layout"]["xaxis"]["type"] == "log" and drawn["layout"]["shapes"][0]["x0"] == 1


def test_the_page_says_in_words_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(report.Figure, "static", lambda self, width: b"a picture")
    report.write(tmp_path, MACHINE, [FAST, SLOW], [])
    page = (tmp_path / "ratios.html").read_text(encoding="utf-8")
    assert "2 of 4 marks reached" in page and "prefill · transformers 2.00" in page and "a chip with 1 thread:" in page
    assert (tmp_path / "ratios.png").read_bytes() == b"a picture"


def test_without_a_browser_there_is_no_picture_and_it_is_said(tmp_path, monkeypatch, capsys):
    def refuse(self, width):
        raise report.LabError("no Chromium")

    monkeypatch.setattr(report.Figure, "static", refuse)
    report.write(tmp_path, MACHINE, [FAST], [])
    assert not (tmp_path / "ratios.png").exists() and "no Chromium" in capsys.readouterr().out


def test_a_picture_is_drawn_only_where_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(report.Figure, "static", lambda self, width: b"a picture")
    report.write(tmp_path, MACHINE, [FAST], [], picture=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ratios.html", "results.json"]


@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_says_what_it_leaves_out(quick, monkeypatch, capsys):
    area = SimpleNamespace(marks=lambda given: [WAIT], NOT_QUICK="long texts")
    monkeypatch.setattr(bench, "import_module", lambda name: area)
    assert bench.run("text", Given(quick)) == [WAIT]
    assert ("Only without --quick: long texts." in capsys.readouterr().out) == quick


@pytest.mark.parametrize("area", bench.AREAS)
def test_every_area_has_something_to_measure(area):
    module = bench.import_module(f"benchmarks.{area}_cases")
    assert hasattr(module, "cases") or hasattr(module, "marks")


def test_a_cpu_is_named_as_linux_names_it(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: A\nflags\t\t: avx2 avx512f\n\nmodel name\t: B\nflags\t\t: sse\n", encoding="utf-8")
    assert read_cpu(info) == ("A", {"avx2", "avx512f"})
    name, flags = read_cpu(tmp_path / "missing")
    assert name and not flags
