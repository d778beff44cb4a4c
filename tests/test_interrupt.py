"""Ctrl-C, wherever it falls: the block it falls into is left whole, and nothing stays on the model."""

import random
import signal
import sys
from types import FrameType

import pytest
import torch
from small import MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis import edit_effect
from qwen35_lab.interrupt import whole, whole_stack

FILES = ("interrupt.py", "capture.py", "taps.py", "edits.py", "routers.py", "passes.py", "selection.py", "moe.py",
         "contextlib.py", "hooks.py")  # fmt: skip
IDS = [3, 1, 4]
SAMPLED = 300
EDITS = [lab.edit("layers.0.mixer.beta", token=1).scale(0.5), lab.routing(top_k=1, mask=2, shared=False)]
RECORD = ["layers.0.mixer.beta", "layers.1.mixer.weights"]


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return small(MOE, num_hidden_layers=2, layer_types=["linear_attention", "full_attention"])


class CtrlC:
    """A tracer that sends SIGINT to this process at the n-th line that is run in `FILES`, or only counts them."""

    def __init__(self, at: int = -1):
        self.at, self.lines, self.where = at, 0, ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> "CtrlC | None":
        file = frame.f_code.co_filename.replace("\\", "/").rsplit("/", 1)[-1]
        if file not in FILES:
            return None
        self.lines += event == "line"
        if event == "line" and self.lines == self.at:
            self.where = f"{file}:{frame.f_lineno}"
            signal.raise_signal(signal.SIGINT)
        return self

    def during(self, work) -> str:
        sys.settrace(self)
        try:
            work()
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            sys.settrace(None)
        return "finished"


def left_behind(qwen: lab.Qwen) -> list[str]:
    hooks = [name for name, m in qwen.model.named_modules() if m._forward_hooks or m._forward_pre_hooks]
    return hooks + [f"router {n}" for n, layer in enumerate(qwen.model.layers) if layer.ffn.turned]


def generated(qwen):
    qwen.trace(IDS, RECORD, EDITS, max_new_tokens=2)


def edited_by_hand(qwen):
    with qwen.edited(*EDITS), lab.record(qwen.model, RECORD):
        qwen.model(torch.tensor([IDS]))


def compared(qwen):
    edit_effect(qwen, IDS, EDITS)


@pytest.mark.parametrize("work", [generated, edited_by_hand, compared])
def test_ctrl_c_at_any_line_leaves_nothing_behind(qwen, work):
    """Some of the lines of these files that run; the first and the last ones all, where blocks begin and end."""
    handler = signal.getsignal(signal.SIGINT)
    work(qwen)  # the first time runs lines of its own
    count = CtrlC()
    assert count.during(lambda: work(qwen)) == "finished"
    lines, wrong = range(1, count.lines + 1), {}
    for n in {*lines[:60], *lines[-60:], *random.Random(0).sample(lines, min(SAMPLED, len(lines)))}:
        tracer = CtrlC(n)
        ended = tracer.during(lambda model=qwen: work(model))
        left = left_behind(qwen) + ([] if signal.getsignal(signal.SIGINT) is handler else ["the handler"])
        if left or ended != "interrupted":
            wrong[tracer.where] = ended, left
            signal.signal(signal.SIGINT, handler)
            qwen = small(MOE, num_hidden_layers=2, layer_types=["linear_attention", "full_attention"])
    assert not wrong


def test_an_interrupt_while_a_block_begins_or_ends_waits_until_that_is_done():
    done = []

    @whole
    def block():
        signal.raise_signal(signal.SIGINT)
        done.append("begun")
        try:
            yield
        finally:
            done.append("ended")

    with pytest.raises(KeyboardInterrupt), block():
        done.append("inside")
    assert done == ["begun", "ended"]


def test_an_interrupt_inside_a_block_acts_at_once_and_inside_two_as_well():
    done = []
    with pytest.raises(KeyboardInterrupt), whole_stack() as outer, whole_stack() as inner:
        outer.callback(done.append, "outer")
        inner.callback(done.append, "inner")
        signal.raise_signal(signal.SIGINT)
        done.append("not interrupted")
    assert done == ["inner", "outer"]


def test_a_block_is_entered_once(qwen):
    block = qwen.edited(lab.edit("embed").zero())
    with block:
        pass
    with pytest.raises(lab.InputError, match="make a new one"), block:
        pass
