"""Facts are asked rightly: the answers are the greedy ones, of every row of a batch, whatever is switched off."""

from dataclasses import replace

import pytest
import torch
from tiny_nano import TINY, tiny

import qwen35_lab as lab
from qwen35_lab.nano import cuts
from qwen35_lab.nano.shape import config_of
from qwen35_lab.provenance import Provenance
from qwen35_lab.qwen import Qwen

CUTS = {
    "nothing": lambda begins: [],
    "the erase": cuts.unerased(0, 1, 2),
    "a memory": cuts.emptied(1, "linear_attention"),
    "attention": cuts.emptied(3, "full_attention"),
}


@pytest.fixture(scope="module")
def qwen(tokenizer):
    found = Qwen(tiny(tokenizer), config_of(TINY, tokenizer), Provenance("RANDOM", "tiny", None, "float32", "cpu"))
    found.tokenizer = tokenizer
    with torch.no_grad():
        for weight in found.model.layers.parameters():  # so that what a memory returns matters for the answer
            weight.mul_(3)
        found.model.layers[3].mixer.o_proj.weight.mul_(30)
    return found


@pytest.fixture(scope="module")
def asked(qwen):
    return cuts.ask_facts(qwen, each=6)


def test_as_many_questions_of_both_kinds_each_begun_where_it_begins(qwen, asked):
    assert [each.rewritten for each in asked].count(True) == [each.rewritten for each in asked].count(False) == 6
    assert [len(each.ids) for each in asked] == sorted(len(each.ids) for each in asked)
    begins = {qwen.tokenizer.decode(each.ids[each.begin : each.begin + cuts.NAMELESS]) for each in asked}
    assert begins <= {"What does", "Where does", "What is"}
    text = qwen.tokenizer.decode([*asked[-1].ids, asked[-1].answer[-1]])
    assert text.endswith("</think>\n\n" + qwen.tokenizer.decode(asked[-1].answer))


def greedy(qwen, one: cuts.Asked, cut: cuts.Cut) -> cuts.Asked:
    """The question with what the model says in place of the answer; asked alone, token by token."""
    prompt, count = one.ids[: len(one.ids) + 1 - len(one.answer)], len(one.answer)
    said = list(prompt)
    for _ in range(count):
        with torch.inference_mode(), qwen.edited(*cut([one.begin])):
            said.append(int(qwen.model(torch.tensor([said])).logits[0, -1].argmax()))
    return replace(one, ids=said[:-1], answer=said[len(prompt) :])


@pytest.mark.parametrize("name", CUTS)
def test_right_is_what_the_model_would_say_alone(qwen, asked, name):
    said = [greedy(qwen, one, CUTS[name]) for one in asked]
    assert cuts.remembered(qwen, said, CUTS[name]).right.all()
    assert name == "nothing" or not cuts.remembered(qwen, said).right.all()  # the cut is felt
    wrong = [replace(one, answer=[*one.answer[:-1], one.answer[-1] + 1]) for one in said]
    assert not cuts.remembered(qwen, wrong, CUTS[name]).right.any()


def test_a_memory_is_empty_once_and_then_filled_again(qwen, asked):
    one = asked[-1]
    last = one.begin + cuts.NAMELESS - 1
    S = qwen.trace(one.ids, "layers.1.mixer.state", CUTS["a memory"]([one.begin]))["layers.1.mixer.state"]
    assert [bool(S[n].abs().max() > 0) for n in (last - 1, last, last + 1)] == [True, False, True]


def test_attention_no_longer_sees_the_text(qwen, asked):
    one = asked[-1]
    first, name = one.begin + cuts.NAMELESS, "layers.3.mixer.weights"
    seen = qwen.trace(one.ids, name, CUTS["attention"]([one.begin]))[name]
    whole = qwen.trace(one.ids, name)[name]
    assert seen[:, first:, :first].abs().max() == 0 < whole[:, first:, :first].abs().max()
    torch.testing.assert_close(seen[:, :first], whole[:, :first])
    torch.testing.assert_close(seen[:, first:, first:], whole[:, first:, first:])


def test_everything_is_switched_off_in_turn_and_split(qwen):
    found = cuts.switched_off(qwen, each=2)
    assert [*found] == [
        "nothing", "the erase of layer 0", "the erase of layer 1", "the erase of layer 2", "the erase of all layers",
        "the memory of layer 0", "the memory of layer 1", "the memory of layer 2", "the memory of layer 3",
    ]  # fmt: skip
    score = cuts.Remembered(
        torch.tensor([True, False, True, True]), torch.tensor([True, True, False, False]), torch.tensor([0, 1, 2, 3])
    )
    assert (score.overwritten, score.once, score.among(score.distance > 0)) == (0.5, 1.0, pytest.approx(2 / 3))


def test_a_model_of_other_words_is_refused():
    with pytest.raises(lab.InputError, match=r'lab\.load\("nano"\)'):
        cuts.ask_facts(lab.load("recall"))
