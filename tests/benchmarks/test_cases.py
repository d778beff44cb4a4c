"""What is raced is the same computation on the same numbers, at sizes that are quick to check."""

import inspect

import pytest
import torch
from benchmarks import taps_cases, text_cases, weights_cases
from benchmarks.race import Given
from benchmarks.text_cases import KERNELS, Pair, decay, decoding, model_pair, plain, prefill, products

import qwen35_lab as lab
from qwen35_lab.model import Tap

SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
         "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
         "vocab_size": 1200}  # fmt: skip


@pytest.fixture
def pair(monkeypatch) -> Pair:
    whole = text_cases.shape()
    monkeypatch.setattr(text_cases, "shape", lambda: whole | SMALL)
    torch.manual_seed(0)
    return model_pair(torch.float32, 4, "cpu")


def test_both_models_hold_the_very_same_tensors(pair):
    ours, theirs = ({p.data_ptr() for p in model.parameters()} for model in (pair.ours, pair.theirs))
    assert ours == theirs and len(ours) > 40
    assert pair.ours.config.vocab_size == 200  # 4 layers of 24, and the vocabulary in proportion
    assert pair.words == "float32, 4 of 24 layers"


@torch.inference_mode()
def test_both_read_to_the_same_scores(pair):
    ours, theirs, _ = prefill(pair, 70)
    ours, theirs = ours().logits, theirs().logits
    assert ours.std() > 0.05
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_both_go_on_decoding_where_they_were(pair):
    ours, theirs, _ = decoding(pair, 3)
    for _ in range(2):
        torch.testing.assert_close(torch.cat(ours()), torch.cat(theirs()), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_bound_multiplies_with_every_matrix_once(pair, monkeypatch):
    used = []
    monkeypatch.setattr(text_cases, "times", lambda x, w: used.append((w.data_ptr(), len(x))))
    products(pair, 7)()
    matrices = {p.data_ptr() for p in pair.ours.parameters() if p.ndim == 2}
    assert sorted(pointer for pointer, _ in used) == sorted(matrices)
    assert [rows for _, rows in used] == [7] * (len(used) - 1) + [1]  # the head comes last, for the last token


@torch.inference_mode()
def test_both_forms_of_the_delta_rule_agree():
    case = next(text_cases.delta_rules(Given(quick=True)))
    for ours, theirs in zip(case.ours(), case.theirs(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_few_bits_are_made_once_for_both_heads(pair):
    both = weights_cases.rounded(pair.ours, "int8")
    plain_head = weights_cases.with_head_of(pair.ours, both)
    assert plain_head.embed_tokens.weight is pair.ours.embed_tokens.weight is not both.embed_tokens.weight
    held = dict(both.named_parameters())
    layers = {name: p for name, p in plain_head.named_parameters() if name.startswith("layers.")}
    assert layers and all(p is held[name] for name, p in layers.items())


def test_decay_is_negative_and_of_the_trained_kind():
    half_lives = torch.log(torch.tensor(2.0)) / -decay(64, 512, "cpu")
    assert half_lives.min() > 0 and 1 < half_lives.median() < 50 and half_lives.max() > 100


def test_transformers_can_be_held_to_its_own_code():
    module = text_cases.importlib.import_module(text_cases.MODULE)
    before = [getattr(module, name) for name in KERNELS]
    with plain():
        inside = [getattr(module, name) for name in KERNELS]
        assert not any(hasattr(each, "__wrapped__") for each in inside)
    assert inside == [inspect.unwrap(each) for each in before] != before
    assert [getattr(module, name) for name in KERNELS] == before


def test_a_model_without_taps_computes_the_same_with_the_same_weights():
    model, ids = lab.load("recall").model, torch.arange(20)[None]
    bare = taps_cases.without_taps(model)
    assert not [m for m in bare.modules() if isinstance(m, Tap)] and [m for m in model.modules() if isinstance(m, Tap)]
    assert {p.data_ptr() for p in bare.parameters()} == {p.data_ptr() for p in model.parameters()}
    with torch.inference_mode():
        assert torch.equal(bare(ids).logits, model(ids).logits)
