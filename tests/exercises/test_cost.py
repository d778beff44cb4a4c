"""Exercises of notebook 06: right answers pass, known mistakes are named, and the clock judges nothing."""

import itertools

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import MIXES, LayerTimes, mixer_cost, time_layers
from qwen35_lab.config import FULL, LINEAR
from qwen35_lab.exercises.cost import (
    ATTENTION_MISTAKES,
    DELTANET_MISTAKES,
    EVEN_MISTAKES,
    break_even,
    cases,
    layer_flops,
)
from qwen35_lab.family import OFFICIAL, break_even_tokens, load_config

# ------------------------------------------------------------------------- 06.1

FLOPS = """
def layer_flops(text, kind, tokens):
    T, H = tokens, text.hidden_size
    if kind == "full_attention":
        Q, R = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
        return 2 * T * H * (2 * Q + 2 * R + Q) + 2 * T * (T + 1) * Q
    K, heads = text.linear_key_head_dim, text.linear_num_value_heads
    keys, values = text.linear_num_key_heads * K, heads * text.linear_value_head_dim
    channels = 2 * keys + values
    projections = H * (channels + values + 2 * heads + values)
    return 2 * T * (projections + channels * text.linear_conv_kernel_dim) + 7 * T * K * values
"""
WRONG_COUNTS = {  # words of the diagnosis -> what the code has instead
    "For attention: A factor of 2": [("2 * T * H * (2 * Q", "T * H * (2 * Q"), ("+ 2 * T * (T", "+ T * (T")],
    "causal half is forgotten": [("+ 2 * T * (T + 1) * Q", "+ 4 * T * T * Q")],
    "Half of the work over pairs": [("+ 2 * T * (T + 1) * Q", "+ T * (T + 1) * Q")],
    "For attention: The projections": [("2 * T * H * (2 * Q + 2 * R + Q) + ", "")],
    "`q_proj` makes a query *and* a gate": [("(2 * Q + 2 * R + Q)", "(2 * Q + 2 * R)")],
    "keys and values for all query heads": [("text.num_key_value_heads", "text.num_attention_heads")],
    "here it is `head_dim`": [("text.head_dim", "(H // text.num_attention_heads)")],
    "For DeltaNet: A factor of 2": [("return 2 * T * (proj", "return T * (proj"), ("+ 7 * T", "+ 3.5 * T")],
    "For DeltaNet: The projections": [("(projections + channels", "(channels")],
    "The state is forgotten": [(" + 7 * T * K * values", "")],
    "once for every *value* head": [("+ 7 * T * K * values", "+ 7 * T * K * keys / K * text.linear_value_head_dim")],
    "there is the output gate z": [("(channels + values + 2 * heads + values)", "(channels + 2 * heads + values)")],
    "grows with the text twice": [("+ 7 * T * K", "+ 7 * T * T * K")],
}  # fmt: skip


def written(source, *edits):
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    scope = {}
    exec(source, scope)
    return next(value for name, value in scope.items() if callable(value) and not name.startswith("_"))


def test_the_right_count_passes():
    assert lab.check("06.1", written(FLOPS))


@pytest.mark.parametrize("diagnosis, edits", WRONG_COUNTS.items(), ids=list(WRONG_COUNTS))
def test_a_wrong_count_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("06.1", written(FLOPS, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_counting_mistake_is_made_here_and_can_be_told_from_the_others():
    for name, mistakes in (("attention", ATTENTION_MISTAKES), ("DeltaNet", DELTANET_MISTAKES)):
        for diagnosis, _ in mistakes:
            assert sum(words in f"For {name}: {diagnosis}" for words in WRONG_COUNTS) == 1, diagnosis
        for (one, f), (other, g) in itertools.combinations(mistakes, 2):
            assert max(abs(f(*case) / g(*case) - 1) for case in cases()) > 0.03, (one, other)


def test_a_projection_too_few_is_the_same_at_either_end():
    """Gate or output: the numbers are equal, so one diagnosis names both."""
    assert "goes back" in lab.check("06.1", written(FLOPS, ("2 * Q + 2 * R + Q", "Q + 2 * R + Q"))).message
    without = ("channels + values + 2 * heads + values", "channels + values + 2 * heads")
    assert "goes back" in lab.check("06.1", written(FLOPS, without)).message


def test_a_count_within_one_percent_is_right_and_beyond_it_is_not():
    assert lab.check("06.1", lambda *args: 1.009 * layer_flops(*args))
    assert "1.02 times the right number" in lab.check("06.1", lambda *args: 1.02 * layer_flops(*args)).message


# ------------------------------------------------------------------------- 06.2

EVEN = """
def break_even(text):
    linear, full = (text.layer_types.count(kind) for kind in ("linear_attention", "full_attention"))
    state = 4 * text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim
    token = 2 * 2 * text.num_key_value_heads * text.head_dim
    return linear * state / (full * token)
"""
WRONG_EVEN = {
    "keys and values for all layers": [("(full * token)", "((linear + full) * token)")],
    "a state for every layer": [("linear * state", "(linear + full) * state")],
    "one layer with one layer": [("linear * state / (full * token)", "state / token")],
    "a key *and* a value": [("token = 2 * 2", "token = 2")],
    "for every query head": [("num_key_value_heads", "num_attention_heads")],
    "not for every key head": [("linear_num_value_heads", "linear_num_key_heads")],
    "different bytes": [("state = 4", "state = 2")],
    "turned over": [("linear * state / (full * token)", "full * token / (linear * state)")],
    "convolutions": [("state = 4 * text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim",
                      "values = text.linear_num_value_heads * text.linear_value_head_dim\n"
                      "    channels = 2 * text.linear_num_key_heads * text.linear_key_head_dim + values\n"
                      "    state = 4 * values * text.linear_key_head_dim + 3 * channels * 2")],
}  # fmt: skip


def test_the_right_length_passes():
    verdict = lab.check("06.2", written(EVEN))
    assert verdict and "6,144 tokens" in verdict.message


@pytest.mark.parametrize("diagnosis, edits", WRONG_EVEN.items(), ids=list(WRONG_EVEN))
def test_a_wrong_length_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("06.2", written(EVEN, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_mistake_about_lengths_is_made_here():
    for diagnosis, _ in EVEN_MISTAKES:
        assert sum(words in diagnosis for words in WRONG_EVEN) == 1, diagnosis


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_oracle_is_what_the_family_table_says(name):
    assert break_even(load_config(name).text) == break_even_tokens(load_config(name))


def test_the_models_of_the_exercises_are_none_that_exist():
    mixes = {text.layer_types.count(LINEAR) / text.layer_types.count(FULL) for text, _ in cases()}
    assert len(mixes) > 1 and 3.0 not in mixes


# ------------------------------------------------------------------------- 06.3

RIGHT = {"all DeltaNet": 2.0, "3 : 1": 2.2, "all attention": 2.7}


def measured(seconds=(2.0, 2.7)) -> LayerTimes:
    """Of twice the text; the work is 2 and 2.7 times as much."""
    once = torch.ones(2, dtype=torch.float64)
    work, taken = (torch.stack((once, torch.tensor(twice, dtype=torch.float64)), -1) for twice in ((2.0, 2.7), seconds))
    return LayerTimes((2048, 4096), taken[:, None], work, "RANDOM · x")


@pytest.mark.parametrize("seconds", [(2.0, 2.7), (2.7, 1.1)])
def test_factors_are_judged_by_the_work_and_the_clock_is_shown_whatever_it_says(seconds):
    verdict = lab.check("06.3", RIGHT, given=measured(seconds))
    assert verdict and f"all attention 2.70 times the FLOPs, {seconds[1]:.2f} times the seconds" in verdict.message


def test_the_factors_of_the_package_are_right_on_a_real_clock():
    config = lab.load_config("Qwen3.5-0.8B")
    flops = [[mixer_cost(config, kind, n).flops for kind in (LINEAR, FULL)] for n in (64, 128)]
    factors = {
        mix: (b * n + a * m) / (b0 * n + a0 * m) for mix, (n, m) in MIXES.items() for (b0, a0), (b, a) in [flops]
    }
    assert lab.check("06.3", factors, given=time_layers(config, (64, 128), repeats=1))


def test_four_for_attention_is_told_about_projections():
    verdict = lab.check("06.3", {**RIGHT, "all attention": 4}, given=measured())
    assert not verdict and "projections, which only double" in verdict.message


def test_more_than_two_for_deltanet_is_told_that_it_doubles():
    verdict = lab.check("06.3", {**RIGHT, "all DeltaNet": 3}, given=measured())
    assert not verdict and "so it doubles" in verdict.message


@pytest.mark.parametrize(
    "answer, given, said",
    [
        (dict.fromkeys(RIGHT), measured(), "Not written yet"),
        (2.0, measured(), "Pass a dict"),
        ({}, measured(), "Pass a dict"),
        (RIGHT, None, "Pass `given`"),
        ({"3 : 1": "two"}, measured(), "is a str"),
        ({"3 : 1": True}, measured(), "is a bool"),
        ({"2 : 1": 2.0}, measured(), "There is no mix"),
    ],
)
def test_what_is_no_prediction_is_told_so(answer, given, said):
    verdict = lab.check("06.3", answer, given=given)
    assert not verdict and said in verdict.message


@pytest.mark.parametrize("exercise", ["06.1", "06.2"])
@pytest.mark.parametrize(
    "answer, said",
    [(3, "Pass the function itself"), (lambda *a: None, "returns nothing yet"), (lambda *a: "x", "returns a str"),
     (lambda: 1, "must take"), (lambda *a: 1 / 0, "ZeroDivisionError"), (lambda *a: float("nan"), "returns NaN")],
)  # fmt: skip
def test_what_is_no_count_is_told_so(exercise, answer, said):
    verdict = lab.check(exercise, answer)
    assert not verdict and said in verdict.message
