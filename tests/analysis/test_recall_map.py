"""Texts with a needle, read as a person would, and maps of models whose answers are known beforehand."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import small
from torch import Tensor

import qwen35_lab as lab
from qwen35_lab.analysis import needle_map, recall_map
from qwen35_lab.analysis.recall_map import needle_texts
from qwen35_lab.recall import KEYS, TEST, VOCABULARY, Difficulty, score, text
from qwen35_lab.recall.task import IDS


@cache
def shipped() -> lab.Qwen:
    return lab.load("recall")


def answering(rule: Any) -> Any:
    """A model that reads a text's statements [(key, value), …] and the key asked for, and answers by a rule."""

    def model(ids: Tensor, logits_to_keep: int = 0) -> Any:
        logits = torch.zeros(*ids.shape, len(VOCABULARY))
        for row, line in enumerate(ids):
            *statements, question = text(line).split(" . ")
            logits[row, -1, IDS[rule([s.split() for s in statements], question.split()[1])]] = 1
        return SimpleNamespace(logits=logits[:, -logits_to_keep:])

    config = SimpleNamespace(text=SimpleNamespace(vocab_size=len(VOCABULARY)))
    return SimpleNamespace(model=model, config=config, device=torch.device("cpu"), provenance="a rule")


def latest(statements: list[list[str]], asked: str) -> str:
    return [value for key, value in statements if key == asked][-1]


@given(
    length=st.integers(1, 40), depth=st.floats(0, 1), keys=st.integers(2, len(KEYS)), texts=st.integers(1, 8),
    seed=st.integers(0, 2**16 - 1),
)  # fmt: skip
def test_the_needle_is_written_once_where_it_was_asked_for(length, depth, keys, texts, seed):
    ids, answers = needle_texts(length, depth, keys=keys, texts=texts, seed=seed)
    assert ids.shape == (texts, 3 * length + 2)
    for line, answer in zip(ids, answers, strict=True):
        *statements, question = text(line).split(" . ")
        ask, key = question.split()
        places = [n for n, statement in enumerate(statements) if statement.split()[0] == key]
        assert ask == "?" and len(statements) == length and places == [round(depth * (length - 1))]
        assert statements[places[0]].split()[1] == VOCABULARY[int(answer)]
        assert len({statement.split()[0] for statement in statements}) <= keys


def test_only_the_needle_moves_with_the_depth():
    first, last = (needle_texts(9, depth, texts=4, seed=3)[0] for depth in (0, 1))
    assert torch.equal(first[:, 3:27], last[:, :24]) and torch.equal(first[:, :3], last[:, 24:27])
    assert torch.equal(first[:, 27:], last[:, 27:]) and not torch.equal(first, last)
    assert not torch.equal(first, needle_texts(9, 0, texts=4, seed=4)[0])


def test_who_remembers_everything_is_right_everywhere():
    found = needle_map(answering(latest), (1, 5, 20), (0, 0.5, 1), texts=70)
    assert torch.equal(found.accuracy, torch.ones(3, 3).double())
    assert found.questions.tolist() == [[70] * 3] * 3
    assert (found.lengths, found.depths, found.tokens) == ((1, 5, 20), (0, 0.5, 1), (5, 17, 62))


def test_who_remembers_one_write_is_right_only_about_the_last():
    def last_value(statements, asked):
        return statements[-1][1] if statements[-1][0] == asked else "cat"

    found = needle_map(answering(last_value), (1, 5, 20), (0, 0.5, 1), texts=20)
    assert found.accuracy.tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 1]]


def test_the_shipped_model_finds_needles_at_the_lengths_it_was_trained_on_and_the_map_repeats():
    found = needle_map(shipped(), (4, 16), (0, 1), texts=64, seed=1)
    assert float(found.accuracy.min()) > 0.9
    alone = needle_map(shipped(), (16,), (1,), texts=64, seed=1)  # a cell does not depend on its neighbours
    assert alone.accuracy[0, 0] == found.accuracy[1, 1]
    assert found.provenance == shipped().provenance


def test_an_untrained_model_guesses():
    qwen = small(vocab_size=len(VOCABULARY))
    assert float(needle_map(qwen, (8,), (0, 0.5), texts=128).accuracy.max()) < 0.5


def test_the_map_of_keys_and_writes_is_the_score_of_each_cell():
    found = recall_map(shipped(), (2, 8), (4, 16), texts=64, questions=3)
    for row, keys in enumerate((2, 8)):
        for column, writes in enumerate((4, 16)):
            if writes < keys:
                assert found.accuracy[row, column].isnan() and found.questions[row, column] == 0
                continue
            cell = score(shipped().model, Difficulty((keys, keys), (writes, writes), (3, 3)), 64, TEST)
            assert found.accuracy[row, column] == cell.accuracy
            assert found.questions[row, column] == len(cell.right) == 192
    assert (found.keys, found.writes) == ((2, 8), (4, 16))


def test_what_makes_no_map_is_refused():
    with pytest.raises(lab.InputError, match=r"vocabulary of 40.*lab\.load\(\"recall\"\)"):
        recall_map(small())
    with pytest.raises(lab.InputError, match="vocabulary"):
        needle_map(small())
    with pytest.raises(lab.InputError, match="depths"):
        needle_map(shipped(), (4,), (0, 1.5))
    for lengths in ((0,), (8.5,), ("8",), (True,)):
        with pytest.raises(lab.InputError, match=r"lengths is .*; pass a whole number, 1 or more"):
            needle_map(shipped(), lengths)
    with pytest.raises(lab.InputError, match="keys is"):
        recall_map(shipped(), ())
    with pytest.raises(lab.InputError, match="There are 16 keys"):
        recall_map(shipped(), (17,), (24,))
    with pytest.raises(lab.InputError, match="keys is 1"):
        needle_map(shipped(), (4,), keys=1)
    with pytest.raises(lab.InputError, match="seed is -1"):
        needle_map(shipped(), (4,), seed=-1)
