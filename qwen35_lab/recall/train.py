"""Train the recall model: about a minute on one CPU thread until 99 % of its answers are right."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..model import TextModel
from ..model.init import initialise
from ..provenance import Provenance
from ..qwen import Qwen
from ..training import History, Recipe, train
from .model import config
from .score import score
from .task import TRAINED, VALIDATION, Batch, Difficulty, batch
from .tokenizer import make_tokenizer

RECIPE = Recipe(steps=400, muon_rate=1e-2, adamw_rate=6e-3)  # of the model that ships
QUICK = replace(RECIPE, target=0.99)  # to watch
TEXTS_PER_STEP = 32
MOST_STEPS, MOST_SEEDS = 1_000_000, 3_300  # every step of every seed has a batch of its own, below VALIDATION
VALIDATION_TEXTS = 256


def answer_loss(model: TextModel, texts: Batch) -> Tensor:
    """Mean cross-entropy of the next token in nats, weighted by `Batch.weight`: answers count."""
    device = model.embed_tokens.weight.device
    logits = model(texts.inputs.to(device)).logits
    weight = texts.weight[:, 1:].flatten().to(device)
    each = F.cross_entropy(logits.flatten(0, 1), texts.targets.flatten().to(device), reduction="none")
    return (each * weight).sum() / weight.sum()


def train_recall(
    seed: int = 0,
    recipe: Recipe = QUICK,
    difficulty: Difficulty = TRAINED,
    *,
    state: str | Path | None = None,
    progress: bool = True,
) -> tuple[Qwen, History]:
    """Train a fresh recall model; `seed` decides its first weights and all its texts.

    Args:
        state: a file that keeps the run; if it exists, training continues from there (see `training.train`).
    Returns:
        The model with its tokenizer, and the history. After an interrupt, what has been learnt so far.
    """
    if not 0 <= seed < MOST_SEEDS:
        raise InputError(f"The seed is {seed}; choose one between 0 and {MOST_SEEDS - 1}.")
    if recipe.steps > MOST_STEPS:
        raise InputError(f"{recipe.steps:,} steps are too many; {MOST_STEPS:,} is the most.")
    model = initialise(TextModel(config().text), seed)
    history = train(
        model,
        lambda step: answer_loss(model, batch(TEXTS_PER_STEP, seed * MOST_STEPS + step, difficulty)),
        recipe,
        lambda: score(model, difficulty, VALIDATION_TEXTS, VALIDATION).accuracy,
        state=state,
        progress=progress,
    )
    qwen = Qwen(model, config(), Provenance("TINY", f"recall, seed {seed}", None, "float32", "cpu"))
    qwen.tokenizer = make_tokenizer()
    return qwen, history
