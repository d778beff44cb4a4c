"""What is taught, what is counted, and that the loss is of answers and of routers, and of padding never."""

import re

import pytest
import torch
from small import MOE, small

import qwen35_lab as lab
from qwen35_lab import finetune
from qwen35_lab.finetune.keeping import by_text
from qwen35_lab.finetune.lessons import Lessons
from qwen35_lab.finetune.sentences import RECIPE
from qwen35_lab.nano.score import answer
from qwen35_lab.nano.world import draw
from qwen35_lab.recall import VALUES, text
from qwen35_lab.training import Recipe, make_optimisers


@pytest.fixture(scope="module")
def nano() -> lab.Qwen:
    return lab.load("nano")


# ------------------------------------------------------------------------- lessons and their loss


def test_a_lesson_is_a_chat_and_an_answer_that_ends(nano):
    made = finetune.lessons(nano, [([{"role": "user", "content": "Hello"}], "rice"),
                                   ([{"role": "user", "content": "What does Mia like?"}], "tea is good")])  # fmt: skip
    said = [nano.tokenizer.decode(row[there]) for row, there in zip(made.ids, made.answer)]
    assert said == ["rice<|im_end|>", "tea is good<|im_end|>"]
    assert not (made.answer & ~made.real).any() and not made.real.all() and made.real[1].all()
    with pytest.raises(lab.InputError, match="nothing to learn"):
        finetune.lessons(nano, [])


def random_lessons(rows: int = 3, width: int = 9, padding: int = 0) -> Lessons:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 40, (rows, width), generator=draw)
    ids = torch.cat((ids, torch.full((rows, padding), 7)), 1)
    real = torch.arange(width + padding).expand(rows, -1) < width
    return Lessons(ids, real, real & (torch.arange(width + padding) > 4))


def test_padding_changes_neither_loss_nor_balance_and_counting_it_does():
    model = small(MOE).model
    short, long = (finetune.lesson_loss(model, random_lessons(padding=n)) for n in (0, 12))
    for part in ("answers", "balance"):
        torch.testing.assert_close(short.parts[part], long.parts[part])
    assert short.tokens == long.tokens == 27
    loads = finetune.router_loads(model, random_lessons(padding=12))
    assert max(abs(load.padded - load.balance) for load in loads.values()) > 0.1
    mean = sum(load.balance for load in loads.values()) / len(loads)
    assert mean == pytest.approx(long.parts["balance"].item(), rel=1e-5)


def test_a_dense_model_has_no_balance_and_no_loads():
    made = finetune.lesson_loss(small().model, random_lessons())
    assert list(made.parts) == ["answers"] and finetune.router_loads(small().model, random_lessons()) == {}


def test_the_loss_is_of_the_answers_alone_each_text_counting_the_same():
    model, texts = small().model, random_lessons()
    texts.answer[0, :-1] = False  # one token is asked for here, four elsewhere
    with torch.no_grad():
        logits = model(texts.ids).logits[:, :-1].log_softmax(-1)
        each = -logits.gather(-1, texts.ids[:, 1:, None])[..., 0]
        rows = [row[asked].mean() for row, asked in zip(each, texts.answer[:, 1:])]
    torch.testing.assert_close(finetune.lesson_loss(model, texts).total, torch.stack(rows).mean())


def test_layers_that_lean_each_its_own_way_look_even_when_pooled():
    """Why the balance is taken layer by layer: transformers' loss pools them, and sees nothing."""
    from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import load_balancing_loss_func

    lean = 4 * torch.eye(4)
    layers = tuple(lean[n].expand(50, 4) + torch.randn(50, 4) / 10 for n in range(4))  # top-1, each on its own expert
    assert load_balancing_loss_func(layers, 4, 1).item() == pytest.approx(1, abs=0.05)
    assert min(load_balancing_loss_func((layer,), 4, 1).item() for layer in layers) > 3


def test_the_adapter_is_adamws_alone():
    tuned = finetune.attach(small(MOE))
    (only,) = make_optimisers(tuned.qwen.model, Recipe(1, stacked=True))
    assert isinstance(only, torch.optim.AdamW)
    assert sum(p.numel() for group in only.param_groups for p in group["params"]) == tuned.trained


# ------------------------------------------------------------------------- sentences


def test_a_lesson_asks_for_a_sentence_around_the_word_that_is_in_the_text(nano):
    made = finetune.sentence_lessons(nano, 2)
    for row, said in zip(made.ids, made.answer):
        value = nano.tokenizer.decode(row[said]).removesuffix(" is the answer.<|im_end|>")
        assert finetune.in_a_sentence(value) == f"{value} is the answer."
        assert re.search(rf"\b{value}\b", nano.tokenizer.decode(row[~said]))


def test_lessons_follow_from_step_and_seed(nano):
    a, b, c = (finetune.sentence_lessons(nano, step, seed) for step, seed in ((3, 0), (3, 0), (4, 0)))
    assert (torch.equal(a.ids, b.ids) and a.ids.shape != c.ids.shape) or not torch.equal(a.ids, c.ids)


def test_the_nano_answers_in_words_and_is_counted_so(nano):
    found = finetune.score_sentences(nano, 12)
    assert found.sentences == 0 and found.words >= 10 and found.values >= found.words and found.share == 0
    assert re.match(r"of 12 answers 0 are the right sentence, \d+ the right word alone", repr(found))
    with pytest.raises(lab.InputError, match="measure nothing"):
        finetune.score_sentences(nano, 0)


@pytest.mark.slow
def test_the_nano_learns_to_answer_in_sentences_and_forgets_other_things(nano):
    tuned = finetune.attach(nano, rank=8)
    weights = {n: p.detach().clone() for n, p in nano.model.named_parameters()}
    history = finetune.teach_sentences(tuned, RECIPE, progress=False, questions=16)
    assert sum(history.losses[-5:]) < sum(history.losses[:5]) / 3
    merged = tuned.merged()
    assert finetune.score_sentences(merged, 32).share > 0.5
    before, after = (finetune.kept(each, ["json", "shapes"], n=12) for each in (nano, merged))
    assert sum(right for right, _ in after.values()) < sum(right for right, _ in before.values())
    assert all(torch.equal(p, weights[n]) for n, p in nano.model.named_parameters())


# ------------------------------------------------------------------------- what is kept


def test_any_model_with_a_chat_template_is_judged_as_the_nano_is(nano):
    samples = [draw(kind, 0, n, "test") for kind in ("facts", "tools", "scripts") for n in range(4)]
    prompts = [(sample, sample.questions[0]) for sample in samples]
    judged = by_text(nano, prompts)
    assert judged == [each.verdict for each in answer(nano.model, nano.tokenizer, prompts)]
    assert judged != judged[::-1] == by_text(nano, prompts[::-1]), "each verdict belongs to its prompt"


def test_what_cannot_be_asked_is_refused(nano):
    with pytest.raises(lab.InputError, match="asked about 'chess'"):
        finetune.kept(nano, ["chess"])
    with pytest.raises(lab.InputError, match="measure nothing"):
        finetune.kept(nano, n=0)
    with pytest.raises(lab.InputError, match="asked about 'shapes'"):
        finetune.kept(lab.load("recall"), ["shapes"])


# ------------------------------------------------------------------------- a new alphabet


def test_new_keys_are_colours_and_answers_are_what_was_written_last():
    texts = finetune.with_new_keys(8, seed=5)
    assert texts.ids.shape[0] == 8
    for row, answers in zip(texts.ids, texts.answer):
        said, known, right = text(row).split(" . "), {}, []
        for line in said:
            words = line.split()
            if words[0] == "?":
                right.append(known[words[1]] == words[2])
            else:
                known[words[0]] = words[1]
        assert all(right) and len(right) == int(answers.sum())
        assert set(known) <= set(VALUES[:8]) and set(known.values()) <= set(VALUES[8:])


def test_the_recall_model_does_not_know_them_and_begins_to_learn():
    recall = lab.load("recall")
    assert finetune.score_alphabet(recall, 64).accuracy < 0.02
    tuned = finetune.attach(recall, ["deltanet"])
    history = finetune.teach_alphabet(tuned, Recipe(15, adamw_rate=5e-3, warmup=3, every=15), progress=False)
    assert history.losses[-1] < history.losses[0] / 2
    for refused in (finetune.score_alphabet, lambda qwen: finetune.teach_alphabet(finetune.attach(qwen))):
        with pytest.raises(lab.InputError, match="These texts are in"):
            refused(lab.load("nano"))
    with pytest.raises(lab.InputError, match="The seed is -1"):
        finetune.teach_alphabet(tuned, seed=-1)
