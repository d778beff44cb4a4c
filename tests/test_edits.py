"""Edits: what they promise, one by one. That the whole model follows is checked in test_edits_slow.py."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis import edit_effect

LAST = len(IDS) - 1


@pytest.fixture(scope="module", params=[DENSE, MOE], ids=["dense", "moe"])
def qwen(request) -> lab.Qwen:
    return small(request.param)


@pytest.fixture(scope="module")
def moe() -> lab.Qwen:
    return small(MOE)


def logits(qwen: lab.Qwen, *edits) -> torch.Tensor:
    return qwen.trace(IDS, "logits", edits).tensors["logits"]


# ---------------------------------------------------------------------- nothing


def test_no_edit_scale_1_and_add_0_change_nothing_bit_for_bit(qwen):
    before = logits(qwen)
    assert torch.equal(logits(qwen, *[]), before)
    for name, _ in lab.taps(qwen.model):
        assert torch.equal(logits(qwen, lab.edit(name).scale(1)), before), name
        assert torch.equal(logits(qwen, lab.edit(name).scale(torch.tensor(1.0))), before), name
        if name.split(".")[-1] != "expert_ids":
            assert torch.equal(logits(qwen, lab.edit(name).add(0.0)), before), name
            assert torch.equal(logits(qwen, lab.edit(name).add(torch.zeros(1))), before), name


def test_what_changes_nothing_must_fit_all_the_same(qwen):
    with pytest.raises(lab.InputError, match="no axis 'foo'"):
        logits(qwen, lab.edit("layers.0.mixer.state", foo=9).scale(1))
    with pytest.raises(lab.InputError, match="head 4 is outside"):
        logits(qwen, lab.edit("layers.0.mixer.state", head=4).scale(1))


def test_a_number_meets_bfloat16_exactly_and_is_rounded_once():
    """0.1 is not first made 0.1001 of bfloat16."""
    qwen, name = lab.load("recall", dtype="bfloat16"), "layers.0.input"
    x = qwen.trace("cat red . ? cat", name).tensors[name]
    after = qwen.trace("cat red . ? cat", name, lab.edit(name).scale(0.1)).tensors[name]
    assert torch.equal(after, (x.double() * 0.1).bfloat16())
    assert not torch.equal(after, x * torch.tensor(0.1, dtype=torch.bfloat16))


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_scale_1_changes_nothing_in_other_dtypes(dtype):
    qwen = lab.load("recall", dtype=dtype)
    before = qwen.trace("cat red . ? cat", "logits").tensors["logits"]
    after = qwen.trace("cat red . ? cat", "logits", lab.edit("layers.*.mixer.[qkv]").scale(1.0)).tensors["logits"]
    assert torch.equal(before, after)


def test_after_the_block_the_model_is_what_it_was_also_after_an_error(qwen):
    before, ids = logits(qwen), torch.tensor([IDS])
    routers = [lab.routing(top_k=1, mask=3, shared=False)] if qwen.config.text.is_moe else []
    with pytest.raises(ZeroDivisionError), qwen.edited(lab.edit("layers.*.mixer.out").scale(3), *routers):
        changed = qwen.model(ids).logits
        raise ZeroDivisionError
    assert not torch.equal(changed[0], before)
    assert torch.equal(logits(qwen), before)


def test_an_edit_that_is_refused_installs_nothing(qwen):
    before = logits(qwen)
    with pytest.raises(lab.InputError), qwen.edited(lab.edit("embed").zero(), lab.edit("nothing").zero()):
        pass
    assert torch.equal(logits(qwen), before)


# ---------------------------------------------------------------------- what and where


def test_recorded_is_what_came_of_the_edit_and_only_there(qwen):
    where = {"token": [2, -1], "head": 1}
    name = "layers.0.mixer.beta"
    before = qwen.trace(IDS, name).tensors[name]
    after = qwen.trace(IDS, name, lab.edit(name, **where).scale(0.5).add(1)).tensors[name]
    expected = before.clone()
    expected[[2, LAST], 1] = expected[[2, LAST], 1] * 0.5 + 1
    assert torch.equal(after, expected)


@pytest.mark.parametrize("choice, places", [
    (slice(3, None), range(3, LAST + 1)), (slice(-2, None), [LAST - 1, LAST]), (slice(None, 4, 2), [0, 2]),
    (range(2, 5), [2, 3, 4]), (torch.tensor([1, 7]), [1, 7]), (slice(1, -3, 3), range(1, LAST - 2, 3)),
    (np.int64(3), [3]), (np.array([4, 3]), [3, 4]), ([torch.tensor(5), np.int32(-1)], [5, LAST]),
    (range(9, 2, -3), [3, 6, 9]), (np.array(2), [2]), (slice(-100, None, 3), [0, 3, 6, 9]),
])  # fmt: skip
def test_tokens_are_chosen_as_python_chooses(qwen, choice, places):
    name = "layers.1.output"
    after = qwen.trace(IDS, name, lab.edit(name, token=choice).zero()).tensors[name]
    assert (after == 0).all(-1).nonzero().flatten().tolist() == list(places)


def test_edits_act_in_their_order(qwen):
    name = "layers.2.output"
    x = qwen.trace(IDS, name).tensors[name]
    twice, three = lab.edit(name).scale(2), lab.edit(name).add(3)
    run = lambda *edits: qwen.trace(IDS, name, edits).tensors[name]  # noqa: E731
    torch.testing.assert_close(run(twice, three), 2 * x + 3)
    torch.testing.assert_close(run(three, twice), 2 * (x + 3))
    torch.testing.assert_close(run(lab.edit(name).add(3).scale(2)), 2 * (x + 3))


def test_earlier_tokens_never_know(qwen):
    before = logits(qwen)
    for name, tap in lab.taps(qwen.model):
        if "token" not in tap.axes or name.endswith("expert_ids"):
            continue
        after = logits(qwen, lab.edit(name, token=6).scale(1.7))
        assert (after[:6] - before[:6]).abs().max() < 1e-4, name


def test_an_edit_of_the_scores_does_not_open_the_future(qwen):
    layer = qwen.config.text.layer_types.index("full_attention")
    name = f"layers.{layer}.mixer"
    trace = qwen.trace(IDS, f"{name}.weights", lab.edit(f"{name}.scores").zero())
    rows = torch.ones(len(IDS), len(IDS)).tril()
    torch.testing.assert_close(trace[f"{name}.weights"].at(head=0), rows / rows.sum(1, keepdim=True))


@given(cut=st.integers(1, LAST), kind=st.sampled_from(["state", "erase", "beta", "weights", "v", "out"]))
def test_tokens_count_over_all_passes_of_a_cache(cut, kind):
    """The same edit in one pass and in two, and one token at a time."""
    qwen = small(DENSE)
    layer = 3 if kind == "weights" else 1
    where = {"query": [4, 8]} if kind == "weights" else {"token": [4, 8]}
    change = lab.edit(f"layers.{layer}.mixer.{kind}", **where).scale(0.25)
    whole, ids = logits(qwen, change), torch.tensor([IDS])
    for pieces in (ids.split([cut, len(IDS) - cut], 1), ids.split(1, 1)):
        cache = qwen.model.new_cache()
        with torch.inference_mode(), qwen.edited(change):
            parts = [qwen.model(piece, cache=cache).logits[0] for piece in pieces]
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-3)


def test_patching_the_stream_from_another_text_makes_the_rest_equal(qwen):
    """Layer 2's output from another text, at every token: what follows is that text's."""
    other = qwen.trace(IDS[::-1], ["layers.2.output", "logits"])
    after = logits(qwen, lab.edit("layers.2.output").patch_from(other))
    torch.testing.assert_close(after, other.tensors["logits"])


def test_a_patch_may_come_from_another_token(qwen):
    name = "layers.1.mixer.read"
    other = qwen.trace(IDS[:5], name)
    after = qwen.trace(IDS, name, lab.edit(name, token=[7, 9]).patch_from(other, token=[4, -2])).tensors[name]
    assert torch.equal(after[[7, 9]], other.tensors[name][[4, 3]])
    state = "layers.1.mixer.state"
    other = qwen.trace(IDS[:5], state)
    after = qwen.trace(IDS, state, lab.edit(state, token=7, head=2).patch_from(other, token=0)).tensors[state]
    assert torch.equal(after[7, 2], other.tensors[state][0, 2])


def test_a_tensor_has_a_value_for_each_chosen_token_also_inside_the_recurrence(qwen):
    name = "layers.0.mixer.write"
    shape = qwen.trace(IDS, name).tensors[name].shape
    new = torch.randn(3, *shape[1:])
    after = qwen.trace(IDS, name, lab.edit(name, token=[1, 5, 6]).set(new)).tensors[name]
    torch.testing.assert_close(after[[1, 5, 6]], new)


def test_an_expert_can_be_edited_wherever_it_was_chosen(moe):
    names = ["layers.2.ffn.expert_ids", "layers.2.ffn.expert_out"]
    before = moe.trace(IDS, names)
    after = moe.trace(IDS, names, lab.edit("layers.2.ffn.expert_out", expert=[1, 3], token=slice(4, None)).zero())
    here = torch.isin(before.tensors[names[0]], torch.tensor([1, 3])) & (torch.arange(len(IDS)) >= 4)[:, None]
    assert here.any()
    assert torch.equal(after.tensors[names[1]], before.tensors[names[1]].masked_fill(here[..., None], 0))


def test_layers_may_be_numpys_numbers(qwen):
    names = [f"layers.{n}.output" for n in range(4)]
    trace = qwen.trace(IDS, names, lab.edit("layers.*.output", layer=np.array([1, 3]), token=np.int64(2)).set(7))
    assert [bool((trace[name][2] == 7).all()) for name in names] == [False, True, False, True]


def test_a_patch_of_an_attention_map_needs_the_keys_that_are_seen(qwen):
    """A shorter text has what its own queries see; what a later query would see, it has not."""
    name = f"layers.{qwen.config.text.layer_types.index('full_attention')}.mixer.weights"
    short = qwen.trace(IDS[::-1][:5], name)
    after = qwen.trace(IDS, name, lab.edit(name, query=3).patch_from(short)).tensors[name]
    assert torch.equal(after[:, 3, :5], short.tensors[name][:, 3])
    with pytest.raises(lab.InputError, match=r"5 keys, and none at 7; choose keys that it has"):
        qwen.trace(IDS, name, lab.edit(name, query=7).patch_from(short, token=4))
    qwen.trace(IDS, name, lab.edit(name, query=7, key=slice(0, 5)).patch_from(short, token=4))


def test_nested_blocks_add_up_and_the_trace_names_all_edits(qwen):
    outer, inner = lab.edit("layers.0.output").scale(2), lab.edit("layers.0.output").add(3)
    with qwen.edited(outer):
        trace = qwen.trace(IDS, "logits", inner)
        assert qwen.trace(IDS, "embed").provenance.edits == (str(outer),)
        assert qwen.twin().trace(IDS, "embed").provenance.edits == ()
    assert trace.provenance.edits == (str(outer), str(inner))
    assert torch.equal(trace.tensors["logits"], logits(qwen, outer, inner))
    assert qwen.trace(IDS, "embed").provenance.edits == ()


def test_numpys_arrays_are_amounts_as_tensors_are(qwen):
    factor = np.linspace(0, 1, 4, dtype=np.float32)
    a, b = (logits(qwen, lab.edit("layers.0.mixer.beta").scale(x)) for x in (factor, torch.from_numpy(factor)))
    assert torch.equal(a, b)
    assert torch.equal(
        logits(qwen, lab.edit("embed").scale(np.float64(0.1))), logits(qwen, lab.edit("embed").scale(0.1))
    )


def test_an_edit_in_words_has_all_of_its_slice():
    assert str(lab.edit("embed", token=slice(1, 9, 3)).zero()) == "embed[token 1:9:3] = 0"
    assert str(lab.edit("embed", token=slice(None, 9)).zero()) == "embed[token :9] = 0"


# ---------------------------------------------------------------------- effects


def test_an_effect_is_the_edits_alone(qwen):
    """Both runs take the readable path: an edit of a lazy value that changes nothing has no effect at all."""
    same = lab.edit("layers.*.mixer.state").replace(lambda S: S)
    found = edit_effect(qwen, IDS, same)
    assert found.kl == 0 and found.delta_logp == 0 and found.rank_after == 0
    strong = edit_effect(qwen, IDS, lab.edit("layers.*.mixer.state").zero(), answer=7)
    before, after = logits(qwen)[-1].double(), logits(qwen, lab.edit("layers.*.mixer.state").zero())[-1].double()
    assert strong.delta_logp == pytest.approx(float(after.log_softmax(-1)[7] - before.log_softmax(-1)[7]), abs=1e-4)
    assert strong.kl > 0


def test_without_its_eraser_recall_answers_the_old_value():
    qwen = lab.load("recall")
    text = "cat red . " * 5 + "cat green . ? cat"
    found = edit_effect(qwen, text, lab.edit("layers.*.mixer.erase").zero(), answer="green")
    assert found.names[1] == "green" and found.rank_before == 0 and found.rank_after > 0 and found.delta_logp < -1
