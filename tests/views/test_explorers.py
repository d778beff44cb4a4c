"""The explorers of prices and scores: the browser's rules are the package's, and everybody gets to see something."""

import json
import random
import shutil
import subprocess
from dataclasses import asdict

import pytest

import qwen35_lab as lab
from qwen35_lab.analysis.scoreboard import grid
from qwen35_lab.prices import Price, Workload, monthly_cost, price_list
from qwen35_lab.published import scores
from qwen35_lab.views import (
    claims_table,
    price_days,
    price_explorer,
    score_explorer,
    settings_chart,
    tally_chart,
    verdict_chart,
)
from qwen35_lab.views.price_explorer import _offer
from qwen35_lab.views.widget import HERE

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
OFFERS = [price for price in price_list(date="2026-03-11") if not price.free]


def in_node(file: str, ask: str, question: object):
    script = (
        (HERE / file).read_text(encoding="utf-8")
        + f"""
const asked = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify({ask}));"""
    )
    run = subprocess.run(["node", "-e", script], input=json.dumps(question), capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@needs_node
def test_the_browsers_bill_is_the_packages():
    draw, works = random.Random(2), []
    for _ in range(40):
        prompt = draw.choice([100, 8_000, 199_999, 200_000, 200_001, 300_000])
        sizes = (draw.randrange(10**5), prompt, draw.randrange(900), draw.randrange(9000))
        works.append(Workload(*sizes, draw.random(), draw.choice([1.0, 2.1])))
    tiered = Price("2026-03-11", "m", "p", 2.0, 12.0, None, 256_000, 3.0, None, 0.5, None, "m", "a/b", "")
    question = {"offers": [_offer(p) for p in [*OFFERS, tiered]], "works": [asdict(work) for work in works]}
    found = in_node("price_rules.js", "asked.works.map(w => asked.offers.map(p => monthOf(p, w, 30).usd))", question)
    for work, row in zip(works, found, strict=True):
        for offer, usd in zip([*OFFERS, tiered], row, strict=True):
            right = monthly_cost(offer, work)
            assert usd == (None if right is None else pytest.approx(right))


@needs_node
def test_the_browsers_tally_is_the_packages():
    shown = score_explorer()
    data, asked = json.loads(shown.payload), []
    for table, ours, theirs in (("397b_language", "Qwen3.5-397B-A17B", "GPT5.2"),
                                ("397b_vision", "Qwen3.5-397B-A17B", "Claude 4.5 Opus"),
                                ("small_language", "Qwen3.5-9B", "GPT-OSS-120B")):  # fmt: skip
        asked.append({"table": table, "category": "", "benchmark": "", "ours": ours, "theirs": theirs})
    asked.append({**asked[1], "category": "Visual Agent"})
    call = "asked.here.map(h => tallyOf(asked.d, keptRows(asked.d, h), h.ours, h.theirs))"
    for here, found in zip(asked, in_node("score_rules.js", call, {"d": data, "here": asked}), strict=True):
        for name, value in here.items():
            setattr(shown, name, value)
        assert found == {name: getattr(shown.tally(), name) for name in ("won", "compared", "rows")}


def test_costs_are_shown_cheapest_first_and_what_does_not_fit_last():
    shown = price_explorer(OFFERS, {"English": 1.0}, own={"ours": 14_400.0}, prompt=14)
    usd = [cost for _, cost in shown.costs()]
    fits = [cost for cost in usd if cost is not None]
    assert None in usd and fits == sorted(fits) and usd[len(fits) :] == [None] * (len(usd) - len(fits))
    assert ("ours", 14_400.0) in shown.costs() and "does not fit" in shown.alt()
    assert "2026-03-11" in shown.provenance() and "not present ones" in shown.caption()
    assert shown.static().startswith(b"\x89PNG") and "q35-price_explorer" in shown.html()


def test_the_score_explorer_keeps_gaps_and_settings():
    shown = score_explorer(table="397b_language")
    shown.benchmark = "BrowseComp"
    assert "69 / 78.6" in shown.alt()
    shown.benchmark, shown.theirs = "BrowseComp-zh", "K2.5-1T-A32B"
    assert shown.tally().gaps == 1 and "gap" in shown.alt()
    assert shown.static().startswith(b"\x89PNG")
    assert len(json.loads(shown.payload)["cells"]) == len(grid(scores()).rows)


def test_charts_say_what_they_count():
    claims = lab.article_claims()
    assert f"{len(claims)} claims" in verdict_chart(claims).caption()
    assert "✗ wrong" in claims_table(claims)._repr_html_() and "✗" in repr(claims_table(claims))
    tally = lab.analysis.scoreboard.Tally(1, 2, 4)
    assert "1 of 2 rows (50%), 2 gaps" in tally_chart({"x": tally}, 0.8, provenance="PUBLISHED · x").caption()
    assert "2026-07-02" in price_days(price_list(model="Qwen3.5-Plus")).caption()


def test_hatchings_have_the_colour_of_their_bar_and_numbers_a_ground_of_their_own():
    tally = lab.analysis.scoreboard.Tally(1, 2, 4)
    shown = tally_chart({"x": tally}, 0.8, provenance="PUBLISHED · x")
    for bar in [*verdict_chart(lab.article_claims()).data, *shown.data]:
        assert bar.marker.pattern.fgcolor is None  # white would be the page's own colour
    assert [(note.text, note.x) for note in shown.layout.annotations] == [("1", 12.5), ("2", 50), ("1", 87.5)]
    assert all(note.bgcolor for note in shown.layout.annotations)


def test_settings_are_written_where_there_is_room_for_them():
    pairs = lab.analysis.scoreboard.two_settings(scores())[:2]
    shown = settings_chart(pairs, provenance="PUBLISHED · x")
    assert {line.mode for line in shown.data} == {"lines+markers"}  # text at a point is cut off at the edge
    for pair, note in zip(pairs, shown.layout.annotations, strict=True):
        assert note.xref == "paper" and note.x == 0
        assert f"{pair.lower.setting}: {pair.lower.score:g}" in note.text and pair.higher.setting in note.text


def test_offers_are_in_the_order_of_the_alphabet():
    shown = price_days(price_list(model="Qwen3.5-397B-A17B"))
    names = list(shown.layout.yaxis.categoryarray)
    assert names == sorted(names) and len(names) > 10


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: price_explorer(price_list(), {"English": 1.0}), "offers of one day"),
        (lambda: price_explorer(OFFERS, {}), "at least one language"),
        (lambda: price_explorer(OFFERS, {"English": 1.0}, prompt=99), "no place 99"),
        (lambda: score_explorer(table="big"), "no table 'big'"),
        (lambda: score_explorer(theirs="GPT-9"), "no model 'GPT-9'"),
        (lambda: claims_table([]), "no claims"),
        (lambda: tally_chart({}, 0.8, provenance=""), "at least one tally"),
    ],
)
def test_what_cannot_be_shown_is_refused(make, said):
    with pytest.raises(lab.InputError, match=said):
        make()
