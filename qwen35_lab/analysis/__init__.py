"""Tensors in, numbers out: pure functions over traces and models, without pictures."""

from . import pictures, replay, routing
from .attention import attention_map
from .compare import Differences, diff, gap
from .effect import Effect, edit_effect, effect
from .influence import (
    InfluenceParts,
    assemble,
    influence_map,
    influence_parts,
    strongest_reader,
    within_chunk_mask,
)
from .lens import Lens, logit_lens
from .naming import Naming, naming
from .parity import ParityLedger, parity_ledger
from .pictured import Theirs, by_transformers
from .recall_map import NeedleMap, RecallMap, needle_map, recall_map
from .residual import Contributions, contributions, layer_kinds, residual_stream
from .routing import Routing, Ties, coactivation, jensen_shannon, routing_of, ties
from .state import Ledger, Recalled, StateGeometry, half_life, ledger, recalled, retrieval, state_geometry
from .walk import divergence

__all__ = [
    "Contributions", "Differences", "Effect", "InfluenceParts", "Ledger", "Lens", "Naming", "NeedleMap",
    "ParityLedger", "RecallMap", "Recalled", "Routing", "StateGeometry", "Theirs", "Ties", "assemble",
    "attention_map", "by_transformers", "coactivation", "contributions", "diff", "divergence", "edit_effect",
    "effect", "gap", "half_life", "influence_map", "influence_parts", "jensen_shannon", "layer_kinds", "ledger",
    "logit_lens", "naming", "needle_map", "parity_ledger", "pictures", "recall_map", "recalled", "replay",
    "residual_stream", "retrieval", "routing", "routing_of", "state_geometry", "strongest_reader", "ties",
    "within_chunk_mask",
]  # fmt: skip
