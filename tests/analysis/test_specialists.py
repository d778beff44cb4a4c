"""What routers did with held-out texts, and what is lost without an expert: against passes of single conversations."""

import pytest
import torch
from small import DENSE, MOE, small
from tiny_nano import tiny
from torch.nn import functional as F

import qwen35_lab as lab
from qwen35_lab.analysis import held_out, missed_experts, moe_layers, near_ties, rounded_choices, routes
from qwen35_lab.nano.shape import config_of
from tests.tiny_nano import TINY

KINDS = ("facts", "shapes")


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return lab.load("nano")


@pytest.fixture(scope="module")
def texts(qwen):
    return held_out(qwen, 2, KINDS)
