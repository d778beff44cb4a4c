"""Numbers in, pictures out: figures, widgets, and what a notebook says beside them. Nothing below imports this.

    from qwen35_lab import views        # or lab.views, which imports it when it is first used

plotly, anywidget and ipywidgets are imported here and nowhere else in the package.
"""

from . import claims
from .agent_steps import agent_deck
from .article import ClaimsTable, claims_table, price_days, settings_chart, tally_chart, verdict_chart
from .caches import cache_growth, cache_sizes, rollback_errors
from .charts import layer_contributions, reading_maps, residual_norms
from .chat import Chat, chat
from .cinema import state_cinema
from .claims import Claim, claim
from .clock_wall import ClockWall, clock_wall
from .cost_explorer import CostExplorer, cost_explorer
from .curves import cost_curves, crossings, dial_curve, parity_chart, training_curves
from .deck import Deck
from .drafts import acceptance_chart, acceptance_law_chart, draft_speed_chart
from .elevator_widget import LayerElevator, elevator
from .expert_budget import expert_budget_chart
from .experts import (
    coefficient_chart,
    evening_chart,
    kinds_deck,
    missed_deck,
    near_tie_chart,
    step_read_chart,
    touched_chart,
)
from .figure import Figure
from .film import film_deck
from .fit_explorer import FitExplorer, fit_explorer
from .heads import heads_deck
from .influence import attention_pair, chunk_deck, influence_deck
from .languages import language_chart, rows_chart, savings_chart, table_chart
from .lens import logit_lens_map
from .live import edit_deck
from .looking import cover_deck, gaze_deck, picture_map, tower_deck
from .maps import heat_map, picture, recall_grid, token_strip
from .memory import half_lives, write_erase_decay
from .needles import long_context_chart, needle_deck, rank_curves
from .notes import note, noted
from .numbers import number_deck, scale_deck
from .places import channel_chart, position_chart
from .price_explorer import PriceExplorer, price_explorer
from .prompt import prompt_deck
from .replay import memory_replay, write_replay
from .rotation import distance_curves, spectrum_chart
from .rounding import fading_chart, half_life_chart, harm_chart, weight_chart
from .router_lab import router_lab
from .routing import expert_deck, expert_heat_map, expert_load
from .scaling import layer_times
from .score_explorer import ScoreExplorer, score_explorer
from .screens import game_deck
from .size_ruler import PictureRuler, picture_ruler
from .source import Source, show_source
from .stepper import Stepper, step
from .sweeps import sweep_chart
from .tape import draft_tape
from .text_ruler import TextRuler, text_ruler
from .theme import COLOURS, badge
from .tuning import adapter_deck, influence_before_after
from .waiting import arrival_chart

__all__ = [
    "COLOURS", "Chat", "Claim", "ClaimsTable", "ClockWall", "CostExplorer", "Deck", "Figure", "FitExplorer",
    "LayerElevator", "PictureRuler", "PriceExplorer", "ScoreExplorer", "Source", "Stepper", "TextRuler",
    "acceptance_chart", "acceptance_law_chart", "adapter_deck", "agent_deck", "arrival_chart", "attention_pair",
    "badge", "cache_growth", "cache_sizes", "channel_chart", "chat", "chunk_deck", "claim", "claims", "claims_table",
    "clock_wall", "coefficient_chart", "cost_curves", "cost_explorer", "cover_deck", "crossings", "dial_curve",
    "distance_curves", "draft_speed_chart", "draft_tape", "edit_deck", "elevator", "evening_chart",
    "expert_budget_chart", "expert_deck",
    "expert_heat_map", "expert_load", "fading_chart", "film_deck", "fit_explorer", "game_deck", "gaze_deck",
    "half_life_chart", "half_lives", "harm_chart", "heads_deck", "heat_map", "influence_before_after", "influence_deck",
    "kinds_deck", "language_chart", "layer_contributions", "layer_times", "logit_lens_map", "long_context_chart",
    "memory_replay", "missed_deck", "near_tie_chart", "needle_deck", "note", "noted", "number_deck", "parity_chart",
    "picture", "picture_map", "picture_ruler", "position_chart", "price_days", "price_explorer", "prompt_deck",
    "rank_curves", "reading_maps", "recall_grid", "residual_norms", "rollback_errors", "router_lab", "rows_chart",
    "savings_chart", "scale_deck", "score_explorer", "settings_chart", "show_source", "spectrum_chart", "state_cinema",
    "step", "step_read_chart", "sweep_chart", "table_chart", "tally_chart", "text_ruler", "token_strip",
    "touched_chart", "tower_deck", "training_curves", "verdict_chart", "weight_chart", "write_erase_decay",
    "write_replay",
]  # fmt: skip
