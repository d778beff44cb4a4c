"""Numbers in, pictures out: figures, widgets, and what a notebook says beside them. Nothing below imports this.

    from qwen35_lab import views        # or lab.views, which imports it when it is first used

plotly, anywidget and ipywidgets are imported here and nowhere else in the package.
"""

from . import claims
from .article import ClaimsTable, claims_table, price_days, settings_chart, tally_chart, verdict_chart
from .caches import cache_growth, cache_sizes, rollback_errors
from .charts import layer_contributions, reading_maps, residual_norms
from .cinema import state_cinema
from .claims import Claim, claim
from .curves import cost_curves, crossings, dial_curve, parity_chart, training_curves
from .deck import Deck
from .drafts import acceptance_chart, acceptance_law_chart, draft_speed_chart
from .elevator_widget import LayerElevator, elevator
from .figure import Figure
from .film import film_deck
from .influence import attention_pair, chunk_deck, influence_deck
from .lens import logit_lens_map
from .live import edit_deck
from .looking import cover_deck, gaze_deck, picture_map, tower_deck
from .maps import heat_map, picture, recall_grid, token_strip
from .memory import half_lives, write_erase_decay
from .places import channel_chart, position_chart
from .price_explorer import PriceExplorer, price_explorer
from .replay import memory_replay, write_replay
from .routing import expert_deck, expert_heat_map, expert_load
from .score_explorer import ScoreExplorer, score_explorer
from .size_ruler import PictureRuler, picture_ruler
from .source import Source, show_source
from .stepper import Stepper, step
from .tape import draft_tape
from .theme import COLOURS, badge

__all__ = [
    "COLOURS", "Claim", "ClaimsTable", "Deck", "Figure", "LayerElevator", "PictureRuler", "PriceExplorer",
    "ScoreExplorer", "Source", "Stepper", "acceptance_chart", "acceptance_law_chart", "attention_pair", "badge",
    "cache_growth", "cache_sizes", "channel_chart", "chunk_deck", "claim", "claims", "claims_table", "cost_curves",
    "cover_deck", "crossings", "dial_curve", "draft_speed_chart", "draft_tape", "edit_deck", "elevator", "expert_deck",
    "expert_heat_map", "expert_load", "film_deck", "gaze_deck", "half_lives", "heat_map", "influence_deck",
    "layer_contributions", "logit_lens_map", "memory_replay", "parity_chart", "picture", "picture_map", "picture_ruler",
    "position_chart", "price_days", "price_explorer", "reading_maps", "recall_grid", "residual_norms",
    "rollback_errors", "score_explorer", "settings_chart", "show_source", "state_cinema", "step", "tally_chart",
    "token_strip", "tower_deck", "training_curves", "verdict_chart", "write_erase_decay", "write_replay",
]  # fmt: skip
