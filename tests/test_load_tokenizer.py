"""A tokenizer comes alone: from what we ship, from a folder, and from the Hub without the weights."""

import shutil

import huggingface_hub
import pytest

import qwen35_lab as lab
from qwen35_lab import hub
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


def test_the_hub_is_asked_for_everything_but_weights(folder, monkeypatch):
    asked = []

    def snapshot(repo, revision, allow_patterns):
        asked.append((repo, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert len(lab.load_tokenizer("Qwen/Qwen3.5-0.8B", revision="main")) == 2048
    (repo, revision, patterns) = asked[0]
    assert (repo, revision) == ("Qwen/Qwen3.5-0.8B", "main")
    assert "*.json" in patterns and "*.jinja" in patterns and hub.WEIGHTS not in patterns
    with pytest.raises(lab.CheckpointError, match="has no weights"):  # as before, where they are needed
        lab.load("Qwen/Qwen3.5-0.8B")
    assert hub.WEIGHTS in asked[1][2]


def test_what_has_none_is_refused(tmp_path):
    with pytest.raises(lab.CheckpointError, match="holds no tokenizer"):
        lab.load_tokenizer(tmp_path)
    with pytest.raises(lab.CheckpointError, match="did you mean 'nano'"):
        lab.load_tokenizer("nanoo")
