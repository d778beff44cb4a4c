"""The progress page: what it counts, how it reads as text and as a page, and how it begins anew."""

import re
from html.parser import HTMLParser

import pytest

import qwen35_lab as lab
from qwen35_lab.exercises import Verdict
from qwen35_lab.exercises.progress import progress_of
from qwen35_lab.exercises.record import note


@pytest.fixture
def path(tmp_path, monkeypatch):
    """02.1 passed at the second attempt, 03.1 tried once."""
    monkeypatch.setenv("QWEN35_LAB_PROGRESS", str(tmp_path / "progress.jsonl"))
    for exercise, passed, message in (("02.1", False, "no"), ("02.1", True, "yes"), ("03.1", False, "no")):
        note(Verdict(exercise, passed, message), 1)
    return tmp_path / "progress.jsonl"


def test_as_text(path):
    text = repr(lab.progress())
    assert f"1 of {len(lab.exercises.CHECKS)} exercises passed, 1 more tried." in text
    assert re.search(
        r"02 · One forward pass, opened +1 of 3\n  ✓ 02\.1 +The norm +passed \d{4}-\d\d-\d\d · 2 att", text
    )
    assert re.search(r"  ~ 03\.1 +One step +tried \d{4}-\d\d-\d\d · 1 attempt\n", text)
    assert re.search(r"  · 02\.2 +Find the mistake +not yet\n", text)
    assert f"Kept in {path} on this machine" in text


def test_every_exercise_is_on_the_page_with_its_title():
    page = lab.progress()
    assert page.numbers == sorted(lab.exercises.CHECKS)
    assert all(title for lesson in page.lessons for title in lesson.exercises.values())


class Tags(HTMLParser):
    """Opening and closing tags must match."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_as_a_page_that_stands_alone(path, tmp_path):
    saved = lab.progress().save(tmp_path / "page.html")
    html = saved.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(html)
    assert tags.open == [] and html.startswith("<!doctype html>")
    assert not [attrs for _, attrs in tags.seen if {"src", "href"} & set(attrs)], "it needs nothing else"
    assert "prefers-color-scheme: dark" in html and ("html", {"lang": "en"}) in tags.seen
    assert re.search(
        r"<td>02\.1</td><td>The norm</td><td>✓ passed \d{4}-\d\d-\d\d</td><td class=\"share\">2</td>", html
    )
    assert '<i style="width:6.7%"></i>' in html or len(lab.exercises.CHECKS) != 15


def test_titles_are_escaped_and_unknown_notebooks_have_none(path, tmp_path, monkeypatch):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": text} for text in ("# 02 · A < B", "**02.1 · `<b>`.** x")
    ]
    (tmp_path / "02_a.ipynb").write_text(str({"cells": cells}).replace("'", '"'), encoding="utf-8")
    (tmp_path / "03_broken.ipynb").write_text("{", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    page = progress_of(["02.1", "77.1"])._repr_html_()
    assert "02 · A &lt; B" in page and "<td>`&lt;b&gt;`</td>" in page and "<b>" not in page
    assert "77 · Notebook 77" in page


def test_damaged_lines_are_told(path):
    with open(path, "ab") as file:
        file.write(b"{{{\n\xff")
    assert "2 damaged lines of it could not be read and counted; the others are here." in repr(lab.progress())


def test_reset_begins_anew_and_keeps_the_old_record(path, capsys):
    before = path.read_bytes()
    lab.progress().reset()
    (aside,) = path.parent.glob("progress-until-*.jsonl")
    assert aside.read_bytes() == before and str(aside) in capsys.readouterr().out
    assert "0 of" in repr(lab.progress())
    lab.progress().reset()
    assert "nothing to reset" in capsys.readouterr().out


def test_without_a_record_it_says_so(monkeypatch):
    monkeypatch.setenv("QWEN35_LAB_PROGRESS", "off")
    assert "Nothing is kept: QWEN35_LAB_PROGRESS is off." in repr(lab.progress())
    lab.progress().reset()


def test_a_place_that_cannot_be_written_is_refused(path, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(lab.LabError, match="could not be written"):
        lab.progress().save(tmp_path / "file" / "page.html")
