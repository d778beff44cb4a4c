"""What all tests share: one thread each, and random examples that are the same in every run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: more threads only wait for each other
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile("lab", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("lab")
