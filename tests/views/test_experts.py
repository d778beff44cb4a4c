"""The router lab runs the model again, and charts of experts show what was measured."""

import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis import balancing, jensen_shannon, near_ties, routing, specialists, touched
from qwen35_lab.nano.experts import Loads, Separation
from qwen35_lab.views import (
    coefficient_chart,
    evening_chart,
    kinds_deck,
    missed_deck,
    near_tie_chart,
    router_lab,
    step_read_chart,
    touched_chart,
)
from qwen35_lab.views.router_lab import Bench

TEXTS = {"one": IDS, "other": [7, 7, 2, 9]}


@pytest.fixture(scope="module")
def moe() -> lab.Qwen:
    return small(MOE)


@pytest.fixture
def deck(moe):
    return router_lab(moe, TEXTS)


def panel(deck, title):
    return next(panel for panel in deck.panels() if panel.title.startswith(title))


# ------------------------------------------------------------------------- the router lab


def test_the_lab_begins_with_the_normal_model(moe, deck):
    trace = moe.trace(IDS, ["layers.*.ffn.*"])
    for layer in range(4):
        ids, weights = (trace.tensors[f"layers.{layer}.ffn.expert_{part}"] for part in ("ids", "weights"))
        dense = torch.zeros(len(IDS), 6).scatter(1, ids, weights)
        torch.testing.assert_close(panel(deck, "Weight").values[layer], dense.T)
        gate = trace.tensors[f"layers.{layer}.ffn.shared_gate"][:, 0]
        torch.testing.assert_close(panel(deck, "Shared").values[layer, 0], gate)
    assert panel(deck, "Next token").series["KL"].abs().max() == 0
    assert panel(deck, "Experts unlike").series["divergence"][:, 0].abs().max() == 0
    assert deck.places() == {"layer": 0, "experts per token": 1, "masked expert": 0, "router in": 0, "input": 0}


def test_its_dials_do_what_the_edits_do(moe, deck):
    deck.choose({"experts per token": 0})
    normal, turned = (
        moe.trace(IDS, "logits", edits).tensors["logits"].double().log_softmax(-1)
        for edits in ([], [lab.routing(top_k=1)])
    )
    kl = (normal.exp() * (normal - turned)).sum(-1)
    for layer in range(4):
        torch.testing.assert_close(panel(deck, "Next token").series["KL"][layer], kl, atol=1e-6, rtol=1e-4)
    assert (panel(deck, "Weight").values > 0).sum() == 4 * len(IDS)
    deck.choose({"experts per token": 1, "input": 1})
    assert panel(deck, "Weight").values.shape == (4, 6, 4)


def test_a_mask_acts_in_the_layer_that_is_shown_alone(moe, deck):
    deck.choose({"masked expert": 4})  # expert 3
    for layer in range(4):
        name = f"layers.{layer}.ffn.expert_ids"
        ids = moe.trace(IDS, name, lab.routing(layer, mask=3)).tensors[name]
        share = routing.load(ids, 6)
        torch.testing.assert_close(panel(deck, "Load").series["turned"][layer], share)
        assert float(share[3]) == 0
        usual = routing.load(moe.trace(IDS, name).tensors[name], 6)
        torch.testing.assert_close(panel(deck, "Load").series["normal"][layer], usual)
        found = panel(deck, "Experts unlike").series["divergence"][layer, 0]
        assert float(found) == pytest.approx(float(jensen_shannon(share, usual)))


@pytest.mark.parametrize("place", [0, 4], ids=["no mask", "a mask"])
def test_the_text_is_read_in_one_pass(place):
    """A mask in each of the layers is a row of a batch, not a pass of its own."""
    bench, passes = Bench(small(MOE), TEXTS), []
    hook = bench.twin.model.embed_tokens.register_forward_hook(lambda *_: passes.append(1))
    bench.panels("one", 2, place or None, "float32")
    hook.remove()
    assert len(passes) == 1


def test_masking_an_expert_that_nobody_asked_changes_nothing(moe, deck):
    chosen = set(moe.trace(IDS, "layers.3.ffn.expert_ids").tensors["layers.3.ffn.expert_ids"].flatten().tolist())
    idle = set(range(6)) - chosen
    for expert in idle:
        deck.choose({"masked expert": expert + 1})
        assert float(panel(deck, "Next token").series["KL"][3].max()) < 1e-10
    assert idle or len(chosen) == 6


def test_all_experts_but_a_masked_one_can_be_asked(deck):
    deck.choose({"experts per token": 5, "masked expert": 1})
    assert (panel(deck, "Weight").values > 0).sum() == 4 * len(IDS) * 5 and not deck._error


def test_the_precision_of_the_router_is_turned(moe, deck):
    deck.choose({"router in": 1})
    after = moe.trace(IDS, "logits", lab.routing(dtype="bfloat16")).tensors["logits"]
    moved = panel(deck, "Next token").series["KL"]
    before = moe.trace(IDS, "logits").tensors["logits"]
    assert not torch.equal(after, before) and float(moved.max()) > 0


def test_the_lab_leaves_the_model_as_it_was(moe):
    before = moe.trace(IDS, "logits").tensors["logits"]
    router_lab(moe, TEXTS).choose({"masked expert": 2, "experts per token": 3})
    assert torch.equal(moe.trace(IDS, "logits").tensors["logits"], before)


def test_many_experts_and_layers_are_thinned_out():
    big = small(MOE, num_experts=40, num_hidden_layers=12, num_experts_per_tok=3)
    deck = router_lab(big, TEXTS)
    dials = {dial.name: list(dial.labels) for dial in deck._dials}
    assert len(dials["layer"]) == 8 and dials["layer"][0] == 0 and dials["layer"][-1] == 11
    assert dials["experts per token"] == [1, 2, 3, 4, 8, 16, 32] and len(dials["masked expert"]) == 17
    assert deck.static()[:4] == b"\x89PNG"
    assert router_lab(big, TEXTS, layers=[5])._dials[0].labels == [5]


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda q: router_lab(small(), TEXTS), "no experts"),
        (lambda q: router_lab(q, {}), "nothing to read"),
        (lambda q: router_lab(q, TEXTS, layers=[9]), "Layer 9 has no experts"),
        (lambda q: kinds_deck(Loads(("a", "b"), {"x": torch.ones(2, 3)}), {}, provenance="TINY"), "no test of x"),
    ],
)
def test_what_cannot_be_shown_is_refused(moe, act, words):
    with pytest.raises(lab.InputError, match=words):
        act(moe)


# ------------------------------------------------------------------------- charts


def test_kinds_are_shown_against_an_even_share_with_their_test():
    loads = Loads(("a", "b"), {"layers.0.ffn": torch.tensor([[3.0, 1.0], [1.0, 3.0]])})
    deck = kinds_deck(loads, {"layers.0.ffn": Separation(0.5, 0.6, 0.3)}, provenance="TINY · x")
    torch.testing.assert_close(panel(deck, "More or less").values, torch.tensor([[[0.5, -0.5], [-0.5, 0.5]]]))
    assert "In 0 of 1 layers" in deck.caption() and "p = 0.300" in deck.payload


def test_what_is_missed_begins_with_the_dearest_layer():
    each = torch.zeros(2, 2, 2, 3, dtype=torch.float64)
    each[1, 0, :, 2] = torch.tensor([0.3, 0.5])
    names = ((0, 1, 2), (0, 1, 2))
    found = specialists.Missed((4, 6), names, ("a", "b"), torch.ones(2, 2), each, torch.full((2, 2, 3), 1 / 3), 3)
    assert found.dearest == (6, "a", 2) and found.agreement == pytest.approx(1)
    deck = missed_deck(found, provenance="TINY · x")
    assert deck.places() == {"layer": 1} and "lose 0.40 nats" in deck.caption()
    torch.testing.assert_close(panel(deck, "Asked").values, torch.ones(2, 2, 3))


def test_near_ties_are_counted_by_their_margin():
    margin = torch.tensor([0.0, 1e-3, 1e-3, 0.5, torch.inf], dtype=torch.float64)
    changed = torch.tensor([True, True, False, False, False])
    figure = near_tie_chart(
        near_ties.Rounded(margin, torch.ones(5), changed, torch.zeros(5)), provenance="TINY · x"
    )  # fmt: skip
    number, share = (list(bar.y) for bar in figure.data)
    assert sum(number) == 5 and "2 of 5 choices (40.00%)" in figure.caption()
    assert sorted(share)[-2:] == [0.5, 1.0]


def test_curves_of_balance_show_every_run():
    run = balancing.Evening(torch.tensor([3.0, 1.2]), torch.tensor([4.0, 1.5]))
    figure = evening_chart({"a": run, "b": run}, provenance="TINY · x")
    assert [figure.layout.yaxis.title.text, figure.layout.yaxis2.title.text] == ["balance loss", "busiest, even shares"]
    assert len(figure.data) == 4 and "a: loss 3.00 → 1.20, busiest expert 4.0 → 1.5" in figure.caption()
    taught = [balancing.Imitation(c, 0.1, 2.0, 1, torch.tensor([0.25, 0.75])) for c in (0.0, 1.0)]
    chart = coefficient_chart(taught, provenance="TINY · x")
    assert list(chart.data[0].y) == [1.5, 0.5] and "Coefficient 1: busiest 2.0" in chart.caption()


def test_touched_experts_and_bytes_are_drawn_as_computed():
    rows = torch.tensor([[0.2, 0.5], [0.2, 0.4], [0.2, 0.45], [0.2, 0.6]]).double()
    figure = touched_chart(touched.Touched((1, 4), *rows), provenance="TINY · x")
    assert [list(line.y) for line in figure.data] == [rows[n].tolist() for n in (0, 2, 3, 1)]
    assert "at most 5.0% apart" in figure.caption()
    figure = step_read_chart()
    assert len(figure.data) == 3 and figure.provenance().startswith("PUBLISHED")
    one = touched.step_bytes(lab.load_config("397B-A17B"), 1)
    assert figure.data[2].customdata[0][0] == pytest.approx(one / 1e9)
    assert step_read_chart(batches=(1, 8)).caption()
