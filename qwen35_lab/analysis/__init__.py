"""Tensors in, numbers out: pure functions over traces and models, without pictures."""

from .compare import Differences, diff, gap
from .influence import influence_map, strongest_reader
from .lens import Lens, logit_lens
from .parity import ParityLedger, parity_ledger
from .residual import Contributions, contributions, layer_kinds, residual_stream

__all__ = [
    "Contributions", "Differences", "Lens", "ParityLedger", "contributions", "diff", "gap", "influence_map",
    "layer_kinds", "logit_lens", "parity_ledger", "residual_stream", "strongest_reader",
]  # fmt: skip
