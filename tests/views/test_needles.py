"""The needle deck shows what was measured, cell by cell; its cells choose; charts say their sources."""

import io
import json

import pytest
import torch
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.analysis.needles import CUTS, PIECES, NeedleCuts
from qwen35_lab.family import OFFICIAL, load_config, memory
from qwen35_lab.views import long_context_chart, needle_deck, rank_curves
from qwen35_lab.views.caches import GIB
from qwen35_lab.views.deck import Axis, Deck, Dial, Heat

KINDS = ("linear_attention", "linear_attention", "linear_attention", "full_attention")


def grid(seed=0, cuts=CUTS, lengths=(4, 8), depths=(0.0, 0.5, 1.0)) -> NeedleCuts:
    draw = torch.Generator().manual_seed(seed)
    shape = len(lengths), len(depths)
    cut = {name: torch.rand(*shape, 4, generator=draw, dtype=torch.float64) for name in CUTS}
    cut["frozen"][..., 3] = torch.nan
    for name in set(CUTS) - set(cuts):
        cut[name][:] = torch.nan
    reading = torch.rand(*shape, 4, PIECES + 1, generator=draw, dtype=torch.float64)
    reading[..., 3, :] = torch.nan
    recall = torch.rand(*shape, generator=draw, dtype=torch.float64)
    tokens = torch.ones(shape, dtype=torch.long)
    return NeedleCuts(lengths, depths, KINDS, tokens, recall, cut, reading, 8, 1 / 16, "TINY · drawn here")


def test_a_grid_becomes_a_map_a_strip_and_curves_of_the_chosen_cell():
    found = grid()
    deck = needle_deck(found)
    heat, bars, curves = deck.panels()
    assert deck.places() == {"sentences": 1, "depth": 0}
    assert torch.allclose(torch.as_tensor(heat.values), 100 * found.recall) and heat.choose == ("sentences", "depth")
    assert list(bars.series) == list(CUTS) and list(curves.series) == ["layer 0", "layer 1", "layer 2"]
    assert torch.allclose(torch.as_tensor(bars.series["emptied"]), 100 * found.cut["emptied"])
    assert torch.allclose(torch.as_tensor(curves.series["layer 1"]), found.reading[:, :, 1])
    emptied = found.cut["emptied"].mean((0, 1))
    assert f"with layer {int(emptied.argmin())} emptied {emptied.min():.0%}" in deck.caption()
    assert f"with attention layer 3 {emptied[3]:.0%}" in deck.caption() and "guessing 6%" in deck.caption()


def test_documents_get_a_dial_and_a_cut_that_was_not_made_is_not_shown():
    maps = {name: grid(seed, ("frozen", "emptied")) for seed, name in enumerate(("English", "Greek"))}
    deck = needle_deck(maps)
    heat, bars, curves = deck.panels()
    assert list(deck.places()) == ["document", "sentences", "depth"] and heat.over == ("document",)
    assert list(bars.series) == ["frozen", "emptied"] and curves.over == ("document", "sentences", "depth")
    before = deck.alt()
    deck.choose({"document": 1, "depth": 2})
    assert deck.alt() != before and "Greek" in deck.alt()
    assert Image.open(io.BytesIO(deck.static())).width > 700


@pytest.mark.parametrize("maps", [{}, {"a": grid(), "b": grid(lengths=(4, 9))}])
def test_grids_that_do_not_fit_are_refused(maps):
    with pytest.raises(lab.InputError, match="same lengths"):
        needle_deck(maps)


def test_many_layers_are_not_all_drawn():
    kinds = KINDS * 3
    one = grid()
    wide = {name: values.repeat(1, 1, 3) for name, values in one.cut.items()}
    many = NeedleCuts(
        one.lengths, one.depths, kinds, one.tokens, one.recall, wide, one.reading.repeat(1, 1, 3, 1), 8, 1 / 16, "TINY"
    )
    _, bars, curves = needle_deck(many).panels()
    assert len(bars.labels) == 12 and len(curves.series) == 4


# ------------------------------------------------------------------------- cells that choose


def test_a_map_whose_cells_choose_names_its_dials_and_frames_the_cell():
    dials = [Dial("row", "ab"), Dial("column", "xyz", start=2)]
    heat = Heat("map", torch.ones(2, 3), rows=Axis("row"), columns=Axis("column"), choose=("row", "column"))
    deck = Deck([heat], dials, caption="One.", provenance="RANDOM")
    assert json.loads(deck.payload)["panels"][0]["choose"] == [0, 1]
    first = deck.static()
    deck.choose({"row": 1})
    assert deck.static() != first, "the frame has moved"
    plain = Deck([Heat("map", torch.ones(2, 3))], dials, caption="One.", provenance="RANDOM")
    assert json.loads(plain.payload)["panels"][0]["choose"] is None


def test_dials_that_do_not_fit_the_cells_are_refused():
    dials = [Dial("row", "abc"), Dial("column", "xyz")]
    with pytest.raises(lab.InputError, match="have \\[3, 3\\] places"):
        Deck([Heat("map", torch.ones(2, 3), choose=("row", "column"))], dials)
    with pytest.raises(lab.InputError, match="depends on a dial"):
        Deck([Heat("map", torch.ones(2, 3), choose=("row", "hue"))], dials)


# ------------------------------------------------------------------------- charts


def test_ranks_are_drawn_as_they_are():
    ranks = {"few": torch.linspace(1, 5, 9), "many": torch.linspace(1, 7, 9)}
    figure = rank_curves(ranks, 32, provenance="TINY")
    assert [list(trace.y) for trace in figure.data] == [values.tolist() for values in ranks.values()]
    assert len({trace.line.dash for trace in figure.data}) == 2, "not by colour alone"
    assert "after all: few 5, many 7" in figure.caption() and "could hold 32" in figure.caption()
    for wrong in ({}, {"a": [1.0], "b": [1.0, 2.0]}, {"a": []}):
        with pytest.raises(lab.InputError):
            rank_curves(wrong, 32, provenance="TINY")


def test_scores_stand_over_the_bytes_of_their_caches():
    scores = {name: 10.0 + n for n, name in enumerate(OFFICIAL)}
    figure = long_context_chart(scores, "AA-LCR", "cards")
    points = {text: (x, y) for trace in figure.data for text, x, y in zip(trace.text, trace.x, trace.y, strict=True)}
    assert len(points) == len(OFFICIAL)
    for name in OFFICIAL:
        x, y = points[name.removeprefix("Qwen3.5-")]
        assert y == scores[name] and x * GIB == pytest.approx(memory(load_config(name), 262_144).cache)
    assert figure.provenance().startswith("PUBLISHED · cards") and "Qwen3.5-0.8B and Qwen3.5-2B" in figure.caption()
    with pytest.raises(lab.InputError):
        long_context_chart({}, "AA-LCR", "cards")
    with pytest.raises(lab.LabError):
        long_context_chart({"GPT": 1.0}, "AA-LCR", "cards")


def test_names_of_the_mixtures_stand_apart_and_the_largest_cache_has_room():
    scores = {"Qwen3.5-9B": 63.0, "Qwen3.5-27B": 66.0, "Qwen3.5-35B-A3B": 58.0, "Qwen3.5-122B-A10B": 67.0}
    shown = long_context_chart(scores, "AA-LCR", "a test")
    dense, sparse = shown.data
    assert sparse.textposition == ("top center", "bottom center")
    assert 10 ** shown.layout.xaxis.range[1] > 1.5 * max(dense.x) and 10 ** shown.layout.xaxis.range[0] < min(dense.x)
