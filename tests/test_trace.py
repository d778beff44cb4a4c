"""Traces: named axes, generation, files, the estimate before a run, and nothing left behind."""

import copy
import math
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab import capture, memory, trace_file
from qwen35_lab.analysis import tap_table
from qwen35_lab.model.taps import listen

ROOT = Path(__file__).parents[1]
ALL = ["*", "layers.*.mixer.erase", "layers.*.mixer.write", "layers.*.mixer.state", "layers.*.mixer.scores",
       "layers.*.mixer.weights"]  # fmt: skip


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return lab.load("recall")


TEXT = "cat red . dog blue . cat green . ? cat"


def listeners(qwen: lab.Qwen) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in qwen.model.modules())


# ---------------------------------------------------------------------- named axes


def test_a_value_knows_its_axes_and_is_cut_by_their_names(qwen):
    trace = qwen.trace(TEXT, ALL)
    state = trace["layers.1.mixer.state"]
    assert state.axes == ("token", "head", "key", "value")
    plain = trace.tensors["layers.1.mixer.state"]
    assert torch.equal(state.at(token=4, head=2), plain[4, 2])
    assert torch.equal(state.at(head=[3, 0], token=[1, 5], key=slice(2, 4)), plain[[1, 5]][:, [3, 0]][:, :, 2:4])
    assert torch.equal(state.at(value=-1), plain[..., -1])
    assert type(state + 1) is torch.Tensor and type(state.at(head=0)) is torch.Tensor
    for wrong, words in (({"heads": 1}, "token, head, key, value"), ({"head": 4}, "outside the 4")):
        with pytest.raises(lab.InputError, match=words):
            state.at(**wrong)


# ---------------------------------------------------------------------- generation


def test_a_generation_has_one_row_per_step_and_the_values_of_one_pass_over_the_same_tokens(qwen):
    """What every step saw with the cache is what a single pass over the finished text sees."""
    generated = qwen.trace(TEXT, ALL, max_new_tokens=6)
    once = qwen.trace(generated.ids, ALL)
    assert generated.tokens == once.tokens
    for name in once:
        steps, whole = (each.tensors[name].nan_to_num(neginf=0) for each in (generated, once))
        torch.testing.assert_close(steps, whole, atol=2e-4, rtol=1e-3)
    start = len(qwen.encode(TEXT)[0])
    assert [step.position for step in generated.steps] == list(range(start, start + len(generated.steps)))
    assert [step.id for step in generated.steps] == qwen.generate(qwen.encode(TEXT)[0], 6).tolist()
    p = once["logits"][start - 1 :].double().softmax(-1)
    for row, step in zip(p, generated.steps, strict=True):
        assert math.isclose(step.probability, float(row[step.id]), rel_tol=1e-3)
        assert math.isclose(step.entropy, float(-(row * row.log()).sum()), rel_tol=1e-2, abs_tol=1e-4)
        assert step.rank == 0


def test_a_sampled_generation_is_the_seeds(qwen):
    ids = [qwen.trace(TEXT, "embed", max_new_tokens=5, temperature=3.0, seed=seed).steps for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert max(step.rank for step in ids[0] + ids[2]) > 0


def test_messages_without_a_template_are_refused_and_with_one_are_its_text(qwen):
    messages = [{"role": "user", "content": "cat red . ? cat"}]
    with pytest.raises(lab.InputError, match="no chat template"):
        qwen.trace(messages)
    chatty = qwen.twin()
    chatty.tokenizer = copy.deepcopy(qwen.tokenizer)
    chatty.tokenizer.chat_template = "{% for m in messages %}{{ m.content }} .{% endfor %}"
    assert chatty.trace(messages).tokens == ["cat", "red", ".", "?", "cat", "."]


# ---------------------------------------------------------------------- files


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


def test_a_trace_that_cannot_be_written_leaves_the_old_one(tmp_path, qwen):
    good = qwen.trace("cat red", "embed").save(tmp_path / "a")
    before = good.read_bytes()
    folder = tmp_path / "b"
    folder.mkdir()
    with pytest.raises(lab.TraceError, match="was not saved"):
        qwen.trace("cat red").save(folder)  # a folder stands there
    assert good.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


# ---------------------------------------------------------------------- the estimate


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("moe", [False, True])
def test_the_estimate_is_what_is_recorded(dtype, moe):
    qwen = lab.from_config(small(MOE if moe else DENSE).config, dtype=dtype)
    found = qwen.trace(IDS, ALL)
    sizes = qwen.trace_size(IDS, ALL)
    assert sizes.keys() == found.tensors.keys()
    for name, tensor in found.tensors.items():
        assert sizes[name] == tensor.numel() * tensor.element_size(), name


def test_what_does_not_fit_is_refused_before_it_is_run(qwen, monkeypatch):
    monkeypatch.setattr(capture, "free", lambda device: 100_000)
    ran = []
    qwen.model.register_forward_pre_hook(lambda *a: ran.append(1))
    with pytest.raises(lab.InputError, match=r"Recording .* takes .*kB, and 100 kB are free; .*layers.0.mixer.state"):
        qwen.trace(TEXT, ["*", "layers.0.mixer.state"])
    qwen.model._forward_pre_hooks.clear()
    assert not ran
    assert qwen.trace(TEXT, "embed")


def test_free_memory_is_what_the_machine_has_at_most():
    assert 0 < memory.free(torch.device("cpu")) <= memory.total()
    assert memory.in_words(12_345_678) == "12.3 MB" and memory.in_words(999) == "999 bytes"


# ---------------------------------------------------------------------- nothing is left behind


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, lab.InputError])
def test_no_hook_is_left_behind_whatever_happens(qwen, error):
    before = qwen.model(qwen.encode(TEXT)).logits

    def fail(*args: object) -> None:
        raise error("on purpose")

    for edits in ((), lab.edit("layers.1.mixer.state", token=3).replace(fail)):
        handle = qwen.model.layers[2].register_forward_hook(fail)
        with pytest.raises(error):
            qwen.trace(TEXT, ALL, edits)
        handle.remove()
    with pytest.raises(error):
        qwen.trace(TEXT, "*", lab.edit("layers.0.mixer.beta").replace(fail))
    assert listeners(qwen) == 0
    assert torch.equal(qwen.model(qwen.encode(TEXT)).logits, before)


def test_an_interrupt_between_registering_and_noting_leaves_no_hook(qwen):
    def interrupted(hook):
        type(tap).register_forward_hook(tap, hook)
        raise KeyboardInterrupt

    tap = qwen.model.layers[0].mixer.beta
    tap.register_forward_hook = interrupted
    try:
        with pytest.raises(KeyboardInterrupt), ExitStack() as stack:
            listen(stack, tap, lambda *a: None)
    finally:
        del tap.register_forward_hook
    assert listeners(qwen) == 0


def test_a_twin_shares_weights_but_neither_hooks_nor_routers(qwen):
    twin = qwen.twin()
    assert all(a is b for a, b in zip(twin.model.parameters(), qwen.model.parameters(), strict=True))
    before = qwen.model(qwen.encode(TEXT)).logits
    with twin.edited(lab.edit("layers.0.mixer.beta").zero()):
        assert torch.equal(qwen.model(qwen.encode(TEXT)).logits, before)
        assert not torch.equal(twin.model(qwen.encode(TEXT)).logits, before)
    moe = small(MOE)
    other = moe.twin()
    with other.edited(lab.routing(top_k=1)):
        assert moe.model.layers[0].ffn.top_k == 2 and other.model.layers[0].ffn.top_k == 1


# ---------------------------------------------------------------------- the table of taps


def test_the_page_of_taps_is_the_codes():
    assert (ROOT / "docs/taps.md").read_text() == tap_table.page(), "run: qwen35-lab taps --markdown > docs/taps.md"


@pytest.mark.parametrize("moe", [False, True])
def test_every_tap_is_in_the_table_with_the_shape_that_it_really_has(moe):
    qwen = small(MOE if moe else DENSE, mtp_num_hidden_layers=1)
    trace = qwen.trace(IDS, [*ALL, "mtp.*", *(f"mtp.{tap}" for tap in ALL[-2:])])
    rows = {row[0]: row for row in tap_table.tap_table(qwen.model).rows}
    for name, tap in lab.taps(qwen.model):
        row = rows[tap_table.generic(qwen.model, name)]
        shape = " × ".join(f"{axis} {size}" for axis, size in zip(trace.axes[name], trace[name].shape, strict=True))
        shown = row[1].replace(" T", f" {len(IDS) - name.startswith('mtp.')}")
        assert shown == shape and row[3] == tap.meaning
        assert (row[2] == "always") == (not tap.lazy)
