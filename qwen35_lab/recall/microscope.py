"""The microscope's folders: one per seed, and beside the best of them a table of all that was measured.

Every seed is trained twice, from the same weights and on the same texts: with the delta rule, and without its erase
term. The second model is not kept, only how far it came: `measured()` reads that back.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..edits import AnyEdit, edit
from ..files import write_file
from ..paths import data_path
from ..training import Recipe
from .card import front, origin, task, training
from .dials import capacity, decay_dial, erase_dial
from .model import MICROSCOPE, Setup, write_checkpoint
from .publish import Run, best_of, results
from .score import Score

NO_ERASE: tuple[AnyEdit, ...] = (edit("layers.*.mixer.erase").zero(),)
MEASURED = "measured.json"
DIAL_TEXTS = 1024  # at every position of a dial


def lessons(setup: Setup, recipe: Recipe) -> Iterator[tuple[str, Recipe, tuple[AnyEdit, ...]]]:
    """The trainings of one seed: what to call each, its recipe, and the edits in force."""
    yield "", recipe, ()
    if setup is MICROSCOPE:
        yield "-without-erase", recipe, NO_ERASE


def microscopes() -> list[str]:
    """Names of the microscopes that ship, the best first: `lab.load(name)`."""
    found = sorted(path.parent.name for path in data_path().glob(f"{MICROSCOPE.name}*/model.safetensors"))
    return sorted(found, key=lambda name: name != MICROSCOPE.name)


def measured() -> list[dict[str, Any]]:
    """All runs of the shipped microscopes, as `publish_microscope` wrote them.

    One dict per training: seed, erase (was it trained with the erase term?), steps, cpu_seconds, accuracies
    [[steps done, accuracy], …]; and for fresh texts accuracy, written_once, overwritten. With the erase term also
    erase_dial and decay_dial, {factor: {accuracy, written_once, overwritten}}, and capacity, {keys: accuracy}.
    """
    runs = json.loads(data_path(MICROSCOPE.name, MEASURED).read_text(encoding="utf-8"))
    numbered = {"erase_dial": float, "decay_dial": float, "capacity": int}  # JSON knows no numbers as keys
    for run in runs:
        run |= {name: {kind(n): v for n, v in run[name].items()} for name, kind in numbered.items() if name in run}
    return runs


def publish_microscope(runs: Sequence[Run], recipe: Recipe, folder: Path, *, overwrite: bool = False) -> Run:
    """Write the best seed to `folder`, the others to `folder`-seedN; returns the best."""
    trained = [run for run in runs if not run.edits]
    best = best_of(trained)
    table = [_measure(run) for run in runs]
    for run in trained:
        place = folder if run is best else folder.with_name(f"{folder.name}-seed{run.seed}")
        write_checkpoint(run.qwen, place, _card(trained, run, best, recipe, table), overwrite=overwrite)
    with write_file(folder / MEASURED) as beside:
        beside.write_text(_json(table), encoding="utf-8")
    return best


def _measure(run: Run) -> dict[str, Any]:
    known = {
        "seed": run.seed, "erase": not run.edits, "steps": run.history.steps,
        "cpu_seconds": round(run.history.cpu_seconds, 1), **_split(run.test),
        "accuracies": [[step, round(accuracy, 4)] for step, accuracy in run.history.accuracies],
    }  # fmt: skip
    if run.edits:
        return known
    erase, decay = (dial(run.qwen, texts=DIAL_TEXTS) for dial in (erase_dial, decay_dial))
    crowds = capacity(run.qwen, texts=2 * DIAL_TEXTS)
    return known | {
        "erase_dial": {factor: _split(score) for factor, score in erase.items()},
        "decay_dial": {factor: _split(score) for factor, score in decay.items()},
        "capacity": {keys: round(score.accuracy, 4) for keys, score in crowds.items()},
    }


def _split(score: Score) -> dict[str, float]:
    parts = (score.accuracy, score.among(~score.overwritten), score.among(score.overwritten))
    return dict(zip(("accuracy", "written_once", "overwritten"), (round(part, 4) for part in parts), strict=True))


def _json(table: Sequence[Mapping[str, Any]]) -> str:
    """One line per training."""
    return "[\n" + ",\n".join(json.dumps(run) for run in table) + "\n]\n"


def _card(trained: Sequence[Run], run: Run, best: Run, recipe: Recipe, table: Sequence[Mapping[str, Any]]) -> str:
    """The README.md of one folder."""
    with_erase = {row["seed"]: row for row in table if row["erase"]}
    without = [row for row in table if not row["erase"]]
    text = run.qwen.config.text
    which = "" if run is best else f", seed {run.seed}"
    parameters = sum(p.numel() for p in run.qwen.model.parameters())
    return f"""{front(MICROSCOPE.name + which)}
A very small model of the Qwen3.5 architecture, trained to recall what was written last under a key. It has
{parameters:,} parameters in one Gated DeltaNet layer with one head, whose memory is a matrix of
{text.linear_key_head_dim} × {text.linear_value_head_dim} numbers, {origin()}

{task(MICROSCOPE.difficulty)}
{training(MICROSCOPE, recipe, [each.seed for each in trained])}
## Results

{results(trained, best, run)}
All that follows is in `{MEASURED}` too, beside the best seed.

The erase dial: the part of a write that takes out what the memory holds under its key, β Sᵀk, times a factor.
Accuracy, and in brackets that on keys written once / overwritten.

{_columns(with_erase, "erase_dial", _in_brackets)}
The decay dial: the log decay g times a factor. Accuracy.

{_columns(with_erase, "decay_dial", lambda cell: f"{cell['accuracy']:.1%}")}
Capacity: accuracy by the number of keys in the memory, each written twice on average, with one question at the end.

{_columns(with_erase, "capacity", lambda cell: f"{cell:.1%}")}
Trained without the erase term, and asked without it. "Best on the way" is the best evaluation during training.

| seed | steps | CPU seconds | accuracy | written once | overwritten | best on the way |
|---:|---:|---:|---:|---:|---:|---:|
{"".join(_row_without(row) for row in without)}
"""


def _columns(rows: Mapping[int, Mapping[str, Any]], name: str, words: Any) -> str:
    """A dial as a table: seeds down, positions across."""
    positions = list(next(iter(rows.values()))[name])
    lines = ["| seed |" + "".join(f" {place:g} |" for place in positions), "|---:|" + "---:|" * len(positions)]
    for seed, row in rows.items():
        lines.append(f"| {seed} |" + "".join(f" {words(row[name][place])} |" for place in positions))
    return "\n".join(lines) + "\n"


def _in_brackets(cell: Mapping[str, float]) -> str:
    return f"{cell['accuracy']:.1%} ({cell['written_once']:.0%} / {cell['overwritten']:.0%})"


def _row_without(row: Mapping[str, Any]) -> str:
    best = max(accuracy for _, accuracy in row["accuracies"])
    split = " | ".join(f"{row[name]:.1%}" for name in ("accuracy", "written_once", "overwritten"))
    return f"| {row['seed']} | {row['steps']} | {row['cpu_seconds']:.0f} | {split} | {best:.1%} |\n"
