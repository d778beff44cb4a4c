"""What one thread edits or records, another one that runs the same model does not notice: bit for bit."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab

LAZY = ["layers.*.mixer.state", "layers.*.mixer.weights"]
EDITS = [lab.edit("layers.0.mixer.beta", token=3).zero(), lab.routing(top_k=1, mask=2, clone={0: 5}, shared=False)]


@pytest.fixture
def qwen() -> lab.Qwen:
    return small(MOE)


def elsewhere(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@torch.inference_mode()
def logits(qwen: lab.Qwen) -> torch.Tensor:
    return qwen.model(torch.tensor([IDS])).logits[0]


@pytest.mark.parametrize("change", [*EDITS, lab.edit("layers.*.mixer.state").scale(0.5)], ids=str)
def test_a_pass_of_another_thread_is_not_edited(qwen, change):
    before = logits(qwen)
    with qwen.edited(change):
        assert torch.equal(elsewhere(lambda: logits(qwen)), before)
        assert not torch.equal(logits(qwen), before)


def test_a_pass_of_another_thread_is_not_recorded_and_takes_its_own_path(qwen):
    """A value that is formed here is not formed there: that path rounds differently."""
    before = logits(qwen)
    with lab.record(qwen.model, LAZY) as values:
        assert torch.equal(elsewhere(lambda: logits(qwen)), before)
        assert not values
        assert not torch.equal(logits(qwen), before)
        assert values


def test_routers_are_turned_in_each_thread_on_its_own(qwen):
    ffn = qwen.model.layers[0].ffn
    with qwen.edited(lab.routing(top_k=1)):
        with qwen.edited(lab.routing(top_k=3)):
            assert (ffn.top_k, elsewhere(lambda: ffn.top_k)) == (3, 2)
        assert ffn.top_k == 1
    assert ffn.top_k == 2 and not ffn.turned


def test_threads_that_trace_and_edit_at_once_each_get_their_own(qwen):
    """Three threads with other texts and other edits; a barrier makes them begin together."""
    texts, edits = (IDS, IDS[::-1], IDS[:5]), ([], EDITS, [lab.edit("layers.*.mixer.erase").zero()])
    record = ["logits", "layers.1.mixer.state", "layers.0.ffn.expert_ids"]
    alone = [qwen.trace(ids, record, some) for ids, some in zip(texts, edits, strict=True)]
    barrier = threading.Barrier(len(texts))

    def work(n: int) -> list[str]:
        wrong = []
        for _ in range(8):
            barrier.wait(60)
            found = qwen.trace(texts[n], record, edits[n])
            wrong += [name for name in record if not torch.equal(found.tensors[name], alone[n].tensors[name])]
            wrong += [] if found.provenance == alone[n].provenance else ["provenance"]
        return wrong

    with ThreadPoolExecutor(len(texts)) as pool:
        assert list(pool.map(work, range(len(texts)))) == [[], [], []]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in qwen.model.modules())
