"""What routers did with held-out texts, and what is lost without an expert: against passes of single conversations."""

import pytest
import torch
from small import small
from torch.nn import functional as F

import qwen35_lab as lab
from qwen35_lab.analysis import held_out, missed_experts, moe_layers, rounded_choices, routes

KINDS = ("facts", "shapes")


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return lab.load("nano")


@pytest.fixture(scope="module")
def texts(qwen):
    return held_out(qwen, 2, KINDS)


@pytest.fixture(scope="module")
def seen(qwen, texts):
    return routes(qwen, texts)


def test_every_real_token_is_there_once_and_in_order(qwen, texts, seen):
    lengths = [int(row.sum()) for read in texts.values() for row in read.document > 0]
    assert list(seen) == moe_layers(qwen) and len(set(lengths)) > 1, "nothing was padded"
    for found in seen.values():
        assert found.document.bincount().tolist() == lengths
        assert found.kinds == ("facts", "facts", "shapes", "shapes")
        assert len(found.ids) == len(found.logits) == len(found.inputs) == sum(lengths)


def test_what_is_kept_is_what_a_pass_over_one_conversation_does(qwen, texts, seen):
    read = texts["facts"]
    ids = read.ids[1][read.document[1] > 0]
    notes = qwen.trace(ids, ["layers.2.ffn.*", "layers.2.after_mixer"])
    there = seen[2].document == 1
    torch.testing.assert_close(seen[2].logits[there], notes.tensors["layers.2.ffn.router_logits"], atol=1e-4, rtol=1e-4)
    assert torch.equal(seen[2].ids[there], notes.tensors["layers.2.ffn.expert_ids"])
    x = qwen.model.layers[2].ffn_norm(notes.tensors["layers.2.after_mixer"])
    torch.testing.assert_close(seen[2].inputs[there], x, atol=1e-4, rtol=1e-4)


def test_no_hook_is_left_behind(qwen, texts):
    before = [len(module._forward_pre_hooks) for module in qwen.model.modules()]
    routes(qwen, texts)
    assert [len(module._forward_pre_hooks) for module in qwen.model.modules()] == before


@torch.no_grad()
def test_the_cost_is_that_of_the_right_answer_without_the_expert(qwen, texts):
    found = missed_experts(qwen, texts, layers=[3])
    read = texts["facts"]
    length = int((read.document[1] > 0).sum())
    ids, answer = read.ids[1:2, :length], read.answer[1, 1:length] > 0

    def loss(*edits):
        with qwen.edited(*edits):
            return F.cross_entropy(qwen.model(ids).logits[0, :-1][answer], ids[0, 1:][answer]).item()

    assert float(found.whole[0, 1]) == pytest.approx(loss(), abs=1e-4)
    for place, expert in enumerate(found.experts[0]):
        lost = loss(lab.routing(3, mask=expert)) - loss()
        assert float(found.each[0, 0, 1, place]) == pytest.approx(lost, abs=1e-4)
    assert found.cost.shape == (1, 2, found.of) and float(found.load.sum()) == pytest.approx(2)
    layer, kind, expert = found.dearest
    assert layer == 3 and found.cost[0, found.kinds.index(kind), expert] == found.cost.max()


HALF = lab.edit("final").scale(0.5)
END = lab.edit("layers.2.mixer.out", token=slice(-9, None)).zero()


@pytest.mark.parametrize("edits, hooked", [((HALF,), False), ((END,), False), ((), True)])
@torch.no_grad()
def test_other_edits_and_hooks_act_as_in_any_pass(edits, hooked):
    qwen = lab.load("nano")
    if hooked:
        qwen.model.layers[2].register_forward_pre_hook(lambda block, given: (given[0] / 2, *given[1:]))
    texts = held_out(qwen, 2, ["facts", "story"])
    with qwen.edited(*edits):
        found = missed_experts(qwen, texts, layers=[3], experts=1)
        expert = int(found.experts[0][0])

        def loss(read, *more):
            ids, answer = read.ids, read.answer[:, 1:] > 0
            with qwen.edited(*more):
                scores = qwen.model(ids).logits[:, :-1]
            return [F.cross_entropy(row[a], t[1:][a]).item() for row, a, t in zip(scores, answer, ids)]

        whole = [loss(read) for read in texts.values()]
        lost = [loss(read, lab.routing(3, mask=expert)) for read in texts.values()]
    torch.testing.assert_close(found.whole, torch.tensor(whole).double(), atol=1e-4, rtol=1e-4)
    cost = torch.tensor(lost).double() - torch.tensor(whole).double()
    torch.testing.assert_close(found.each[0, :, :, 0], cost, atol=1e-4, rtol=1e-4)


def test_of_many_experts_the_most_asked_are_taken_away(qwen, texts):
    found = missed_experts(qwen, texts, layers=[0, 1], experts=2)
    every = missed_experts(qwen, texts, layers=[0])
    busiest = every.load[0].mean(0).topk(2).indices.sort().values.tolist()
    assert list(found.experts[0]) == busiest and found.cost.shape == (2, 2, 2)
    torch.testing.assert_close(found.cost[0], every.cost[0][:, busiest])


def test_a_choice_changes_only_within_twice_the_error(qwen, seen):
    found = rounded_choices(qwen, seen)
    assert len(found.margin) == sum(len(each.ids) for each in seen.values())
    assert not (found.changed & (found.margin > 2 * found.error)).any()
    same = rounded_choices(qwen, seen, torch.float32)
    assert not same.changed[same.margin > 1e-5].any() and float(same.error.max()) < 1e-4
    assert found.layer.unique().tolist() == list(seen)


def test_routers_whose_scores_are_nearly_equal_change(qwen, seen):
    twin = qwen.twin()
    weight = twin.model.layers[0].ffn.router.weight
    near = 0.001 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    twin.model.layers[0].ffn.router.weight = torch.nn.Parameter(weight[:1] + near)
    with torch.no_grad():
        logits = seen[0].inputs @ twin.model.layers[0].ffn.router.weight.T
    found = lab.analysis.Routes(logits, logits.topk(2).indices, seen[0].inputs, seen[0].document, seen[0].kinds)
    assert rounded_choices(twin, {0: found}).share > 0.1


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda q: held_out(q, 0), "documents is 0"),
        (lambda q: held_out(q, 1, ["poems"]), "cannot read 'poems'"),
        (lambda q: missed_experts(q, held_out(q, 1, ["facts"]), layers=[7]), "Layer 7 has no experts"),
        (lambda q: missed_experts(q, held_out(q, 1, ["facts"]), experts=0), "experts is 0"),
        (lambda q: moe_layers(small()), "no experts; load one"),
    ],
)
def test_what_cannot_be_asked_is_refused(qwen, act, words):
    with pytest.raises(lab.InputError, match=words):
        act(qwen)
