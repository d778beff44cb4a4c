"""The recall model: a task that needs a memory one can edit, and a small Qwen3.5 of ours that learns it.

    from qwen35_lab import recall
    qwen, history = recall.train_recall(seed=0)
    recall.score(qwen.model)

The same model, trained longer, ships as `lab.load("recall")`.
"""

from .model import config, write_checkpoint
from .score import Score, score
from .task import CHANCE, KEYS, TEST, TRAINED, VALIDATION, VALUES, VOCABULARY, Batch, Difficulty, batch, text
from .train import QUICK, RECIPE, answer_loss, train_recall

__all__ = [
    "CHANCE", "KEYS", "QUICK", "RECIPE", "TEST", "TRAINED", "VALIDATION", "VALUES", "VOCABULARY", "Batch",
    "Difficulty", "Score", "answer_loss", "batch", "config", "score", "text", "train_recall",
    "write_checkpoint",
]  # fmt: skip
