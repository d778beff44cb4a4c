"""The folder that a nano becomes: what `qwen35_lab.load` and transformers' Auto classes load.

Weights and config, tokenizer with chat template, settings of the image processor (transformers' PIL one, without
torchvision) and of videos, generation config, and a card that says how it was trained and what it can do.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..checkpoint import write_model
from ..errors import CheckpointError
from ..files import write_file
from ..qwen import Qwen, load
from ..training import History
from .patches import PATCHING
from .score import Scores, score
from .tokenizer import END, TURN_END
from .tower import STEP
from .train import Run
from .world import MIX
from .world.clips import FRAMES_PER_SECOND

LEAST, MOST = 32 * 32, 96 * 96  # pixels of a picture; larger ones are shrunk to what was trained on
MOST_FRAMES = 16
MODEL = "model"  # the checkpoint in a run's folder


def write_checkpoint(qwen: Qwen, folder: str | Path, card: str | None = None, *, overwrite: bool = False) -> None:
    """Write the folder, atomically.

    Args:
        card: the text of its README.md, if it shall have one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        beside = Path(temporary)
        qwen.tokenizer.save_pretrained(beside)
        for name, words in settings(qwen.tokenizer).items():
            (beside / name).write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")
        if card is not None:
            (beside / "README.md").write_text(card, encoding="utf-8")
        write_model(qwen.model, qwen.config, Path(folder), tuple(sorted(beside.iterdir())), overwrite=overwrite)


def settings(tokenizer: Any) -> dict[str, dict[str, Any]]:
    """File -> its words, of all files that are neither weights, config nor tokenizer."""
    end, pad = (int(tokenizer.convert_tokens_to_ids(token)) for token in (TURN_END, END))
    cut = {
        "patch_size": PATCHING.patch, "temporal_patch_size": PATCHING.frames, "merge_size": PATCHING.merge,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "processor_class": "Qwen3VLProcessor",
    }  # fmt: skip
    shrink = {"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 3}
    return {
        "generation_config.json": {"do_sample": False, "eos_token_id": [end, pad], "pad_token_id": pad},
        "preprocessor_config.json": cut | shrink | {
            "image_processor_type": "Qwen2VLImageProcessor", "rescale_factor": 1 / 255,
            "size": {"shortest_edge": LEAST, "longest_edge": MOST},
        },
        "video_preprocessor_config.json": cut | shrink | {
            "video_processor_type": "Qwen3VLVideoProcessor", "rescale_factor": 1 / 255, "fps": FRAMES_PER_SECOND,
            "min_frames": 2, "max_frames": MOST_FRAMES,
            "size": {"shortest_edge": 2 * LEAST, "longest_edge": MOST_FRAMES * MOST},
        },
    }  # fmt: skip


def card(run: Mapping[str, Any], history: History, parameters: int, scores: Scores | None = None) -> str:
    """The README.md.

    Args:
        run: `Run.settings`, how it was trained.
    """
    diet, recipe = run["diet"], run["recipe"]
    minutes, hours = history.seconds / 60, history.cpu_seconds / 3600
    length = f"--steps {history.steps}" + (f" --wide-from {diet['wide']}" if diet.get("wide") is not None else "")
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# nano

A small model of the Qwen3.5 architecture with all of its parts: Gated DeltaNet and gated attention in turns of three to
one, routed experts beside a shared one, a head that guesses the token after the next, eyes for pictures and clips.
It has {parameters:,} parameters and was trained from scratch with Qwen3.5 Lab, an independent project. It is **not an
official Qwen model**, and nothing in it comes from one. This folder holds seed {run["seed"]}.

## Data

Conversations, pictures and clips made by rules (`qwen35_lab.nano.world`): short stories, sentences in several scripts,
facts with overwrites, arithmetic, small programs, JSON, tool calls, shapes, digits, charts, clips. Text and pictures
are mixed from the first step. What is scored below was held out.

## Training

    qwen35-lab train nano --preset {run["preset"]} --seed {run["seed"]} {length} --to FOLDER

{_seen(run["tower"])}{history.steps:,} steps, {history.tokens:,} tokens in float32:
{diet["rows"]} rows of {diet["length"]} tokens, from step {diet["later"]:,} on {diet["later_rows"]}{_wide(diet)}. Of a
hundred conversations so many are of each kind:

{_mixes(diet)}

Muon (rate {recipe["muon_rate"]:g}) on matrices, fused experts and the patch kernel, AdamW (rate
{recipe["adamw_rate"]:g}) on the rest, {recipe["warmup"]} steps of warm-up, a linear fall over the last
{recipe["decay"]:.0%}. The loss is on what the assistant says; the head's counts {run["shares"]["mtp"]:g}, the routers'
balance {run["shares"]["balance"]:g} (the mean of the layers). It took {minutes:.0f} minutes on the clock and
{hours:.1f} hours of CPU{_machines(history)}.

{_scored(scores)}
## Limits

It knows its own small world: a few hundred words, simple pictures of at most 96 × 64 pixels. Everything else means
nothing to it.
"""


def _wide(diet: Mapping[str, Any]) -> str:
    return f", from step {diet['wide']:,} on {diet['wide_rows']}" if diet.get("wide") is not None else ""


def _machines(history: History) -> str:
    """Where it was trained, if not on a CPU throughout."""
    if all(name == "cpu" for _, name in history.machines):
        return ""
    ends = [*(steps for steps, _ in history.machines[1:]), history.steps]
    parts = [f"steps {start:,} to {end:,} on {name}" for (start, name), end in zip(history.machines, ends, strict=True)]
    return f": {', '.join(parts)}"


def _mixes(diet: Mapping[str, Any]) -> str:
    """The shares of the kinds before and after what is learnt last comes more often, as a table."""
    rows = [f"| {kind} | {100 * MIX[kind]:.0f} | {100 * diet['harder_mix'].get(kind, 0):.0f} |" for kind in MIX]
    return "\n".join([f"| | at first | from step {diet['harder']:,} on |", "|---|---:|---:|", *rows])


def _seen(tower: Mapping[str, Any] | None) -> str:
    if tower is None:
        return ""
    return (
        f"First the vision tower learns to see, alone, in {tower['steps']:,} steps of {STEP} pictures, by\n"
        "pointing to the first embeddings of the words for what is there. Then all learn together:\n"
    )


def publish(run: Run, scores: Scores | None = None) -> Path:
    """Write what a run has learnt so far into its folder, in place of what is there; returns where it is."""
    parameters = sum(p.numel() for p in run.model.parameters())
    folder = run.folder / MODEL
    words = card(run.settings, run.history, parameters, scores)
    write_checkpoint(run.qwen(), folder, words, overwrite=folder.exists())
    return folder


def score_folder(folder: str | Path, n: int = 500, split: str = "test", device: str = "cpu") -> Scores:
    """Score a checkpoint, or the one in a run's folder; there the card gets the scores, too.

    Raises:
        CheckpointError: there is no such folder, or what `load` refuses.
    """
    folder = Path(folder).resolve()
    if not folder.exists():
        raise CheckpointError(f"There is no folder {folder}; train a nano into it, or score the one in data/nano.")
    kept = folder / MODEL if (folder / MODEL / "config.json").exists() else folder
    qwen = load(kept, device=device)
    scores = score(qwen, n, split=split, familiar=n)
    run, curves = (kept.parent / name for name in ("run.json", "curves.json"))
    if kept != folder and run.exists() and curves.exists():
        how, what = (json.loads(path.read_text(encoding="utf-8")) for path in (run, curves))
        words = card(how, History(**what), sum(p.numel() for p in qwen.model.parameters()), scores)
        with write_file(kept / "README.md") as beside:
            beside.write_text(words, encoding="utf-8")
        with write_file(folder / "scores.json") as beside:
            beside.write_text(json.dumps(asdict(scores)) + "\n", encoding="utf-8")
    return scores


def _scored(scores: Scores | None) -> str:
    if scores is None:
        return "It has not been scored yet: `qwen35-lab score nano FOLDER`.\n"
    return f"""## Scores

Greedy answers to questions of the {scores.split} split, judged by the world's own rules. It holds constructions that
training never shows, such as a shape in a colour that it never had, or an animal and a thing that no story had.

{scores.marks()}
{scores.routing()}

### All questions

{scores.table()}"""
