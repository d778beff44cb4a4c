"""Whom the routers choose: counted by hand, and a permutation test that is right when there is nothing to find."""

import pytest
import torch
from tiny_nano import tiny

from qwen35_lab import nano
from qwen35_lab.nano.experts import Loads, expert_loads, permutation_test

KINDS = ("facts", "shapes")


def drawn(seed: int, apart: float, documents: int = 10, experts: int = 6) -> Loads:
    """Documents with habits of their own; the second kind prefers expert 0 besides."""
    draw = torch.Generator().manual_seed(seed)
    habits = torch.randn(2 * documents, experts, generator=draw).softmax(-1)
    habits[documents:, 0] += apart
    counts = torch.multinomial(habits, 200, replacement=True, generator=draw)
    table = torch.nn.functional.one_hot(counts, experts).sum(1).double()
    return Loads(("a",) * documents + ("b",) * documents, {"layer": table})


def test_where_kinds_do_not_differ_chance_does_as_well():
    found = [permutation_test(drawn(seed, 0.0), "layer", rounds=99).p for seed in range(200)]
    assert sum(p <= 0.1 for p in found) / 200 == pytest.approx(0.1, abs=0.07)
    assert sum(p <= 0.5 for p in found) / 200 == pytest.approx(0.5, abs=0.11)


def test_where_they_differ_it_does_not():
    found = permutation_test(drawn(0, 1.0), "layer", rounds=999)
    assert found.p == 0.001 and found.distance > found.by_chance > 0
    nothing_shared = Loads(("a", "b"), {"layer": torch.tensor([[7.0, 0.0], [0.0, 3.0]])})
    assert permutation_test(nothing_shared, "layer", rounds=9).distance == 1


@torch.inference_mode()
def test_choices_are_counted_document_by_document_without_padding(tokenizer):
    model = tiny(tokenizer)
    loads = expert_loads(model, tokenizer, KINDS, "valid", documents=3)
    assert loads.kinds == ("facts",) * 3 + ("shapes",) * 3
    assert set(loads.counts) == {f"layers.{n}.ffn" for n in range(4)} | {"mtp.layers.0.ffn"}
    texts = nano.batch(tokenizer, 0, rows=3, split="valid", mix={"shapes": 1.0}, alone=True)
    lengths = texts.document.bool().sum(1)
    assert len(set(lengths.tolist())) > 1, "nothing was padded"
    assert loads.counts["layers.1.ffn"][3:].sum(1).tolist() == (2 * lengths).tolist()
    assert loads.counts["mtp.layers.0.ffn"][3:].sum(1).tolist() == (2 * (lengths - 1)).tolist()

    alone = texts.ids[:1, : lengths[0]]
    seen = {"pixel_values": nano.as_floats(texts.image_patches), "image_grid_thw": texts.image_grid_thw}
    cells = int((texts.modality[0] == 1).sum())
    seen = {"pixel_values": seen["pixel_values"][: 4 * cells], "image_grid_thw": seen["image_grid_thw"][:1]}
    ids: list[torch.Tensor] = []
    hook = model.layers[1].ffn.expert_ids.register_forward_hook(lambda m, i, out: ids.append(out))
    model(alone, **seen)
    hook.remove()
    assert torch.bincount(ids[0].flatten(), minlength=4).tolist() == loads.counts["layers.1.ffn"][3].tolist()

    shares = loads.shares()["layers.1.ffn"]["facts"]
    counts = loads.counts["layers.1.ffn"][:3].sum(0)
    assert shares == pytest.approx((counts / counts.sum()).tolist())
