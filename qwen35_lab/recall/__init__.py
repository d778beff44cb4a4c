"""The recall model: a task that needs a memory one can edit, and a small Qwen3.5 of ours that learns it.

    from qwen35_lab import recall
    qwen, history = recall.train_recall(seed=0)
    recall.score(qwen.model)

The same model, trained longer, ships as `lab.load("recall")`. A much smaller one is to look into: `MICROSCOPE`, whose
only memory is one matrix; it ships as `lab.load("microscope")`, other seeds of it as "microscope-seed1" and so on.
"""

from .dials import capacity, decay_dial, erase_dial
from .microscope import NO_ERASE, measured, microscopes
from .model import MICROSCOPE, RECALL, Setup, config, write_checkpoint
from .publish import recalls
from .score import Score, score
from .task import CHANCE, KEYS, TEST, TRAINED, VALIDATION, VALUES, VOCABULARY, Batch, Difficulty, batch, text
from .train import QUICK, RECIPE, answer_loss, train_recall

__all__ = [
    "CHANCE", "KEYS", "MICROSCOPE", "NO_ERASE", "QUICK", "RECALL", "RECIPE", "TEST", "TRAINED", "VALIDATION",
    "VALUES", "VOCABULARY", "Batch", "Difficulty", "Score", "Setup", "answer_loss", "batch", "capacity", "config",
    "decay_dial", "erase_dial", "measured", "microscopes", "recalls", "score", "text", "train_recall",
    "write_checkpoint",
]  # fmt: skip
