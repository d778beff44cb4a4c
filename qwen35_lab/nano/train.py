"""Train a nano: one folder holds the run, and the same command goes on from what is there.

    run = Run(Path("nano-run"), preset="full", seed=0)
    history = run.train(minutes=240)
    run.qwen()

First the vision tower learns to see (tower.py), then the whole learns to answer.

In the folder: `run.json` says how it is trained, `tokenizer/` is what it reads with, `state.pt` is all that the run
needs to go on, `before-decay.pt` the same from before the rates fell (to train longer from there), `curves.json` what
happened step by step; `tower.pt` and `tower.json` are the tower's, `tower.safetensors` its weights when the rest
begins. All are written beside and renamed.

A batch follows from seed and step alone, so an interrupted and resumed run equals an uninterrupted one to the bit, on
one machine with one number of threads.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ..config import ModelConfig
from ..errors import CheckpointError, InputError
from ..files import write_file
from ..model import MultimodalModel, build
from ..provenance import Provenance
from ..qwen import Qwen
from ..training import History, Loss, Recipe, train
from .feed import Feed
from .loss import SHARES, nano_loss
from .pack import Batch, batch
from .probe import ROWS, Probe
from .shape import PRESETS, config_of, initialise_nano
from .tokenizer import train_tokenizer
from .tower import TOWER_RECIPE, Seeing
from .world import HARDER_MIX, MIX

MOST_STEPS = 1_000_000
TOWER = "tower.safetensors"
RECIPE = Recipe(
    MOST_STEPS,
    muon_rate=6e-3,
    adamw_rate=3e-3,
    warmup=40,
    decay=0.3,
    every=250,
    stacked=True,
    newton_schulz=3,
    tower_rate=0.1,
)


@dataclass(frozen=True)
class Diet:
    """What a step reads. Small batches at first, because many updates teach more than exact ones."""

    rows: int = 4
    length: int = 512  # tokens; the longest samples have about 300
    later: int = 5000  # the step from which on there are
    later_rows: int = 8
    harder: int = 5866  # the step from which on what is learnt last comes more often
    harder_mix: Mapping[str, float] = field(default_factory=lambda: dict(HARDER_MIX))
    wide: int | None = None  # the step from which on there are many, where a GPU has room for them
    wide_rows: int = 128

    def batch(self, tokenizer: Any, step: int, seed: int) -> Batch:
        rows = self.rows if step < self.later else self.later_rows
        rows = rows if self.wide is None or step < self.wide else self.wide_rows
        mix = MIX if step < self.harder else self.harder_mix
        return batch(tokenizer, step, seed, rows=rows, length=self.length, mix=mix)


class Run:
    """One training, in a folder.

    Args:
        folder: made if it is not there; a run in it is continued.
        preset: "small" or "full".
        seed: decides the first weights and all batches.
        diet, recipe: in place of the usual ones.
        device: "cpu" or "cuda"; a run may go on on another one.
        probe_rows: rows of each kind to look at every `recipe.every` steps; 0 for never.
        tower: how the vision tower learns to see before all else; None for not at all.
        workers: processes that prepare batches beside; a GPU would wait for one that does it in between.
    Raises:
        CheckpointError: the folder holds a run with other settings.
        InputError: no such preset.
    """

    def __init__(
        self, folder: str | Path, preset: str = "full", seed: int = 0, *, diet: Diet | None = None,
        recipe: Recipe = RECIPE, device: str | torch.device = "cpu", probe_rows: int = ROWS,
        tower: Recipe | None = TOWER_RECIPE, workers: int = 0,
    ):  # fmt: skip
        if preset not in PRESETS:
            raise InputError(f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
        self.folder, self.preset, self.seed, self.recipe = Path(folder).resolve(), preset, seed, recipe
        self.diet, self.device, self.probe_rows = diet or Diet(), torch.device(device), probe_rows
        self.tower, self.workers = tower, workers
        self.history, self._planned = History(), 0
        self._keep_settings()

    @property
    def state(self) -> Path:
        return self.folder / "state.pt"

    @property
    def before_decay(self) -> Path:
        return self.folder / "before-decay.pt"

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same in every session."""
        diet, recipe, shares = asdict(self.diet), asdict(self.recipe), asdict(SHARES)
        tower = asdict(self.tower) if self.tower else None
        for each in (recipe, tower or {}):
            each["target"] = None  # has no JSON
        how = {"diet": diet, "tower": tower, "recipe": recipe, "shares": shares}
        return {"preset": self.preset, "seed": self.seed} | how

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        kept = self.folder / "tokenizer"
        if not kept.exists():
            beside = self.folder / ".tokenizer"
            train_tokenizer().save_pretrained(beside)
            beside.rename(kept)
        return AutoTokenizer.from_pretrained(kept)

    @cached_property
    def config(self) -> ModelConfig:
        return config_of(PRESETS[self.preset], self.tokenizer)

    @cached_property
    def model(self) -> MultimodalModel:
        model = build(self.config)
        assert isinstance(model, MultimodalModel)
        return initialise_nano(model, self.seed).to(self.device)

    @cached_property
    def feed(self) -> Feed:
        return Feed(partial(self.diet.batch, self.tokenizer, seed=self.seed), self.workers)

    def loss(self, step: int) -> Loss:
        return nano_loss(self.model, self.feed(step).to(self.device))

    def train(
        self, minutes: float | None = None, *, save_minutes: float = 5, progress: bool = True,
        saved: Callable[["Run"], Any] | None = None, until: int | None = None,
    ) -> History:  # fmt: skip
        """Begin, or go on.

        Args:
            minutes: of training in all, earlier sessions included; None trains `recipe.steps` steps, or as many as
                `longer` was told.
            save_minutes: between savings.
            saved: called after each.
            until: interrupt the run when so many steps are done, to repeat the beginning of a recorded one.
        """
        if minutes is None and not self._planned and self.recipe.steps >= MOST_STEPS:
            raise InputError("How long? Pass minutes, or a recipe with a number of steps.")
        if not self.state.exists() and not self._see(progress):
            return History(ended="interrupted")
        look = Probe(self.tokenizer, self.probe_rows) if self.probe_rows else None

        def keep(history: History) -> None:
            self._keep(history)
            if saved:
                saved(self)

        self.history = train(
            self.model, self.loss, self.recipe, (lambda: look(self.model)) if look else None,
            state=self.state, progress=progress, budget=None if minutes is None else 60 * minutes,
            save_every=60 * save_minutes, saved=keep, until=until,
        )  # fmt: skip
        return self.history

    def _see(self, progress: bool) -> bool:
        """Teach the vision tower, or go on; returns whether it is done."""
        if self.tower is None:
            return True
        seeing = Seeing(self.model, self.tokenizer, self.seed)
        history = train(seeing, seeing.loss, self.tower, state=self.folder / "tower.pt", progress=progress)
        _write_curves(self.folder / "tower.json", history)
        if history.ended == "finished":
            with write_file(self.folder / TOWER) as beside:
                save_file({name: p.detach().cpu() for name, p in seeing.vision.named_parameters()}, beside)
        return history.ended == "finished"

    def longer(self, steps: int = 0) -> None:
        """Go back to before the rates fell, to train on from there.

        Args:
            steps: of the longer run in all; 0 leaves that to the minutes of `train`.
        Raises:
            CheckpointError: that was not kept.
        """
        if not self.before_decay.exists():
            raise CheckpointError(f"{self.before_decay} is not there; only a run whose rates have fallen has it.")
        kept = torch.load(self.before_decay, map_location="cpu", weights_only=True)
        kept["history"]["planned"] = self._planned = steps  # in place of the end that the fall had been timed for
        with write_file(self.state) as beside:
            torch.save(kept, beside)

    def qwen(self) -> Qwen:
        """What has been learnt so far."""
        name = f"nano {self.preset}, {self.history.steps:,} steps"
        qwen = Qwen(self.model, self.config, Provenance("TINY", name, None, "float32", str(self.device), self.seed))
        qwen.tokenizer = self.tokenizer
        return qwen

    def _keep_settings(self) -> None:
        path = self.folder / "run.json"
        words = json.loads(json.dumps(self.settings))
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if differing := [name for name in words if kept.get(name) != words[name]]:
                raise CheckpointError(
                    f"{self.folder} holds a run with other settings ({', '.join(differing)}); choose another folder, "
                    "or pass the settings that are in its run.json."
                )
            return
        with write_file(path) as beside:
            beside.write_text(json.dumps(words, indent=2) + "\n", encoding="utf-8")

    def _keep(self, history: History) -> None:
        """The curves, and the last state with full rates."""
        self.history = history
        _write_curves(self.folder / "curves.json", history)
        if history.steps <= replace(self.recipe, steps=history.planned or self.recipe.steps).full_steps:
            with write_file(self.before_decay) as beside:
                shutil.copyfile(self.state, beside)


def _write_curves(path: Path, history: History) -> None:
    with write_file(path) as beside:
        beside.write_text(json.dumps(rounded(asdict(history))) + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """Numbers of a history to six digits, which is what a curve needs."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value
