"""The recall task is what it says it is, and the shipped model does what its card states."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qwen35_lab as lab
from qwen35_lab import recall
from qwen35_lab.paths import data_path
from qwen35_lab.recall import task

FOLDER = data_path("recall")
FRESH = recall.TEST + 100_000  # batches that neither training, nor the choice of the seed, nor the card has seen


@st.composite
def difficulties(draw) -> recall.Difficulty:
    keys = sorted(draw(st.tuples(st.integers(1, 16), st.integers(1, 16))))
    writes = sorted(draw(st.tuples(st.integers(keys[0], 30), st.integers(keys[0], 30))))
    questions = sorted(draw(st.tuples(st.integers(1, 9), st.integers(1, 9))))
    return recall.Difficulty(tuple(keys), tuple(writes), tuple(questions))


seeds = st.integers(0, 2**32 - 1)


def read_statements(words: list[str]) -> list[list[str]]:
    """Tokens of a text without its end -> statements."""
    statements: list[list[str]] = [[]]
    for word in words:
        if word == ".":
            statements.append([])
        else:
            statements[-1].append(word)
    return statements


# ------------------------------------------------------------------------- the task


@given(seed=seeds, difficulty=difficulties())
@settings(max_examples=60, deadline=None)
def test_the_answer_is_the_value_written_last(seed, difficulty):
    """By a solver that knows nothing of the generator: it reads the text word by word."""
    texts = recall.batch(5, seed, difficulty)
    for row in range(5):
        *words, end = (recall.VOCABULARY[n] for n in texts.ids[row])
        assert end == "<|endoftext|>"
        memory: dict[str, list[str]] = {}
        position, answers, overwritten = 0, [], []
        for statement in read_statements(words):
            if statement[0] == "?":
                _, key, value = statement
                assert value == memory[key][-1]
                answers.append(position + 2)
                overwritten.append(len(memory[key]) > 1)
            else:
                key, value = statement
                assert key in recall.KEYS and value in recall.VALUES
                memory.setdefault(key, []).append(value)
            position += len(statement) + 1
        assert answers == texts.answer[row].nonzero().flatten().tolist()
        assert overwritten == texts.overwritten[row, answers].tolist()
        assert len(memory) == texts.keys[row]
        assert sum(map(len, memory.values())) == texts.writes
        assert answers[-1] == len(words) - 1, "a text ends with an answer"
    assert difficulty.keys[0] <= texts.keys.min() and texts.keys.max() <= difficulty.keys[1]
    assert difficulty.writes[0] <= texts.writes <= difficulty.writes[1]
    assert difficulty.questions[0] <= texts.answer[0].sum() <= difficulty.questions[1]


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_loss_asks_for_answers_and_for_the_end(seed):
    texts = recall.batch(4, seed)
    weight, ids = texts.weight, texts.ids
    assert (weight[texts.answer] == task.ANSWER_WEIGHT).all()
    assert (weight[ids == task.IDS["<|endoftext|>"]] == task.END_WEIGHT).all()
    after_answer = torch.zeros_like(texts.answer)
    after_answer[:, 1:-1] = texts.answer[:, :-2]
    assert (weight[after_answer] == 0).all(), "going on after an answer must not be taught"
    assert (weight[:, 0] == 0).all()
    rest = ~texts.answer & ~after_answer
    assert (weight[rest][:, None][1:-1] <= task.END_WEIGHT).all()
    assert not texts.overwritten[~texts.answer].any()


def test_a_batch_is_decided_by_its_seed():
    assert torch.equal(recall.batch(8, 5).ids, recall.batch(8, 5).ids)
    a, b = (recall.batch(8, seed, recall.Difficulty((4, 4), (9, 9), (2, 2))).ids for seed in (5, 6))
    assert not torch.equal(a, b)


def test_keys_and_values_are_even_and_the_text_gives_nothing_away():
    """Every key and value is as likely as another; repeating the value written last is right about 1 in 6."""
    texts = recall.batch(4000, 0, recall.Difficulty((8, 8), (16, 16), (1, 1)))
    asked = texts.ids[:, -3] - task.FIRST_KEY
    answers = texts.ids[:, -2] - task.FIRST_VALUE
    for found in (asked, answers):
        share = torch.bincount(found, minlength=16) / len(found)
        assert (share - 1 / 16).abs().max() < 0.02
    last_value = texts.ids[:, -6]
    assert (last_value == texts.ids[:, -2]).float().mean() < 0.25


def test_training_validation_and_test_seeds_do_not_meet():
    from qwen35_lab.recall.train import MOST_SEEDS, MOST_STEPS

    assert MOST_SEEDS * MOST_STEPS <= recall.VALIDATION < recall.TEST < FRESH < 2**32
    first = {tuple(recall.batch(1, seed).ids[0].tolist()) for seed in (0, recall.VALIDATION, recall.TEST)}
    assert len(first) == 3


@pytest.mark.parametrize(
    "limits, word",
    [
        (((0, 2), (2, 4), (1, 1)), "keys"),
        (((2, 17), (2, 40), (1, 1)), "16 keys"),
        (((5, 6), (4, 9), (1, 1)), "writes"),
        (((2, 3), (9, 4), (1, 1)), "writes"),
        (((2, 3), (4, 9), (0, 1)), "questions"),
    ],
)
def test_an_impossible_difficulty_is_refused(limits, word):
    with pytest.raises(lab.InputError, match=word):
        recall.Difficulty(*limits)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_pytorch_would_wrap_round_is_refused(seed):
    with pytest.raises(lab.InputError, match="seed"):
        recall.batch(1, seed)


# ------------------------------------------------------------------------- the shipped model


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return lab.load("recall")


@pytest.fixture(scope="module")
def hf():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(FOLDER).eval()


def accuracy(qwen: lab.Qwen, difficulty: recall.Difficulty = recall.TRAINED, texts: int = 256) -> float:
    return recall.score(qwen.model, difficulty, texts, FRESH).accuracy


def test_it_is_small_and_a_true_hybrid(qwen):
    assert sum(p.numel() for p in qwen.model.parameters()) <= 300_000
    assert (FOLDER / "model.safetensors").stat().st_size < 1_000_000
    text = qwen.config.text
    assert text.layer_types == ("linear_attention",) * 3 + ("full_attention",)
    assert text.linear_num_value_heads > text.linear_num_key_heads
    assert text.num_attention_heads > text.num_key_value_heads
    assert qwen.provenance.kind == "TINY"


def test_it_answers_and_stops(qwen):
    prompt = "cat red . dog blue . cat green . ? cat"
    assert qwen.generate(prompt, max_new_tokens=1) == "green"
    assert qwen.generate(prompt, max_new_tokens=20) == "green"
    assert qwen.generate([prompt, "dog blue . ? dog"], max_new_tokens=20) == ["green", "blue"]
    assert qwen.generate(prompt + " green . cat lime . ? cat", max_new_tokens=20) == "lime"


def test_it_is_as_good_as_its_card_says(qwen):
    """The card's accuracy comes from 5,000 questions, this one from others: leave a margin of 0.5 %."""
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    (seed,) = re.findall(r"holds\s+seed (\d+)", card)
    (row,) = re.findall(rf"^\| {seed} \|(.*)\|$", card, re.MULTILINE)
    stated = float(row.split("|")[4].strip().removesuffix("%")) / 100
    assert stated >= 0.99
    fresh = recall.score(qwen.model, texts=1024, seed=FRESH)
    assert fresh.accuracy >= stated - 0.005
    assert fresh.among(fresh.overwritten) >= stated - 0.01
    assert min(fresh.by_keys().values()) >= 0.98


def test_the_card_says_that_it_is_ours_and_how_it_was_made():
    card = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    assert "not an official" in card and "qwen35-lab train recall --seeds" in card
    succeeded, of = map(int, re.findall(r"(\d+) of (\d+) seeds reach", card)[0])
    assert of >= 3 and succeeded == of


def test_it_holds_longer_texts_than_it_has_seen(qwen):
    assert accuracy(qwen, recall.Difficulty((8, 8), (96, 96), (8, 8)), 64) > 0.9


def test_the_delta_rule_is_its_memory(qwen):
    """Without its attention layer it still recalls; without erasing in its DeltaNet layers it does not."""
    found = dict(lab.taps(qwen.model))
    layers = qwen.config.text.layer_types

    def silence(name: str):
        return found[name].register_forward_hook(lambda module, inputs, value: value * 0)

    attention = silence(f"layers.{layers.index('full_attention')}.mixer.out")
    try:
        assert accuracy(qwen, texts=128) > 0.95
    finally:
        attention.remove()
    crowded = recall.Difficulty((4, 4), (12, 12), (4, 4))
    assert accuracy(qwen, crowded, 128) > 0.98
    hooks = [silence(f"layers.{n}.mixer.erase") for n, kind in enumerate(layers) if kind == "linear_attention"]
    try:
        assert accuracy(qwen, crowded, 128) < 0.85
    finally:
        for hook in hooks:
            hook.remove()


def test_transformers_gives_the_same_logits(qwen, hf):
    for seed in range(3):
        ids = recall.batch(8, FRESH + seed).inputs
        with torch.inference_mode():
            assert (hf(ids).logits - qwen.model(ids).logits).abs().max() < 1e-4


def test_transformers_generates_the_same_text(qwen, hf):
    for prompt in ("cat red . dog blue . cat green . ? cat", "cat red . dog", "owl lime . ? owl lime ."):
        inputs = qwen.tokenizer(prompt, return_tensors="pt")
        theirs = hf.generate(**inputs, max_new_tokens=16, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        ours = qwen.generate(inputs["input_ids"], max_new_tokens=16)
        assert ours.tolist() == theirs.tolist()


# ------------------------------------------------------------------------- its tokenizer


def test_auto_tokenizer_takes_words_and_gives_them_back():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    for seed in range(5):
        text = recall.text(recall.batch(1, seed).ids[0])
        ids = tokenizer(text)["input_ids"]
        assert ids == recall.batch(1, seed).ids[0, :-1].tolist()
        assert tokenizer.decode(ids) == text
    assert tokenizer("cat red.?cat")["input_ids"] == tokenizer("cat red . ? cat")["input_ids"]
    assert tokenizer("green<|endoftext|>")["input_ids"][-1] == tokenizer.eos_token_id == tokenizer.pad_token_id
    assert [tokenizer.decode([n]) for n in range(len(tokenizer))] == list(recall.VOCABULARY)


def test_a_word_it_does_not_know_is_refused_by_name(qwen):
    with pytest.raises(lab.InputError, match="'tiger'"):
        qwen.generate("cat red . tiger blue . ? tiger")
    with pytest.raises(lab.InputError, match="'Cat'"):
        qwen.trace("Cat red")


def test_a_saved_copy_is_the_same(qwen, tmp_path):
    lab.save(qwen, tmp_path / "copy")
    copy = lab.load(tmp_path / "copy")
    ids = recall.batch(2, 3).inputs
    assert torch.equal(copy.model(ids).logits, qwen.model(ids).logits)
    assert copy.generate("cat red . ? cat") == "red"
