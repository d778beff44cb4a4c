"""The parity ledger agrees where the models agree, and only there."""

import logging
import os
import subprocess
import sys
import warnings

import pytest
import torch
from inputs.seeing import seeing
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab


@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense, tied", "moe, untied"])
def test_random_weights_agree_through_the_name_map(raw):
    ledger = lab.parity_ledger(small(raw), IDS)
    assert ledger.holds, ledger
    assert [row.what for row in ledger.rows[:2]] == ["embedding", "residual stream after layer 0 (DeltaNet)"]
    assert len(ledger.rows) == 1 + 4 + 3
    assert ledger.worst() < 1e-5


@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "moe"])
def test_a_saved_folder_is_loaded_by_transformers_itself(raw, tmp_path):
    small(raw).save(tmp_path / "model")
    ledger = lab.parity_ledger(lab.load(tmp_path / "model"), IDS)
    assert ledger.holds, ledger


def test_experts_are_compared_in_float64_too(tmp_path):
    """Which the product that transformers takes by default refuses."""
    qwen = lab.load(small(MOE).save(tmp_path / "model"), dtype="float64")
    ledger = lab.parity_ledger(qwen, IDS)
    assert ledger.holds and ledger.worst("one full pass") < 1e-12, ledger


def test_the_language_model_of_a_model_with_eyes_agrees(tmp_path):
    qwen = seeing()
    ids = qwen.encode("some text alone")
    assert lab.parity_ledger(qwen, ids).holds
    assert lab.parity_ledger(lab.load(qwen.save(tmp_path / "model")), ids).holds


def test_the_shipped_model_agrees():
    ledger = lab.parity_ledger(lab.load("recall"), "cat red . dog blue . ? cat")
    assert ledger.holds and ledger.worst() < 1e-5, ledger


def test_a_mistake_shows_in_the_row_where_it_happens():
    broken = lab.exercises.plant(small(), seed=4)  # a feed-forward's norm
    place, _ = lab.exercises.planted.planted(broken)
    layer = int(place.split(".")[1])
    rows = {row.what.split(" (")[0]: row.holds for row in lab.parity_ledger(broken, IDS).rows}
    assert [rows[f"residual stream after layer {n}"] for n in range(layer)] == [True] * layer
    assert not rows[f"residual stream after layer {layer}"]
    assert not rows["logits"]


def test_a_cache_that_forgets_shows_in_its_row(monkeypatch):
    from qwen35_lab.model.deltanet import GatedDeltaNet

    qwen = small()
    forward = GatedDeltaNet.forward
    monkeypatch.setattr(GatedDeltaNet, "forward", lambda self, x, real, memory: forward(self, x, real, None))
    held = {row.against: row.holds for row in lab.parity_ledger(qwen, IDS).rows}
    assert held == {"transformers": True, "one full pass": False, "no padding": True}


def test_text_and_html_say_the_same():
    ledger = lab.parity_ledger(small(), IDS)
    expected = ("after layer 3 (attention)", "token by token", "behind 3 padding", "all 8 rows agree", "transformers ")
    for words in expected:
        assert words in repr(ledger) and words in ledger._repr_html_()


def test_nan_does_not_hold():
    row = lab.analysis.parity.Row("logits", "transformers", float("nan"), 1.0, 1e-4)
    assert not row.holds


def test_transformers_stays_quiet_and_is_left_as_it_was(capfd, recwarn):
    from transformers.utils import logging as theirs

    before = theirs.get_verbosity(), theirs.is_progress_bar_enabled(), list(warnings.filters)
    lab.parity_ledger(small(seed=3), IDS)
    captured = capfd.readouterr()
    assert (captured.out, captured.err, len(recwarn)) == ("", "", 0)
    assert (theirs.get_verbosity(), theirs.is_progress_bar_enabled(), list(warnings.filters)) == before
    assert logging.getLogger("transformers").level == before[0]


@pytest.mark.slow
def test_a_fresh_process_prints_nothing_of_transformers():
    """Warnings that come once per process would be missed above."""
    code = (
        "from small import *; import qwen35_lab as lab; "
        "lab.parity_ledger(small(), IDS); lab.parity_ledger(small(MOE), IDS); print('done')"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_no_hook_stays_behind():
    qwen = small()
    lab.parity_ledger(qwen, IDS)
    assert not any(tap.wanted for _, tap in lab.taps(qwen.model))
    assert torch.is_grad_enabled()
