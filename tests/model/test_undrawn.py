"""On "meta" a model is built without first values; everywhere else with them."""

import threading

import pytest
import torch
from small import DENSE, MOE
from test_front_door import loaded_by

import qwen35_lab as lab
from qwen35_lab.model import build
from qwen35_lab.paths import data_path

CONFIGS = {
    "dense": lab.ModelConfig.from_dict(DENSE),
    "experts": lab.ModelConfig.from_dict(MOE),
    "eyes": lab.ModelConfig.from_file(data_path("nano")),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_model_on_meta_has_all_names_shapes_and_dtypes(config):
    with torch.device("meta"):
        found = build(config)
        assert torch.nn.Linear(2, 2).weight.is_meta  # and the device is left as it was
    shapes = {name: (value.shape, value.dtype) for name, value in found.state_dict().items()}
    real = build(config).state_dict()
    assert shapes == {name: (value.shape, value.dtype) for name, value in real.items()}
    assert all(value.is_meta for value in found.state_dict().values())


def test_elsewhere_and_in_other_threads_weights_are_drawn_as_pytorch_does():
    seen = []

    def draw():
        seen.append(build(CONFIGS["dense"]).get_parameter("layers.0.mixer.out_proj.weight").std().item())

    with torch.device("meta"):
        build(CONFIGS["dense"])
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
    draw()
    assert all(std > 0.01 for std in seen) and len(seen) == 2


def test_nothing_is_imported_for_weights_that_are_not_drawn():
    code = "import torch, qwen35_lab as lab\nwith torch.device('meta'): lab.model.build(lab.load_config('{}'))"
    assert loaded_by(code.format("Qwen3.5-0.8B"), ["torch", "torch._dynamo", "sympy"]) == ["torch"]
