"""A tokenizer comes alone: from what we ship and from a folder; from the Hub, see test_hub.py."""

import shutil

import pytest

import qwen35_lab as lab
from qwen35_lab.paths import data_path


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
