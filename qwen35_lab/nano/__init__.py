"""The nano: its world, its tokenizer and chat template, and the batches that it is trained on.

    from qwen35_lab import nano
    sample = nano.world.draw("shapes", seed=0, index=7)
    tokenizer = nano.train_tokenizer()
    texts = nano.batch(tokenizer, step=0, rows=8, length=512)

Everything follows from seeds; nothing is downloaded.
"""

from . import world
from .cuts import switched_off
from .experts import expert_loads, permutation_test
from .pack import Batch, batch, pack
from .patches import Patching, as_floats
from .render import Document, Weights, render, render_prompt
from .template import Piece, pieces
from .tokenizer import SPECIAL, template, train_tokenizer

__all__ = [
    "SPECIAL", "Batch", "Document", "Patching", "Piece", "Weights", "as_floats", "batch", "expert_loads", "pack",
    "permutation_test", "pieces", "render", "render_prompt", "switched_off", "template", "train_tokenizer", "world",
]  # fmt: skip
