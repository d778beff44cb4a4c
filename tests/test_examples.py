"""The text to begin with is in the model's own words."""

from types import SimpleNamespace

import pytest
from tiny_nano import TINY, tiny

import qwen35_lab as lab
from qwen35_lab import nano
from qwen35_lab.examples import ENGLISH, NANO
from qwen35_lab.nano.shape import config_of
from qwen35_lab.nano.world.facts import fitting
from qwen35_lab.provenance import Provenance


@pytest.mark.parametrize("name", ["recall", "microscope"])
def test_the_small_models_know_every_word_and_the_answer(name):
    qwen = lab.load(name)
    assert qwen.generate(lab.example(qwen), max_new_tokens=1).strip() == "green"


def test_the_nano_is_told_it_as_a_turn_of_its_chat():
    tokenizer = nano.train_tokenizer(samples=150)
    qwen = lab.Qwen(tiny(tokenizer), config_of(TINY, tokenizer), Provenance("RANDOM", "tiny", None, "float32", "cpu"))
    qwen.tokenizer = tokenizer
    assert lab.example(qwen) == (f"<|im_start|>user\n{NANO}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_the_nano_is_told_nothing_that_its_training_left_out():
    likes = [sentence.removeprefix("Now ").split(" likes ") for sentence in NANO.split("\n")[0][:-1].split(". ")]
    assert [name for name, _ in likes] == ["Mia", "Tom", "Mia"] and likes[0] != likes[2]
    assert [pair for pair in likes if pair[1] not in fitting(pair[0], "likes", False)] == []


def test_all_others_are_told_it_in_english():
    assert lab.example(SimpleNamespace(tokenizer=range(248_077))) == ENGLISH  # pyright: ignore[reportArgumentType]
