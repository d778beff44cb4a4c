"""Tensors in, numbers out: pure functions over traces and models, without pictures."""

from . import pictures, replay, routing
from .attention import attention_map
from .balancing import balance_loss, even_out, imitate, lean
from .caches import Growth, cache_growth, layer_bytes, predicted_bytes
from .compare import Differences, diff, gap
from .drafting import Acceptance, DraftSpeed, Tapes, acceptance, draft_speed, record_tapes
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
from .near_ties import Rounded, rounded_choices
from .parity import ParityLedger, parity_ledger, quiet_transformers, transformers_model
from .pictured import Theirs, by_transformers
from .recall_map import NeedleMap, RecallMap, needle_map, recall_map
from .residual import Contributions, contributions, layer_kinds, residual_stream
from .routing import Routing, Ties, coactivation, jensen_shannon, routing_of, ties
from .specialists import Missed, Routes, held_out, missed_experts, moe_layers, routes
from .state import Ledger, Recalled, StateGeometry, half_life, ledger, recalled, retrieval, state_geometry
from .taking_back import TakenBack, read_and_keep, state_gap, take_back
from .touched import Touched, active_share, expected_touched, step_bytes, touched_experts
from .walk import divergence

__all__ = [
    "Acceptance", "Contributions", "Differences", "DraftSpeed", "Effect", "Growth", "InfluenceParts", "Ledger", "Lens",
    "Missed", "Naming", "NeedleMap", "ParityLedger", "RecallMap", "Recalled", "Rounded", "Routes", "Routing",
    "StateGeometry", "TakenBack", "Tapes", "Theirs", "Ties", "Touched", "acceptance", "active_share", "assemble",
    "attention_map", "balance_loss", "by_transformers", "cache_growth", "coactivation", "contributions", "diff",
    "divergence", "draft_speed", "edit_effect", "effect", "even_out", "expected_touched", "gap", "half_life",
    "held_out", "imitate", "influence_map", "influence_parts", "jensen_shannon", "layer_bytes", "layer_kinds", "lean",
    "ledger", "logit_lens", "missed_experts", "moe_layers", "naming", "needle_map", "parity_ledger", "pictures",
    "predicted_bytes", "quiet_transformers", "read_and_keep", "recall_map", "recalled", "record_tapes", "replay",
    "residual_stream", "retrieval", "rounded_choices", "routes", "routing", "routing_of", "state_gap", "state_geometry",
    "step_bytes", "strongest_reader", "take_back", "ties", "touched_experts", "transformers_model", "within_chunk_mask",
]  # fmt: skip
