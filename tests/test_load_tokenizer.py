"""A tokenizer comes alone: from what we ship and from a folder; from the Hub, see test_hub.py."""

import shutil

import pytest

import qwen35_lab as lab
from qwen35_lab.paths import data_path
from qwen35_lab.recall import KEYS, VALUES


@pytest.fixture
def folder(tmp_path):
    """A copy of the nano without its weights."""
    for path in data_path("nano").glob("*.json*"):
        shutil.copy(path, tmp_path)
    shutil.copy(data_path("nano", "chat_template.jinja"), tmp_path)
    return tmp_path


def test_it_is_the_tokenizer_of_the_whole_checkpoint(folder):
    text = "<|im_start|>user\nMia likes tea.<|im_end|>"
    wanted = lab.load("nano").tokenizer
    for source in ("nano", folder, str(folder)):
        alone = lab.load_tokenizer(source)
        assert alone(text)["input_ids"] == wanted(text)["input_ids"]
        assert alone.chat_template == wanted.chat_template


def test_what_has_none_is_refused(tmp_path):
    with pytest.raises(lab.CheckpointError, match="holds no tokenizer"):
        lab.load_tokenizer(tmp_path)
    with pytest.raises(lab.CheckpointError, match="did you mean 'nano'"):
        lab.load_tokenizer("nanoo")


@pytest.mark.parametrize("word, hint", [("cta", "did you mean 'cat'? Else use"), ("Unicorns", "use")])
def test_a_word_outside_a_list_of_words_is_told_which_there_are(word, hint):
    with pytest.raises(lab.InputError) as caught:
        lab.load("recall").generate(f"cat red . {word} blue . ? cat")
    listed = " ".join((*KEYS, *VALUES))
    assert str(caught.value) == (
        f"The word {word!r} is not in this model's vocabulary; {hint} words that it knows: . ? {listed}."
    )


def test_a_long_list_is_not_told(monkeypatch):
    monkeypatch.setattr("qwen35_lab.prompts.FEW_WORDS", 33)
    with pytest.raises(lab.InputError, match=r"words that it knows: qwen\.tokenizer\.get_vocab\(\) lists them\.$"):
        lab.load("recall").generate("cat red . Unicorns blue")
