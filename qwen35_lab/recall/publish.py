"""Several seeds of the recall model; the best becomes a checkpoint, with a card that says how all did."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model import TextModel
from ..qwen import Qwen
from ..training import History, Recipe
from .model import write_checkpoint
from .score import Score, score
from .task import CHANCE, KEYS, TRAINED, VALIDATION, VALUES, Difficulty, batch, text
from .train import TEXTS_PER_STEP

SUCCESS = 0.99  # of the questions in fresh texts: then a seed has learnt the task
GRID_KEYS, GRID_WRITES = (2, 4, 8, 12, 16), (24, 48, 96, 192)
GRID_TEXTS, GRID_QUESTIONS = 128, 8  # texts per cell, questions per text


@dataclass(frozen=True)
class Run:
    """One seed, trained to the end."""

    seed: int
    model: TextModel
    history: History
    validation: Score  # to choose by
    test: Score  # to report


def examined(seed: int, qwen: Qwen, history: History) -> Run:
    """Ask a trained model about fresh texts."""
    return Run(seed, qwen.model, history, score(qwen.model, seed=VALIDATION), score(qwen.model))


def publish(runs: Sequence[Run], recipe: Recipe, folder: Path, *, overwrite: bool = False) -> Run:
    """Write the checkpoint of the seed that did best on the validation texts; returns that run."""
    best = max(runs, key=lambda run: run.validation.accuracy)
    write_checkpoint(best.model, folder, card(runs, best, recipe), overwrite=overwrite)
    return best


def card(runs: Sequence[Run], best: Run, recipe: Recipe) -> str:
    """The README.md of the checkpoint. Every number in it is measured or read from the settings."""
    writes, questions = TRAINED.writes, TRAINED.questions
    seeds = ",".join(str(run.seed) for run in runs)
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# recall

A small model of the Qwen3.5 architecture, trained to recall what was written last under a key. It has
{sum(p.numel() for p in best.model.parameters()):,} parameters in three Gated DeltaNet layers and one
of gated attention, trained from scratch with Qwen3.5 Lab, an independent project.
It is **not an official Qwen model**, and nothing in it comes from one.

## The task

    {text(batch(1, 1, Difficulty((3, 3), (5, 5), (2, 2))).ids[0])}<|endoftext|>

`key value` writes, `? key` asks, and the value written last under that key is the answer. There are
{len(KEYS)} keys (animals) and {len(VALUES)} values (colours); each word is one token. Training texts have
{_range(TRAINED.keys)} keys, {_range(writes)} writes and {_range(questions)} questions, at most
{3 * writes[1] + 4 * questions[1]} tokens together.

## Training

    qwen35-lab train recall --seeds {seeds} --steps {recipe.steps} --threads 1 --out FOLDER

{recipe.steps} steps of {TEXTS_PER_STEP} fresh texts in float32: Muon (rate {recipe.muon_rate:g}) on
the matrices, AdamW (rate {recipe.adamw_rate:g}) on the rest, {recipe.warmup} steps of warm-up, linear
decay over the last {recipe.decay:.0%}. The heads of the DeltaNet layers begin with half-lives of 16 to 256
tokens. One machine gives the same numbers twice; another machine, number of threads or version of the code
rounds differently.

## Results

Accuracy on {len(best.test.right):,} questions in fresh texts of the kind trained on; guessing gives
{CHANCE:.2%}. {sum(run.test.accuracy >= SUCCESS for run in runs)} of {len(runs)} seeds reach
{SUCCESS:.0%}. This folder holds seed {best.seed}, the best on another set of fresh texts. Seconds include
the evaluations on the way; where they exceed the CPU seconds, the machine was busy with other things too.

| seed | steps | seconds | CPU seconds | steps to {SUCCESS:.0%} | accuracy | written once | overwritten |
|---:|---:|---:|---:|---:|---:|---:|---:|
{"".join(_row(run) for run in runs)}
This folder's accuracy by the number of keys in a text:
{", ".join(f"{n}: {accuracy:.1%}" for n, accuracy in best.test.by_keys().items())}.

## Limits

Accuracy by keys (down) and writes (across), up to twice the keys and eight times the writes of training;
{GRID_TEXTS * GRID_QUESTIONS:,} questions per cell:

{_grid(best.model)}
A key that was never written is answered with some colour. Words outside the vocabulary mean nothing to it.
"""


def _range(limits: tuple[int, int]) -> str:
    return f"{limits[0]} to {limits[1]}"


def _row(run: Run) -> str:
    split = (run.test.accuracy, run.test.among(~run.test.overwritten), run.test.among(run.test.overwritten))
    history = run.history
    first = next((step for step, accuracy in history.accuracies if accuracy >= SUCCESS), "not reached")
    times = f"{history.steps} | {history.seconds:.0f} | {history.cpu_seconds:.0f} | {first}"
    return f"| {run.seed} | {times} | " + " | ".join(f"{a:.2%}" for a in split) + " |\n"


def _grid(model: TextModel) -> str:
    lines = ["| |" + "".join(f" {n} |" for n in GRID_WRITES), "|---:|" + "---:|" * len(GRID_WRITES)]
    for keys in GRID_KEYS:
        asked = (GRID_QUESTIONS, GRID_QUESTIONS)
        crowds = (Difficulty((keys, keys), (writes, writes), asked) for writes in GRID_WRITES)
        cells = (f" {score(model, crowd, GRID_TEXTS).accuracy:.1%} |" for crowd in crowds)
        lines.append(f"| {keys} |" + "".join(cells))
    return "\n".join(lines) + "\n"
