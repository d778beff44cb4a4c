"""Layers on several devices, as far as it can be told without a GPU: "cpu", and "meta", which has no numbers."""

import pytest
import torch
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.checkpoint import write_model
from qwen35_lab.spread import _at, find_places, has_room, spread


def test_accelerate_fills_the_devices_in_order_and_keeps_layers_whole():
    model = small(DENSE).model
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    places = find_places(model, {0: size * 3 // 4, "cpu": size})
    layers = [_at(f"layers.{n}", places) for n in range(4)]
    assert layers == sorted(layers, key=str) and layers[0] == 0 and layers[-1] == "cpu"
    assert set(find_places(model, {"cpu": 2 * size}).values()) == {"cpu"}
    with pytest.raises(lab.InputError, match="no room for this model"):
        find_places(model, {0: size // 4, "cpu": size // 4})


def test_a_spread_model_gives_the_same_scores():
    whole, parts = small(DENSE), small(DENSE)
    spread(parts.model, {"": "cpu"})
    with torch.no_grad():
        assert torch.equal(parts.model(torch.tensor([IDS])).logits, whole.model(torch.tensor([IDS])).logits)
    assert parts.generate(IDS, max_new_tokens=5).tolist() == whole.generate(IDS, max_new_tokens=5).tolist()


def test_what_a_layer_reads_is_brought_to_its_device():
    """From layer 2 on there are no numbers any more, and the way home from there is closed."""
    model = small(DENSE).model
    said = spread(model, {"": "cpu", "layers.2": "meta", "layers.3": "meta"})
    assert said == "Layers: 2 on cpu, 2 on meta; all else on cpu."
    assert [layer.mixer_norm.weight.device.type for layer in model.layers] == ["cpu", "cpu", "meta", "meta"]
    assert model.embed_tokens.weight.device == model.norm.weight.device == torch.device("cpu")
    seen = {}
    for n, layer in enumerate(model.layers):
        layer.output.register_forward_hook(lambda module, given, value, n=n: seen.update({n: value.device.type}))
    with torch.no_grad(), pytest.raises(NotImplementedError, match="meta"):
        model(torch.tensor([IDS]))
    assert seen == {0: "cpu", 1: "cpu", 2: "meta", 3: "meta"}


@pytest.mark.parametrize("write, dtype", [({"fp8_block": (8, 8)}, torch.bfloat16), ({}, torch.float64), ({}, None)])
def test_there_is_room_where_all_weights_fit_as_they_are_in_memory(write, dtype, tmp_path, monkeypatch):
    """Not as they are stored: what is in FP8 there takes twice as much here."""
    qwen = small(MOE)
    write_model(qwen.model, qwen.config, tmp_path / "x", **write)
    loaded = lab.load(tmp_path / "x", dtype)
    size = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    if dtype is None:
        size = (tmp_path / "x/model.safetensors").stat().st_size
    for free, enough in ((size, True), (size - 1, False)):
        monkeypatch.setattr("qwen35_lab.memory.free", lambda device, free=free: free)
        assert has_room(torch.device("cpu"), tmp_path / "x", loaded.config, dtype) is enough


def test_auto_spreads_what_the_best_device_has_no_room_for(tmp_path, monkeypatch):
    """With a GPU that is made up, and an accelerate that does not know of it."""
    lab.save(small(DENSE), tmp_path / "x")
    whole = lab.load(tmp_path / "x", device="auto")
    monkeypatch.setattr("qwen35_lab.qwen.find_device", lambda name: torch.device("cuda", 0))
    monkeypatch.setattr("qwen35_lab.memory.free", lambda device: 1000)
    found = lab.load(tmp_path / "x", device="auto")
    assert "Layers: 4 on cpu; all else on cpu." in repr(found.report)
    with torch.no_grad():
        assert torch.equal(found.model(torch.tensor([IDS])).logits, whole.model(torch.tensor([IDS])).logits)
