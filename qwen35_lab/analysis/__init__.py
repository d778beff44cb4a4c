"""Tensors in, numbers out: pure functions over traces and models, without pictures."""

from . import clocks, languages, needles, pictures, replay, routing, scoreboard, told
from .attention import attention_map
from .balancing import balance_loss, even_out, imitate, lean
from .caches import Growth, cache_growth, layer_bytes, predicted_bytes
from .chat_steps import ChatStep, build_up
from .compare import Differences, diff, gap
from .cost import MIXES, Cost, bytes_held, crossover, layer_cost, mixed, mixer_cost, pass_cost, vision_cost
from .counter import Count, count_operators, written_out
from .devices import DEVICES, Device, article_rows
from .drafting import Acceptance, DraftSpeed, Tapes, acceptance, draft_speed, record_tapes
from .effect import Effect, edit_effect, effect
from .expert_cache import asked_experts, hit_rates
from .fertility import Fertility, Spread, by_script, fertility, rank_correlation, spread
from .few_bits import Weighed, weigh
from .fit import PRECISIONS, Footprint, longest, will_it_fit
from .forgetting import Fading, fading, half_life_after, longest_half_life, random_decays
from .heads import Heads, attention_result, head_statistics
from .influence import (
    InfluenceParts,
    assemble,
    influence_map,
    influence_parts,
    strongest_reader,
    within_chunk_mask,
)
from .lens import Lens, logit_lens
from .long_context import Reach, reach_of
from .mixers import build_mixer, count_mixer, reading
from .naming import Naming, naming
from .near_ties import Rounded, rounded_choices
from .outliers import Spoilt, Tile, spoilt_by_outliers, tile
from .parity import ParityLedger, parity_ledger, quiet_transformers, transformers_model
from .pictured import Theirs, by_transformers
from .recall_map import NeedleMap, RecallMap, needle_map, recall_map
from .residual import Contributions, contributions, layer_kinds, residual_stream
from .roofline import DATA_SHEETS, Machine, measure_machine, predicted_seconds
from .rounding import Harm, kinds_of, rounding_harm
from .routing import Routing, Ties, coactivation, jensen_shannon, routing_of, ties
from .rows import Overlap, TableCost, lengths, table_cost
from .scaling import Fit, LayerTimes, fit_power, time_layers
from .scripts import WITHOUT_BLANKS, main_script, scripts, words
from .specialists import Missed, Routes, held_out, missed_experts, moe_layers, routes
from .state import Ledger, Recalled, StateGeometry, half_life, ledger, recalled, retrieval, state_geometry
from .surprise import SurpriseChange, surprise, surprise_change
from .taking_back import TakenBack, read_and_keep, state_gap, take_back
from .touched import Touched, active_share, expected_touched, step_bytes, touched_experts
from .walk import divergence

__all__ = [
    "DATA_SHEETS",
    "DEVICES",
    "MIXES",
    "PRECISIONS",
    "WITHOUT_BLANKS",
    "Acceptance",
    "ChatStep",
    "Contributions",
    "Cost",
    "Count",
    "Device",
    "Differences",
    "DraftSpeed",
    "Effect",
    "Fading",
    "Fertility",
    "Fit",
    "Footprint",
    "Growth",
    "Harm",
    "Heads",
    "InfluenceParts",
    "LayerTimes",
    "Ledger",
    "Lens",
    "Machine",
    "Missed",
    "Naming",
    "NeedleMap",
    "Overlap",
    "ParityLedger",
    "Reach",
    "RecallMap",
    "Recalled",
    "Rounded",
    "Routes",
    "Routing",
    "Spoilt",
    "Spread",
    "StateGeometry",
    "SurpriseChange",
    "TableCost",
    "TakenBack",
    "Tapes",
    "Theirs",
    "Ties",
    "Tile",
    "Touched",
    "Weighed",
    "acceptance",
    "active_share",
    "article_rows",
    "asked_experts",
    "assemble",
    "attention_map",
    "attention_result",
    "balance_loss",
    "build_mixer",
    "build_up",
    "by_script",
    "by_transformers",
    "bytes_held",
    "cache_growth",
    "clocks",
    "coactivation",
    "contributions",
    "count_mixer",
    "count_operators",
    "crossover",
    "diff",
    "divergence",
    "draft_speed",
    "edit_effect",
    "effect",
    "even_out",
    "expected_touched",
    "fading",
    "fertility",
    "fit_power",
    "gap",
    "half_life",
    "half_life_after",
    "head_statistics",
    "held_out",
    "hit_rates",
    "imitate",
    "influence_map",
    "influence_parts",
    "jensen_shannon",
    "kinds_of",
    "languages",
    "layer_bytes",
    "layer_cost",
    "layer_kinds",
    "lean",
    "ledger",
    "lengths",
    "logit_lens",
    "longest",
    "longest_half_life",
    "main_script",
    "measure_machine",
    "missed_experts",
    "mixed",
    "mixer_cost",
    "moe_layers",
    "naming",
    "needle_map",
    "needles",
    "parity_ledger",
    "pass_cost",
    "pictures",
    "predicted_bytes",
    "predicted_seconds",
    "quiet_transformers",
    "random_decays",
    "rank_correlation",
    "reach_of",
    "read_and_keep",
    "reading",
    "recall_map",
    "recalled",
    "record_tapes",
    "replay",
    "residual_stream",
    "retrieval",
    "rounded_choices",
    "rounding_harm",
    "routes",
    "routing",
    "routing_of",
    "scoreboard",
    "scripts",
    "spoilt_by_outliers",
    "spread",
    "state_gap",
    "state_geometry",
    "step_bytes",
    "strongest_reader",
    "surprise",
    "surprise_change",
    "table_cost",
    "take_back",
    "ties",
    "tile",
    "time_layers",
    "told",
    "touched_experts",
    "transformers_model",
    "vision_cost",
    "weigh",
    "will_it_fit",
    "within_chunk_mask",
    "words",
    "written_out",
]  # fmt: skip
