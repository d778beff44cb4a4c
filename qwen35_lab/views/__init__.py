"""Numbers in, pictures out: figures, widgets, and what a notebook says beside them. Nothing below imports this.

    from qwen35_lab import views        # or lab.views, which imports it when it is first used

plotly, anywidget and ipywidgets are imported here and nowhere else in the package.
"""

from . import claims
from .charts import layer_contributions, reading_maps, residual_norms
from .claims import Claim, claim
from .elevator_widget import LayerElevator, elevator
from .figure import Figure
from .source import Source, show_source
from .stepper import Stepper, step
from .theme import COLOURS, badge

__all__ = [
    "COLOURS", "Claim", "Figure", "LayerElevator", "Source", "Stepper", "badge", "claim", "claims", "elevator",
    "layer_contributions", "reading_maps", "residual_norms", "show_source", "step",
]  # fmt: skip
