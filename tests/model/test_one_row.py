"""Decoding chooses the kernel of its products, and leaves the process as it was."""

import threading

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.model import one_row

onednn = torch.backends.mkldnn
CONFIG = {
    "model_type": "qwen3_5_text", "vocab_size": 50, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
}  # fmt: skip


@pytest.fixture(autouse=True)
def any_machine(monkeypatch):
    """The switch is turned on x86 alone; its tests are about any machine."""
    monkeypatch.setattr(one_row, "X86", True)


@pytest.mark.parametrize(
    "dtype, shape, off", [("bfloat16", (1, 1), True), ("bfloat16", (1, 2), False), ("bfloat16", (2, 1), False),
                          ("float32", (1, 1), False), ("float16", (1, 1), False)],
)  # fmt: skip
def test_one_dnn_rests_for_one_row_in_bfloat16_alone(dtype, shape, off):
    before = onednn.enabled
    with one_row.reading(torch.zeros(*shape, 8, dtype=getattr(torch, dtype))):
        assert onednn.enabled == (before and not off)
    assert onednn.enabled == before


def test_it_comes_back_after_an_error_and_when_the_last_reader_is_done():
    x, before = torch.zeros(1, 1, 8, dtype=torch.bfloat16), onednn.enabled
    with pytest.raises(KeyboardInterrupt), one_row.reading(x):
        raise KeyboardInterrupt
    assert onednn.enabled == before
    inside, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with one_row.reading(x):
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    with one_row.reading(x):
        thread.start()
        assert inside.wait(10)
    assert not onednn.enabled, "the other thread still reads"
    go_on.set()
    thread.join()
    assert onednn.enabled == before


def test_a_step_gives_what_it_gives_with_one_dnn():
    """To a rounding of bfloat16: sums of the same products in another order."""
    qwen = lab.from_config(CONFIG, dtype="bfloat16")
    with torch.inference_mode():
        cache = qwen.model.new_cache()
        qwen.model(torch.tensor([[1, 2, 3, 4, 5, 6, 7]]), cache=cache)
        moment, token = cache.snapshot(), torch.tensor([[8]])
        found = qwen.model(token, cache=cache).logits
        cache.restore(moment)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(one_row, "X86", False)
            expected = qwen.model(token, cache=cache).logits
    torch.testing.assert_close(found, expected, atol=0.02 * expected.abs().max().item(), rtol=0)
