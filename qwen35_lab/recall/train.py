"""Train a small model on the task: about a minute on one CPU thread, or a quarter of one for `MICROSCOPE`."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from ..edits import AnyEdit, edited
from ..errors import InputError
from ..model import TextModel
from ..model.init import initialise
from ..provenance import Provenance
from ..qwen import Qwen
from ..training import History, Recipe, train
from .model import RECALL, Setup
from .score import score
from .task import VALIDATION, Batch, Difficulty, batch
from .tokenizer import make_tokenizer

RECIPE = RECALL.recipe  # of the recall model that ships
QUICK = RECALL.quick  # to watch
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
    recipe: Recipe | None = None,
    difficulty: Difficulty | None = None,
    *,
    setup: Setup = RECALL,
    edits: Sequence[AnyEdit] = (),
    state: str | Path | None = None,
    progress: bool = True,
) -> tuple[Qwen, History]:
    """Train a fresh model; `seed` decides its first weights and all its texts.

    Args:
        recipe, difficulty: in place of the setup's own (`setup.quick`, `setup.difficulty`).
        setup: which model; `MICROSCOPE` is the one to watch.
        edits: in force during all of the training, `[edit("layers.*.mixer.erase").zero()]`: what is learnt without
            erasing? Gone afterwards, so use them again to ask what has been learnt.
        state: a file that keeps the run; if it exists, training continues from there (see `training.train`).
    Returns:
        The model with its tokenizer, and the history. After an interrupt, what has been learnt so far.
    """
    recipe, difficulty = recipe or setup.quick, difficulty or setup.difficulty
    if not 0 <= seed < MOST_SEEDS:
        raise InputError(f"The seed is {seed}; choose one between 0 and {MOST_SEEDS - 1}.")
    if recipe.steps > MOST_STEPS:
        raise InputError(f"{recipe.steps:,} steps are too many; {MOST_STEPS:,} is the most.")
    model = initialise(TextModel(setup.config.text), seed)
    with edited(model, edits):
        history = train(
            model,
            lambda step: answer_loss(model, batch(setup.texts_per_step, seed * MOST_STEPS + step, difficulty)),
            recipe,
            lambda: score(model, difficulty, VALIDATION_TEXTS, VALIDATION).accuracy,
            state=state,
            progress=progress,
        )
    name = ", ".join((setup.name, *(f"trained with {each}" for each in edits)))
    qwen = Qwen(model, setup.config, Provenance("TINY", name, None, "float32", "cpu", seed))
    qwen.tokenizer = make_tokenizer()
    return qwen, history
