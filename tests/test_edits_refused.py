"""Edits that do not fit, or that meet nothing, are refused in one sentence that says what to do."""

import numpy as np
import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab


@pytest.fixture(scope="module")
def moe() -> lab.Qwen:
    return small(MOE)


def logits(qwen: lab.Qwen, *edits) -> torch.Tensor:
    return qwen.trace(IDS, "logits", edits).tensors["logits"]


def test_a_block_whose_edit_meets_nothing_says_so_at_its_end(moe):
    """Not if nothing was run, and never in place of another error."""
    ids = torch.tensor([IDS])
    late, unseen = lab.edit("embed", token=99).zero(), lab.edit("layers.3.mixer.weights", query=2, key=5).set(1.0)
    for change in (late, unseen):
        with pytest.raises(lab.InputError, match="changed nothing: none of its places is in the 11 tokens"):  # noqa: SIM117
            with moe.edited(change):
                moe.model(ids)
        with moe.edited(change):
            pass
        with pytest.raises(ZeroDivisionError), moe.edited(change):
            moe.model(ids)
            raise ZeroDivisionError
    with moe.edited(late):
        moe.model(ids)
        moe.model(torch.zeros(1, 100, dtype=torch.long))


def test_an_edit_of_an_expert_that_is_not_chosen_says_so(moe):
    name = "layers.0.ffn.expert_ids"
    chosen = moe.trace(IDS, name).tensors[name]
    token, expert = next((t, e) for t in range(len(IDS)) for e in range(6) if e not in chosen[t] and e in chosen)
    for where in ({"token": token}, {}):
        change = lab.edit("layers.0.ffn.expert_out", expert=expert, **where).scale(2)
        if where:
            with pytest.raises(lab.InputError, match="changed nothing"):
                logits(moe, change)
        else:
            logits(moe, change)


@pytest.mark.parametrize("make, words", [
    (lambda: lab.edit("layers.0.mixer.gamma").zero(), "did you mean 'layers.0.mixer"),
    (lambda: lab.edit("layers.0.mixer.beta", heads=1).zero(), "choose among token, head"),
    (lambda: lab.edit("layers.0.mixer.beta", head=4).zero(), "outside the 4"),
    (lambda: lab.edit("layers.*.mixer.beta", layer=9).zero(), "layer 9 is outside the 4"),
    (lambda: lab.edit("layers.0.mixer.beta", layer=1).zero(), "has no tap in layer 1"),
    (lambda: lab.edit("layers.0.mixer.beta", token=50).zero(), "changed nothing"),
    (lambda: lab.edit("layers.0.mixer.beta", token=[1, 1]).zero(), "twice"),
    (lambda: lab.edit("layers.0.mixer.beta", token="x").zero(), "pass a number, a list"),
    (lambda: lab.edit("layers.0.mixer.beta").set(torch.zeros(3)), "does not fit"),
    (lambda: lab.edit("layers.0.mixer.beta").replace(lambda x: x[:, :1]), "return one that fits"),
    (lambda: lab.edit("layers.0.ffn.expert_ids").set(6), "experts 0 to 5"),
    (lambda: lab.edit("layers.0.ffn.expert_ids").scale(0.3), "whole numbers"),
    (lambda: "layers.0.mixer.beta", "is no edit"),
    (lambda: None, "None is no edit"),
    (lambda: lab.edit(3), "name of a tap"),
    (lambda: lab.edit("embed", token=3.0).zero(), "pass a number, a list"),
    (lambda: lab.edit("embed", token=[True]).zero(), "pass a number, a list"),
    (lambda: lab.edit("embed", token=np.array([0.5])).zero(), "pass a number, a list"),
    (lambda: lab.edit("embed", token=slice(9, 2, -1)).zero(), "runs backwards; pass a list"),
    (lambda: lab.edit("embed", token=slice("a", None)).zero(), "whole numbers in a slice"),
    (lambda: lab.edit("embed", token=slice(0, 4, 0)).zero(), "a step above 0"),
    (lambda: lab.edit("layers.0.mixer.beta", head=slice(None, None, -1)).zero(), "runs backwards"),
    (lambda: lab.edit("layers.0.mixer.beta", head=[0, -4]).zero(), "names a place twice"),
    (lambda: lab.edit("layers.*.mixer.q", head=0).zero(), r"Only some of the taps .* have an axis 'head'.*layer=\[3\]"),
    (lambda: lab.edit("layers.*.mixer.out", expert=0).zero(), "no axis 'expert'"),
    (lambda: lab.edit("embed").set(None), "no number and no tensor"),
    (lambda: lab.edit("embed").scale("x"), "no number and no tensor"),
    (lambda: lab.edit("embed").replace(3), "takes a function"),
    (lambda: lab.edit("embed").patch_from("a"), "takes a trace"),
])  # fmt: skip
def test_what_does_not_fit_is_said_in_a_sentence(moe, make, words):
    with pytest.raises(lab.InputError, match=words):
        logits(moe, make())


def test_a_patch_from_too_short_a_text_or_unrecorded_is_refused(moe):
    short = moe.trace(IDS[:3], "layers.0.output")
    for change, words in (
        (lab.edit("layers.0.output").patch_from(short), "that trace has 3 tokens"),
        (lab.edit("layers.1.output", token=0).patch_from(short), "was not recorded"),
        (lab.edit("layers.0.output", token=[0, 1, 2]).patch_from(short, token=[0, 1]), "too few"),
        (lab.edit("layers.0.output", token=0).patch_from(short, token=-100), "3 tokens, and none at -100"),
    ):
        with pytest.raises(lab.InputError, match=words):
            logits(moe, change)


def test_a_patch_is_never_stretched_to_fit(moe):
    """One head into four, or one choice into two."""
    name, ids = "layers.0.mixer.beta", "layers.0.ffn.expert_ids"
    one_head = small(linear_num_value_heads=1, linear_num_key_heads=1).trace(IDS, name)
    one_choice = moe.trace(IDS, ids, lab.routing(top_k=1))
    for change, words in (
        (lab.edit(name).patch_from(one_head), "has head 1, and here 4"),
        (lab.edit(name, head=0).patch_from(one_head), "has head 1, and here 4"),
        (lab.edit(ids).patch_from(one_choice), "has choice 1, and here 2"),
    ):
        with pytest.raises(lab.InputError, match=words):
            logits(moe, change)


def test_an_edit_that_says_where_and_not_what_is_refused():
    with pytest.raises(lab.InputError, match=r"layers\.0\.mixer\.beta\[token 3\] says where and not what"):
        small().trace(IDS, edits=lab.edit("layers.0.mixer.beta", token=3))


def test_an_edit_is_printed_in_words():
    assert repr(lab.edit("embed", token=3).scale(2)) == "<edit embed[token 3] × 2>"
