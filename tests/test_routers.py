"""Routers that are turned while the model runs."""

import copy

import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab


@pytest.fixture(scope="module")
def moe() -> lab.Qwen:
    return small(MOE)


def logits(qwen: lab.Qwen, *edits) -> torch.Tensor:
    return qwen.trace(IDS, "logits", edits).tensors["logits"]


def test_top_k_is_what_a_model_of_that_config_does(moe):
    after = logits(moe, lab.routing(top_k=3))
    other = small({**MOE, "num_experts_per_tok": 3})
    other.model.load_state_dict(moe.model.state_dict())
    torch.testing.assert_close(after, logits(other))


def test_a_masked_expert_is_never_chosen_and_the_rest_is_renormalised(moe):
    ids = "layers.*.ffn.expert_ids"
    assert any((t == 2).any() for t in moe.trace(IDS, ids).tensors.values())
    trace = moe.trace(IDS, [ids, "layers.*.ffn.expert_weights"], lab.routing(mask=[2, 4]))
    for n in range(4):
        assert not torch.isin(trace[f"layers.{n}.ffn.expert_ids"], torch.tensor([2, 4])).any()
        torch.testing.assert_close(trace[f"layers.{n}.ffn.expert_weights"].sum(-1), torch.ones(len(IDS)))


def test_a_clone_is_a_copy_of_the_weights(moe):
    after = logits(moe, lab.routing(layer=[0, 2], clone={1: 5}))
    other = copy.deepcopy(moe.model)
    for layer in (0, 2):
        for weight in (other.layers[layer].ffn.gate_up_proj, other.layers[layer].ffn.down_proj):
            weight.data[1] = weight.data[5]
    with torch.inference_mode():
        assert torch.equal(after, other(torch.tensor([IDS])).logits[0])


def test_the_router_in_bfloat16_scores_what_bfloat16_scores(moe):
    name = "layers.0.ffn.router_logits"
    found = moe.trace(IDS, [name, "layers.0.after_mixer"], lab.routing(dtype="bfloat16"))
    ffn = moe.model.layers[0]
    x = ffn.ffn_norm(found.tensors["layers.0.after_mixer"]).bfloat16()
    assert torch.equal(found.tensors[name], (x @ ffn.ffn.router.weight.bfloat16().T).float())


def test_without_the_shared_expert_only_the_routed_ones_answer(moe):
    trace = moe.trace(IDS, "layers.1.ffn.*", lab.routing(layer=1, shared=False))
    routed = (trace["layers.1.ffn.expert_out"] * trace["layers.1.ffn.expert_weights"][..., None]).sum(-2)
    torch.testing.assert_close(trace.tensors["layers.1.ffn.out"], routed)


@pytest.mark.parametrize("clone", [{-1: 0}, {5: -6}])
def test_experts_may_be_counted_from_the_last_one(moe, clone):
    assert torch.equal(logits(moe, lab.routing(clone=clone)), logits(moe, lab.routing(clone={5: 0})))
    assert not torch.equal(logits(moe, lab.routing(clone=clone)), logits(moe))
    assert torch.equal(logits(moe, lab.routing(mask=-1)), logits(moe, lab.routing(mask=torch.tensor([5]))))


# ---------------------------------------------------------------------- several at once


@pytest.mark.parametrize("outer, inner, both", [
    ({"top_k": 3}, {"dtype": "bfloat16"}, {"top_k": 3, "dtype": "bfloat16"}),
    ({"dtype": "bfloat16"}, {"top_k": 3}, {"top_k": 3, "dtype": "bfloat16"}),
    ({"clone": {0: 1}}, {"clone": {2: 3}}, {"clone": {0: 1, 2: 3}}),
    ({"clone": {0: 1}}, {"clone": {0: 4}}, {"clone": {0: 4}}),
    ({"mask": [0, 1]}, {"mask": [2]}, {"mask": [0, 1, 2]}),
    ({"mask": 1}, {"clone": {0: 1}, "top_k": 4}, {"mask": 1, "clone": {0: 1}, "top_k": 4}),
    ({"shared": False}, {"top_k": 3}, {"shared": False, "top_k": 3}),
    ({"top_k": 3}, {"top_k": 1}, {"top_k": 1}),
])  # fmt: skip
def test_turned_again_a_router_keeps_what_it_was_turned_to(moe, outer, inner, both):
    first, second, together = (lab.routing(**knobs) for knobs in (outer, inner, both))
    expected = logits(moe, together)
    assert torch.equal(logits(moe, first, second), expected)
    with moe.edited(first):
        after_first = logits(moe)
        assert torch.equal(logits(moe, second), expected)
        assert torch.equal(logits(moe), after_first)
    assert not torch.equal(expected, after_first)


def test_a_twin_begins_with_routers_that_are_not_turned(moe):
    with moe.edited(lab.routing(top_k=1, mask=0)):
        twin = moe.twin()
    assert torch.equal(logits(twin), logits(moe)) and twin.model.layers[0].ffn.top_k == 2


def test_masks_count_together(moe):
    """Two of them leave too few experts, though each alone does not."""
    for edits in ([{"mask": [0, 1, 2]}, {"mask": [3, 4, 5]}], [{"mask": [0, 1, 2]}, {"top_k": 4}],
                  [{"top_k": 4}, {"mask": [0, 1, 2]}]):  # fmt: skip
        with pytest.raises(lab.InputError, match="layer 0 can choose 1 to"):
            logits(moe, *(lab.routing(**knobs) for knobs in edits))


def test_a_masked_expert_cannot_be_put_where_experts_are_chosen(moe):
    """Its weight would be 0 of 0."""
    force = lab.edit("layers.1.ffn.expert_ids").set(0)
    with pytest.raises(lab.InputError, match="expert 0 is masked; choose one that is not"):
        logits(moe, lab.routing(mask=0), force)
    assert logits(moe, lab.routing(mask=1), force).isfinite().all()


def test_the_axis_of_choices_is_as_long_as_the_router_makes_it(moe):
    name = "layers.1.ffn.expert_out"
    for choice, zeros in ((-1, [2]), (2, [2]), (1, [1]), ([0, -1], [0, 2])):
        trace = moe.trace(IDS, name, [lab.routing(top_k=3), lab.edit(name, choice=choice).zero()])
        assert (trace.tensors[name] == 0).all(-1).nonzero()[:, 1].unique().tolist() == zeros
    with pytest.raises(lab.InputError, match="choice 1 is outside the 1"):
        logits(moe, lab.routing(top_k=1), lab.edit(name, choice=1).zero())


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("knobs, words", [
    ({"top_k": 0}, "top_k is 0"), ({"top_k": 7}, "choose 1 to 6"), ({"top_k": 1.5}, "top_k is 1.5"),
    ({"top_k": [1, 2]}, "one whole number"), ({"top_k": True}, "top_k is True"),
    ({"mask": range(6), "top_k": 1}, "can choose 1 to 0"), ({"mask": 6}, "mask 6 is outside the 6"),
    ({"mask": [[1]]}, "mask is"), ({"mask": "x"}, "mask is 'x'"), ({"mask": None}, "mask is None"),
    ({"clone": {0: 6}}, "outside the 6"), ({"clone": [1, 5]}, "pass a dictionary"),
    ({"clone": {0: "x"}}, "clone is 'x'"), ({"dtype": "int8"}, "dtype 'int8'"),
    ({"shared": "off"}, "pass False"), ({"layer": 9}, "layer 9 is outside"),
])  # fmt: skip
def test_what_does_not_fit_is_said_in_a_sentence(moe, knobs, words):
    with pytest.raises(lab.InputError, match=words):
        logits(moe, lab.routing(**knobs))


def test_a_dense_model_has_no_routers():
    with pytest.raises(lab.InputError, match="no router to turn"):
        logits(small(), lab.routing(top_k=1))
