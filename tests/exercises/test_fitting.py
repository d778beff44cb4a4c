"""The checkers of notebook 00 take what is right, name each known mistake, and leave the process as it was."""

import os

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import bytes_held
from qwen35_lab.exercises import fitting


def bytes_needed(counts, text, bits, context):
    full = sum(kind == "full_attention" for kind in text.layer_types)
    kv = 2 * 2 * full * text.num_key_value_heads * text.head_dim * context
    state = text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim
    return counts.total * bits / 8 + kv + 4 * state * (len(text.layer_types) - full)


def test_the_right_answers_pass():
    assert lab.check("00.1", bytes_needed)
    terms = {dtype: lab.will_it_fit("9B", dtype, 1_000, bytes=24e9).terms for dtype in ("bfloat16", "int4")}
    kept = ("text weights", "vision tower", "MTP head", "DeltaNet states", "convolutions")
    lengths = [(24e9 - sum(t[name] for name in kept)) / (t["keys and values"] / 1_000) for t in terms.values()]
    verdict = lab.check("00.2", lengths)
    assert verdict and "262,144" in verdict.message
    assert lab.check("00.2", tuple(torch.tensor(lengths))), "numbers of another kind are numbers"
    assert lab.check("00.3", fitting.worse)
    assert lab.check("00.3", lambda before, after: sorted(fitting.worse(before, after)))


@pytest.mark.parametrize("name, bits, context", fitting.ASKED)
def test_the_oracle_is_the_ledger(name, bits, context):
    found = fitting.bytes_needed(fitting.counts_of(name), lab.load_config(name).text, bits, context)
    assert found == pytest.approx(bytes_held(name, context, dtype=fitting.DTYPES[bits]).total, rel=fitting.TOLERANCE)


def test_no_two_mistakes_look_alike():
    cases = [(fitting.counts_of(n), lab.load_config(n).text, bits, context) for n, bits, context in fitting.ASKED]
    sums = [tuple(fitting.bytes_needed(*case, **change) for case in cases) for _, change in fitting.MISTAKES]
    assert len({tuple(f"{n:.4g}" for n in each) for each in sums}) == len(sums)


@pytest.mark.parametrize("fault", fitting.FAULTS)
def test_a_planted_fault_is_taken_away_even_after_an_error(fault):
    def settings():
        return (torch.get_default_dtype(), torch.backends.cuda.flash_sdp_enabled(),
                torch.get_float32_matmul_precision(), dict(os.environ))  # fmt: skip

    before = settings()
    with pytest.raises(ZeroDivisionError), fitting.planted(fault):
        assert settings() != before
        raise ZeroDivisionError
    assert settings() == before


@pytest.mark.parametrize("fault, finding", [("wrong dtype", "default dtype"), ("fallback kernel", "attention kernel"),
                                            ("rounded products", "matrix products")])  # fmt: skip
def test_the_doctor_sees_what_is_planted(fault, finding):
    with fitting.planted(fault):
        sick = lab.doctor(fitting.TOPICS)
    assert sick[finding].state != "fine" and lab.doctor(fitting.TOPICS)[finding].state == "fine"


def test_a_harmless_variable_changes_a_sentence_and_no_state():
    before = lab.doctor("traps")["environment"]
    with fitting.planted("harmless variable"):
        after = lab.doctor("traps")["environment"]
    assert after.says != before.says and after.state == before.state


def test_an_unknown_fault_and_no_functions_are_refused_politely():
    with pytest.raises(lab.InputError, match="There is no fault 'flu'"), fitting.planted("flu"):
        pass
    for exercise in ("00.1", "00.3"):
        assert "function itself" in lab.check(exercise, 3).message
        assert "returns nothing yet" in lab.check(exercise, lambda *a: None).message
    assert "No answer yet" in lab.check("00.2", None).message
    for answer in ((1.0,), (1, 2, 3), (1, float("nan")), (True, 1), ("1", "2"), 5, {1, 2}):
        assert "Write a pair of numbers" in lab.check("00.2", answer).message, answer
