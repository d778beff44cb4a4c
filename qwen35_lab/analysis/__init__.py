"""Tensors in, numbers out: pure functions over traces and models, without pictures."""

from . import needles, pictures, replay, routing, told
from .attention import attention_map
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
from .parity import ParityLedger, parity_ledger, quiet_transformers, transformers_model
from .pictured import Theirs, by_transformers
from .recall_map import NeedleMap, RecallMap, needle_map, recall_map
from .residual import Contributions, contributions, layer_kinds, residual_stream
from .routing import Routing, Ties, coactivation, jensen_shannon, routing_of, ties
from .state import Ledger, Recalled, StateGeometry, half_life, ledger, recalled, retrieval, state_geometry
from .taking_back import TakenBack, read_and_keep, state_gap, take_back
from .walk import divergence

__all__ = [
    "Acceptance", "Contributions", "Differences", "DraftSpeed", "Effect", "Growth", "InfluenceParts", "Ledger", "Lens",
    "Naming", "NeedleMap", "ParityLedger", "RecallMap", "Recalled", "Routing", "StateGeometry", "TakenBack", "Tapes",
    "Theirs", "Ties", "acceptance", "assemble", "attention_map", "by_transformers", "cache_growth", "coactivation",
    "contributions", "diff", "divergence", "draft_speed", "edit_effect", "effect", "gap", "half_life", "influence_map",
    "influence_parts", "jensen_shannon", "layer_bytes", "layer_kinds", "ledger", "logit_lens", "naming", "needle_map",
    "needles", "parity_ledger", "pictures", "predicted_bytes", "quiet_transformers", "read_and_keep", "recall_map",
    "recalled", "record_tapes", "replay", "residual_stream", "retrieval", "routing", "routing_of", "state_gap",
    "state_geometry", "strongest_reader", "take_back", "ties", "told", "transformers_model", "within_chunk_mask",
]  # fmt: skip
