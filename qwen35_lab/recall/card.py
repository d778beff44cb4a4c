"""What the cards of the small models have in common. Every number is measured or read from the settings."""

from collections.abc import Sequence

from ..training import History, Recipe
from .model import Setup
from .score import Score
from .task import KEYS, VALUES, Difficulty, batch, text

SUCCESS = 0.99  # of the questions in fresh texts: then a seed has learnt the task


def front(title: str) -> str:
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# {title}
"""


def origin() -> str:
    return """trained from scratch with Qwen3.5 Lab, an independent project.
It is **not an official Qwen model**, and nothing in it comes from one."""


def task(difficulty: Difficulty) -> str:
    writes, questions = difficulty.writes, difficulty.questions
    return f"""## The task

    {text(batch(1, 1, Difficulty((3, 3), (5, 5), (2, 2))).ids[0])}<|endoftext|>

`key value` writes, `? key` asks, and the value written last under that key is the answer. There are
{len(KEYS)} keys (animals) and {len(VALUES)} values (colours); each word is one token. Training texts have
{_range(difficulty.keys)} keys, {_range(writes)} writes and {_range(questions)} questions, at most
{3 * writes[1] + 4 * questions[1]} tokens together.
"""


def training(setup: Setup, recipe: Recipe, seeds: Sequence[int]) -> str:
    return f"""## Training

    qwen35-lab train {setup.name} --seeds {",".join(map(str, seeds))} --steps {recipe.steps} --threads 1 --out FOLDER

{recipe.steps} steps of {setup.texts_per_step} fresh texts in float32: Muon (rate {recipe.muon_rate:g}) on
the matrices, AdamW (rate {recipe.adamw_rate:g}) on the rest, {recipe.warmup} steps of warm-up, linear
decay over the last {recipe.decay:.0%}. The heads of the DeltaNet layers begin with half-lives of 16 to 256
tokens. One machine gives the same numbers twice; another machine, number of threads or version of the code
rounds differently.
"""


HEAD = f"""| seed | steps | seconds | CPU seconds | steps to {SUCCESS:.0%} | accuracy | written once | overwritten |
|---:|---:|---:|---:|---:|---:|---:|---:|
"""


def row(seed: int, history: History, test: Score) -> str:
    """One line under `HEAD`."""
    split = (test.accuracy, test.among(~test.overwritten), test.among(test.overwritten))
    first = next((step for step, accuracy in history.accuracies if accuracy >= SUCCESS), "not reached")
    times = f"{history.steps} | {history.seconds:.0f} | {history.cpu_seconds:.0f} | {first}"
    return f"| {seed} | {times} | " + " | ".join(f"{a:.2%}" for a in split) + " |\n"


def _range(limits: tuple[int, int]) -> str:
    low, high = limits
    return f"{low} to {high}" if low < high else f"{low}"
