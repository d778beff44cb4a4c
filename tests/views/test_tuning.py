"""What an adapter costs, and who reads whom before and after: the decks say what is in their data."""

import pytest
from small import DENSE, MOE, small

import qwen35_lab as lab
from qwen35_lab import finetune, views

RANKS = [1, 4]
CHOICES = {"DeltaNet": ["deltanet"], "experts": ["experts"]}


def test_the_costs_of_models_are_drawn_and_the_most_expensive_choice_is_named():
    found = {n: finetune.costs(small(raw).config, CHOICES, RANKS) for n, raw in (("dense", DENSE), ("sparse", MOE))}
    deck = views.adapter_deck(found, RANKS, provenance="RANDOM · test")
    assert deck.places() == {"targets": 0, "rank": 1}
    most = found["sparse"]["experts"][-1].share
    assert f"sparse: at most {most:.1%} is trained (experts, rank 4)" in deck.caption()
    assert "dense: at most" in deck.caption() and "(DeltaNet, rank 4)" in deck.caption()
    here = 100 * found["dense"]["DeltaNet"][1].share
    assert f"here {here:.3g}" in deck.alt()
    deck.choose({"targets": 1})
    assert deck.static().startswith(b"\x89PNG")


def test_models_with_other_choices_are_refused():
    found = finetune.costs(small().config, CHOICES, RANKS)
    for wrong in ({}, {"a": found, "b": {"DeltaNet": found["DeltaNet"]}}):
        with pytest.raises(lab.InputError, match="the same choices"):
            views.adapter_deck(wrong, RANKS, provenance="RANDOM · test")


def test_maps_before_and_after_say_what_moved_most():
    names = ["layers.0.mixer.*"]
    before, after = (small(seed=n).trace([3, 1, 4, 1, 5], names) for n in (0, 1))
    deck = views.influence_before_after(before, after, 0)
    change = (lab.analysis.influence_map(after, 0) - lab.analysis.influence_map(before, 0)).abs()
    head = int(change.amax((-2, -1)).argmax())
    assert deck.places() == {"head": head} and f"Layer 0, head {head}, moved most" in deck.caption()
    assert deck.static().startswith(b"\x89PNG")
    with pytest.raises(lab.InputError, match="different texts"):
        views.influence_before_after(before, small().trace([3, 1], names), 0)
