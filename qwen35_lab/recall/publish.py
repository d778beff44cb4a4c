"""Several seeds of the recall model; the best becomes a checkpoint, with a card that says how all did."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..edits import AnyEdit
from ..model import TextModel
from ..paths import data_path
from ..qwen import Qwen
from ..training import History, Recipe
from .card import HEAD, SUCCESS, front, origin, row, task, training
from .model import RECALL, Setup, write_checkpoint
from .score import Score, score
from .task import CHANCE, VALIDATION, Difficulty

GRID_KEYS, GRID_WRITES = (2, 4, 8, 12, 16), (24, 48, 96, 192)
GRID_TEXTS, GRID_QUESTIONS = 128, 8  # texts per cell, questions per text


@dataclass(frozen=True)
class Run:
    """One seed, trained to the end."""

    seed: int
    qwen: Qwen
    history: History
    validation: Score  # to choose by
    test: Score  # to report
    edits: tuple[AnyEdit, ...] = ()  # in force when it was trained, and when it was asked


def examined(
    seed: int, qwen: Qwen, history: History, setup: Setup = RECALL, edits: Sequence[AnyEdit] = ()
) -> Run:  # fmt: skip
    """Ask a trained model about fresh texts."""
    with qwen.edited(*edits):
        chosen_by = score(qwen.model, setup.difficulty, seed=VALIDATION)
        return Run(seed, qwen, history, chosen_by, score(qwen.model, setup.difficulty), tuple(edits))


def best_of(runs: Sequence[Run]) -> Run:
    """The one that did best on the validation texts."""
    return max(runs, key=lambda run: run.validation.accuracy)


def publish(runs: Sequence[Run], recipe: Recipe, folder: Path, *, overwrite: bool = False) -> Run:
    """Write the checkpoint of the best seed; returns that run."""
    best = best_of(runs)
    write_checkpoint(best.qwen, folder, card(runs, best, recipe), overwrite=overwrite)
    return best


def recalls() -> list[str]:
    """Names of the recall models that ship, one per seed, the best first: `lab.load(name)`."""
    found = sorted(path.parent.name for path in data_path().glob(f"{RECALL.name}*/model.safetensors"))
    return sorted(found, key=lambda name: name != RECALL.name)


def publish_another(run: Run, recipe: Recipe, folder: Path, *, overwrite: bool = False) -> None:
    """Write one more seed to `folder`-seedN, so that what is found in the best one can be asked of others."""
    place = folder.with_name(f"{folder.name}-seed{run.seed}")
    text = f"""{front(f"{RECALL.name}, seed {run.seed}")}
The recall model once more, from another start: {sum(p.numel() for p in run.qwen.model.parameters()):,} parameters,
{origin()}

{task(RECALL.difficulty)}
{training(RECALL, recipe, [run.seed])}
## Results

Accuracy on {len(run.test.right):,} questions in fresh texts of the kind trained on; guessing gives
{CHANCE:.2%}. This folder holds seed {run.seed}; the best of five seeds is `{RECALL.name}`.

{HEAD}{row(run.seed, run.history, run.test)}"""
    write_checkpoint(run.qwen, place, text, overwrite=overwrite)


def card(runs: Sequence[Run], best: Run, recipe: Recipe) -> str:
    """The README.md of the checkpoint."""
    return f"""{front(RECALL.name)}
A small model of the Qwen3.5 architecture, trained to recall what was written last under a key. It has
{sum(p.numel() for p in best.qwen.model.parameters()):,} parameters in three Gated DeltaNet layers and one
of gated attention, {origin()}

{task(RECALL.difficulty)}
{training(RECALL, recipe, [run.seed for run in runs])}
## Results

{results(runs, best, best)}
This folder's accuracy by the number of keys in a text:
{", ".join(f"{n}: {accuracy:.1%}" for n, accuracy in best.test.by_keys().items())}.

## Limits

Accuracy by keys (down) and writes (across), up to twice the keys and eight times the writes of training;
{GRID_TEXTS * GRID_QUESTIONS:,} questions per cell:

{_grid(best.qwen.model)}
A key that was never written is answered with some colour. Words outside the vocabulary mean nothing to it.
"""


def results(runs: Sequence[Run], best: Run, here: Run) -> str:
    """How every seed did, and which one is here."""
    which = ", the best on" if here is best else f"; seed {best.seed} did best on"
    return f"""Accuracy on {len(best.test.right):,} questions in fresh texts of the kind trained on; guessing gives
{CHANCE:.2%}. {sum(run.test.accuracy >= SUCCESS for run in runs)} of {len(runs)} seeds reach
{SUCCESS:.0%}. This folder holds seed {here.seed}{which} another set of fresh texts. Seconds include
the evaluations on the way; where they exceed the CPU seconds, the machine was busy with other things too.

{HEAD}{"".join(row(run.seed, run.history, run.test) for run in runs)}"""


def _grid(model: TextModel) -> str:
    lines = ["| |" + "".join(f" {n} |" for n in GRID_WRITES), "|---:|" + "---:|" * len(GRID_WRITES)]
    for keys in GRID_KEYS:
        asked = (GRID_QUESTIONS, GRID_QUESTIONS)
        crowds = (Difficulty((keys, keys), (writes, writes), asked) for writes in GRID_WRITES)
        cells = (f" {score(model, crowd, GRID_TEXTS).accuracy:.1%} |" for crowd in crowds)
        lines.append(f"| {keys} |" + "".join(cells))
    return "\n".join(lines) + "\n"
