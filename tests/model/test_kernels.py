"""Which delta rule a model takes; what the CUDA kernels compute is in tests/cuda."""

import pytest
import torch

from qwen35_lab.model import kernels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_cpu_nothing_fits_even_where_fla_is_installed(monkeypatch, dtype):
    monkeypatch.setattr(kernels, "installed", lambda: True)
    k = torch.zeros(1, 4, 2, 64, dtype=dtype)
    assert not kernels.fits(k, k)


@pytest.mark.parametrize(
    "there, dtype, width, switch, takes",
    [
        (True, torch.bfloat16, 128, "on", True),
        (True, torch.float16, 64, "", True),
        (False, torch.bfloat16, 128, "on", False),
        (True, torch.float32, 128, "on", False),
        (True, torch.bfloat16, 5, "on", False),
        (True, torch.bfloat16, 128, "off", False),
    ],
)
def test_they_are_taken_for_what_they_are_made_for(monkeypatch, there, dtype, width, switch, takes):
    class OnGPU:
        is_cuda, shape = True, (1, 4, 2, width)

        def __init__(self):
            self.dtype = dtype

    monkeypatch.setattr(kernels, "installed", lambda: there)
    monkeypatch.setenv("QWEN35_LAB_FLA", switch)
    assert kernels.fits(OnGPU(), OnGPU()) == takes
