"""Traces: named axes, what is asked for, generation, and nothing left behind."""

import copy
import math
import pickle
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis import tap_table
from qwen35_lab.model.taps import listen
from qwen35_lab.recall import microscopes

ROOT = Path(__file__).parents[1]
ALL = ["*", "layers.*.mixer.erase", "layers.*.mixer.write", "layers.*.mixer.state", "layers.*.mixer.scores",
       "layers.*.mixer.weights"]  # fmt: skip


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return lab.load("recall")


TEXT = "cat red . dog blue . cat green . ? cat"


def listeners(qwen: lab.Qwen) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in qwen.model.modules())


# ---------------------------------------------------------------------- named axes


def test_a_value_knows_its_axes_and_is_cut_by_their_names(qwen):
    trace = qwen.trace(TEXT, ALL)
    state = trace["layers.1.mixer.state"]
    assert state.axes == ("token", "head", "key", "value")
    plain = trace.tensors["layers.1.mixer.state"]
    assert torch.equal(state.at(token=4, head=2), plain[4, 2])
    assert torch.equal(state.at(head=[3, 0], token=[1, 5], key=slice(2, 4)), plain[[1, 5]][:, [3, 0]][:, :, 2:4])
    assert torch.equal(state.at(value=-1), plain[..., -1])
    assert type(state + 1) is torch.Tensor and type(state.at(head=0)) is torch.Tensor


def test_whole_numbers_of_any_library_lists_masks_and_backward_slices_are_places(qwen):
    value = qwen.trace(TEXT, "layers.1.mixer.state")["layers.1.mixer.state"]
    plain = value.as_subclass(torch.Tensor)
    for three in (3, np.int64(3), np.array(3), torch.tensor(3), 3 - len(plain)):
        assert torch.equal(value.at(token=three, head=2), plain[3, 2])
    for pair in ([3, -4], np.array([3, -4]), torch.tensor([3, -4]), (3, -4)):
        assert torch.equal(value.at(head=[1], token=pair), plain[[3, -4]][:, [1]])
    mask = [n in (2, 5) for n in range(len(plain))]
    assert torch.equal(value.at(token=mask), plain[[2, 5]]) and torch.equal(
        value.at(token=np.array(mask)), plain[[2, 5]]
    )
    assert torch.equal(value.at(token=slice(6, 1, -2)), plain[[6, 4, 2]])


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"heads": 1}, "no axis 'heads'; the axes are token, head, key, value"),
        ({"head": 4}, "head 4 is outside the 4 that there are; choose 0 to 3"),
        ({"head": [0, 9]}, "head 9 is outside"), ({"head": -5}, "head -5 is outside"),
        *(({"head": bad}, "pass a whole number, a list") for bad in (1.5, "1", None, True, [[1]], [True], slice(1.5))),
    ],
)  # fmt: skip
def test_places_that_are_none_are_refused(qwen, wrong, words):
    with pytest.raises(lab.InputError, match=words):
        qwen.trace("cat red", "layers.1.mixer.state")["layers.1.mixer.state"].at(**wrong)


def test_values_are_copied_pickled_and_differentiated_like_any_tensor(qwen):
    for trace in (qwen.trace(TEXT, "final"), qwen.trace(TEXT, "final", max_new_tokens=1)):
        value = trace["final"]
        for other in (copy.deepcopy(value), copy.copy(value), pickle.loads(pickle.dumps(value))):
            assert torch.equal(other, value) and other.axes == value.axes
        head = torch.nn.Linear(64, 3)
        head(value).sum().backward()
        assert head.weight.grad is not None and not value.is_inference()


def test_what_is_kept_keeps_nothing_else_in_memory(qwen):
    """`v` is cut out of a tensor that holds q and k too."""
    for tensor in qwen.trace(TEXT, "*").tensors.values():
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


# ---------------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"edit": [lab.edit("embed").zero()]}, "no setting 'edit'"),
        ({"seed": 3}, "seed is about new tokens"), ({"temperature": 0.0, "max_new_tokens": 0}, "about new tokens"),
        ({"max_new_tokens": "3"}, "max_new_tokens is '3'"), ({"max_new_tokens": -1}, "max_new_tokens is -1"),
        ({"max_new_tokens": True}, "max_new_tokens is True"),
        ({"record": None}, "What to record is None"), ({"record": [3]}, r"What to record is \[3\]"),
        ({"edits": None}, "None is no edit"), ({"edits": ["embed"]}, "'embed' is no edit"),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(qwen, wrong, words):
    with pytest.raises(lab.InputError, match=words):
        qwen.trace(TEXT, **{"record": "embed", **wrong})


def test_only_the_last_scores_are_formed_when_nobody_listens_to_them(qwen):
    """A hook on the module below would see: the head itself is called on one token, or on all."""
    seen, head = [], qwen.model.head
    qwen.model.head = lambda hidden: seen.append(hidden.shape[1]) or head(hidden)
    try:
        for record, edits, new in (
            ("embed", (), 0), ("logits", (), 0), ("embed", lab.edit("logits", token=0).add(1), 0),
            ("embed", (), 2), ("logits", (), 2),
        ):  # fmt: skip
            qwen.trace("cat red . ? cat", record, edits, max_new_tokens=new)
    finally:
        del qwen.model.head
    assert seen == [1, 5, 5, 1, 1, 5, 1]


# ---------------------------------------------------------------------- generation


def test_a_generation_has_one_row_per_step_and_the_values_of_one_pass_over_the_same_tokens(qwen):
    """What every step saw with the cache is what a single pass over the finished text sees."""
    generated = qwen.trace(TEXT, ALL, max_new_tokens=6)
    once = qwen.trace(generated.ids, ALL)
    assert generated.tokens == once.tokens
    for name in once:
        torch.testing.assert_close(generated.tensors[name], once.tensors[name], atol=2e-4, rtol=1e-3)
    start = len(qwen.encode(TEXT)[0])
    assert [step.position for step in generated.steps] == list(range(start, start + len(generated.steps)))
    assert [step.id for step in generated.steps] == qwen.generate(qwen.encode(TEXT)[0], 6).tolist()
    p = once["logits"][start - 1 :].double().softmax(-1)
    for row, step in zip(p, generated.steps, strict=True):
        assert math.isclose(step.probability, float(row[step.id]), rel_tol=1e-3)
        assert math.isclose(step.entropy, float(-(row * row.log()).sum()), rel_tol=1e-2, abs_tol=1e-4)
        assert step.rank == 0


def test_a_generated_score_of_a_later_key_is_minus_infinity_and_its_weight_is_zero(qwen):
    trace = qwen.trace(TEXT, ALL, max_new_tokens=4)
    later = torch.ones(len(trace.tokens), len(trace.tokens)).triu(1).bool()
    assert (trace.tensors["layers.3.mixer.scores"][:, later] == -torch.inf).all()
    assert (trace.tensors["layers.3.mixer.weights"][:, later] == 0).all()
    assert trace.tensors["layers.3.mixer.scores"][:, ~later].isfinite().all()


def test_a_sampled_generation_is_the_seeds(qwen):
    ids = [qwen.trace(TEXT, "embed", max_new_tokens=5, temperature=3.0, seed=seed).steps for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert max(step.rank for step in ids[0] + ids[2]) > 0


def test_provenance_says_how_tokens_were_chosen_and_which_seed_was_trained(qwen, tmp_path):
    trace = qwen.trace(TEXT, "embed", max_new_tokens=2, temperature=2.0, seed=7)
    assert trace.provenance.sampling == "temperature 2.0, seed 7" and "seed 7" in str(trace.provenance)
    assert lab.Trace.load(trace.save(tmp_path / "a")).provenance == trace.provenance
    assert qwen.trace(TEXT, "embed", max_new_tokens=2, top_k=3).provenance.sampling == "top_k 3, no seed"
    assert qwen.trace(TEXT, "embed", max_new_tokens=2, seed=1).provenance.sampling == "greedy"
    assert qwen.trace(TEXT, "embed").provenance.sampling == ""
    for name, seed in (("recall", 0), *((name, None) for name in microscopes())):
        found = lab.load(name).provenance.seed
        assert found == (int(name[-1]) if "-seed" in name else found) and isinstance(found, int)
        assert seed is None or found == seed


def test_messages_without_a_template_are_refused_and_with_one_are_its_text(qwen):
    messages = [{"role": "user", "content": "cat red . ? cat"}]
    with pytest.raises(lab.InputError, match="no chat template"):
        qwen.trace(messages)
    chatty = qwen.twin()
    chatty.tokenizer = copy.deepcopy(qwen.tokenizer)
    chatty.tokenizer.chat_template = "{% for m in messages %}{{ m.content }} .{% endfor %}"
    assert chatty.trace(messages).tokens == ["cat", "red", ".", "?", "cat", "."]


# ---------------------------------------------------------------------- nothing is left behind


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, lab.InputError])
def test_no_hook_is_left_behind_whatever_happens(qwen, error):
    before = qwen.model(qwen.encode(TEXT)).logits

    def fail(*args: object) -> None:
        raise error("on purpose")

    for edits in ((), lab.edit("layers.1.mixer.state", token=3).replace(fail)):
        handle = qwen.model.layers[2].register_forward_hook(fail)
        with pytest.raises(error):
            qwen.trace(TEXT, ALL, edits)
        handle.remove()
    with pytest.raises(error):
        qwen.trace(TEXT, "*", lab.edit("layers.0.mixer.beta").replace(fail))
    assert listeners(qwen) == 0
    assert torch.equal(qwen.model(qwen.encode(TEXT)).logits, before)


def test_an_interrupt_between_registering_and_noting_leaves_no_hook(qwen):
    def interrupted(hook):
        type(tap).register_forward_hook(tap, hook)
        raise KeyboardInterrupt

    tap = qwen.model.layers[0].mixer.beta
    tap.register_forward_hook = interrupted
    try:
        with pytest.raises(KeyboardInterrupt), ExitStack() as stack:
            listen(stack, tap, lambda *a: None)
    finally:
        del tap.register_forward_hook
    assert listeners(qwen) == 0


def test_a_twin_shares_weights_but_neither_hooks_nor_routers(qwen):
    twin = qwen.twin()
    assert all(a is b for a, b in zip(twin.model.parameters(), qwen.model.parameters(), strict=True))
    before = qwen.model(qwen.encode(TEXT)).logits
    with twin.edited(lab.edit("layers.0.mixer.beta").zero()):
        assert torch.equal(qwen.model(qwen.encode(TEXT)).logits, before)
        assert not torch.equal(twin.model(qwen.encode(TEXT)).logits, before)
    moe = small(MOE)
    other = moe.twin()
    with other.edited(lab.routing(top_k=1)):
        assert moe.model.layers[0].ffn.top_k == 2 and other.model.layers[0].ffn.top_k == 1


# ---------------------------------------------------------------------- the table of taps


def test_the_page_of_taps_is_the_codes():
    assert (ROOT / "docs/taps.md").read_text() == tap_table.page(), "run: qwen35-lab taps --markdown > docs/taps.md"


@pytest.mark.parametrize("moe", [False, True])
def test_every_tap_is_in_the_table_with_the_shape_that_it_really_has(moe):
    qwen = small(MOE if moe else DENSE, mtp_num_hidden_layers=1)
    trace = qwen.trace(IDS, [*ALL, "mtp.*", *(f"mtp.{tap}" for tap in ALL[-2:])])
    rows = {row[0]: row for row in tap_table.tap_table(qwen.model).rows}
    for name, tap in lab.taps(qwen.model):
        row = rows[tap_table.generic(qwen.model, name)]
        shape = " × ".join(f"{axis} {size}" for axis, size in zip(trace.axes[name], trace[name].shape, strict=True))
        shown = row[1].replace(" T", f" {len(IDS) - name.startswith('mtp.')}")
        assert shown == shape and row[3] == tap.meaning
        assert (row[2] == "always") == (not tap.lazy)


@pytest.mark.parametrize(
    "name, remedy",
    [
        ("layers.0.mixer.state", "trace again and add it"),  # a name, and no misspelt one
        ("layers.0.mixer.raed", "did you mean 'layers.0.mixer.read'"),
        ("embd", "did you mean 'embed'"),
        ("layers.0.mixer.betta", "did you mean 'layers.0.mixer.beta'"),
        ("layer.1.mixr.beta", "did you mean 'layers.1.mixer.beta'"),
        ("layers.2.beta", "did you mean 'layers.2.mixer.beta'"),
        ("layers.11.mixer.beta", "trace again and add it"),  # there are four
        ("layers.3.mixer.beta", "trace again and add it"),  # an attention layer
        ("", "trace again and add it"),
        (3, "trace again and add it"),
        ("layers.*.mixer.beta", "one value is read at a time, such as 'layers.0.mixer.beta'"),
    ],
)
def test_a_value_that_is_not_there_is_told_from_a_name_that_is_misspelt(name, remedy):
    with pytest.raises(lab.InputError, match=re.escape(f"{name!r} was not recorded; {remedy}")):
        small().trace(IDS)[name]


def test_a_trace_is_itself_and_no_other():
    trace = small().trace(IDS, "embed")
    assert trace == trace and trace != small().trace(IDS, "embed") and len({trace, trace}) == 1


def test_the_taps_of_a_qwen_are_those_of_its_model():
    qwen = small()
    assert dict(lab.taps(qwen)) == dict(lab.taps(qwen.model))
