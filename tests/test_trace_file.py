"""Traces as files: what comes back, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import qwen35_lab as lab
from qwen35_lab import trace_file

TEXT = "cat red . dog blue . cat green . ? cat"
ALL = ["*", *(f"layers.*.mixer.{name}" for name in ("erase", "write", "state", "scores", "weights"))]


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return lab.load("recall")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_saved_trace_comes_back_bit_for_bit(tmp_path, dtype):
    qwen = lab.load("recall", dtype=dtype)
    trace = qwen.trace(TEXT, ALL, lab.edit("layers.0.mixer.beta", token=2).scale(0.5), max_new_tokens=2)
    path = trace.save(tmp_path / "a.trace")
    back = lab.Trace.load(path)
    assert list(back) == list(trace) and back.tokens == trace.tokens and back.steps == trace.steps
    assert back.axes == trace.axes and back.provenance == trace.provenance
    assert back.provenance.edits and "versions" in vars(back.provenance)
    for name in trace:
        assert torch.equal(back.tensors[name], trace.tensors[name]) and back.tensors[name].dtype == trace[name].dtype
    assert all(d.difference == 0 for d in lab.diff(trace, back))


def test_values_that_are_one_memory_are_stored_once(qwen, tmp_path):
    trace = qwen.trace(TEXT)
    size = trace.save(tmp_path / "a").stat().st_size
    shared = sum(trace[f"layers.{n}.output"].numel() * 4 for n in range(3)) + trace["embed"].numel() * 4
    assert size < trace.nbytes() - shared + 12_000  # the header


@given(cut=st.floats(0, 0.999))
def test_a_cut_off_file_is_refused_in_one_sentence(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    data = lab.load("recall").trace("cat red", "layers.0.*").save(folder / "whole").read_bytes()
    (folder / "part").write_bytes(data[: int(cut * len(data))])
    with pytest.raises(lab.TraceError, match="damaged or is no trace"):
        lab.Trace.load(folder / "part")


def test_other_files_and_no_file_are_told_apart(tmp_path, qwen, monkeypatch):
    with pytest.raises(lab.TraceError, match="There is no trace file"):
        lab.Trace.load(tmp_path / "none")
    with pytest.raises(lab.TraceError, match="no trace"):
        lab.Trace.load(qwen.folder / "model.safetensors")
    monkeypatch.setattr(trace_file, "FORMAT", 9)
    path = qwen.trace("cat red", "embed").save(tmp_path / "new")
    monkeypatch.undo()
    with pytest.raises(lab.TraceError, match="format 9"):
        lab.Trace.load(path)


def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path, qwen):
    path = qwen.trace("cat red .", ["embed", "layers.3.mixer.weights"]).save(tmp_path / "a")
    with safe_open(path, "pt") as file:
        about, whole = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def changed(tensors: dict, **parts: object) -> Path:
        header = json.loads(about[trace_file.KEY]) | parts
        save_file({**whole, **tensors}, tmp_path / "b", {trace_file.KEY: json.dumps(header)})
        return tmp_path / "b"

    assert len(lab.Trace.load(changed({}))) == 2
    axes = json.loads(about[trace_file.KEY])["axes"]
    for wrong, words in (
        (({}, {"axes": axes | {"embed": ["token"]}}), "embed has 2 axes"),
        (({"embed": whole["embed"][:2].clone()}, {}), "embed is of 2 tokens, and the text has 3"),
        (({"layers.3.mixer.weights": torch.zeros(4, 3, 2)}, {}), "of 2 tokens"),
        (({"ids": torch.zeros(3, 1)}, {}), "do not belong together"),
    ):
        with pytest.raises(lab.TraceError, match=f"damaged or is no trace.*{words}"):
            lab.Trace.load(changed(wrong[0], **wrong[1]))


def test_a_trace_that_cannot_be_written_leaves_the_old_one(tmp_path, qwen):
    good = qwen.trace("cat red", "embed").save(tmp_path / "a")
    before = good.read_bytes()
    folder = tmp_path / "b"
    folder.mkdir()
    with pytest.raises(lab.TraceError, match="was not saved"):
        qwen.trace("cat red").save(folder)  # a folder stands there
    for nowhere in ("", "/"):
        with pytest.raises(lab.TraceError, match="names no file"):
            qwen.trace("cat red", "embed").save(nowhere)
    assert good.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
