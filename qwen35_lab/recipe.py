"""What a training run is to do, what it hands on from step to step, and what it has done; `training` runs it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from .errors import InputError


@dataclass(frozen=True)
class Recipe:
    """How to train. Rates are the highest ones."""

    steps: int
    muon_rate: float = 6e-3  # every update of a matrix has a root mean square of about 0.2 times this
    adamw_rate: float = 3e-3
    warmup: int = 20  # steps from 0 to the full rates
    decay: float = 0.4  # share of the steps, at the end, over which the rates fall to 0
    weight_decay: float = 0.01  # of Muon's matrices alone
    clip: float = 1.0  # largest norm of the gradient of all parameters together
    every: int = 25  # steps between evaluations; the state is saved as often
    target: float = math.inf  # an accuracy at which to stop early
    stacked: bool = False  # Muon also for fused experts and the patch kernel, all matrices of one shape at once
    newton_schulz: int = 5  # rounds of Muon's iteration
    tower_rate: float = 1.0  # share of the rates that a vision tower gets; one that can see has little to learn

    def __post_init__(self) -> None:
        for name in ("steps", "every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; pass a whole number, 1 or more.")

    @property
    def full_steps(self) -> int:
        """After so many steps the rates begin to fall."""
        return round((1 - self.decay) * self.steps)

    def rate(self, step: int) -> float:
        """The share of the full rates at a step, counted from 0."""
        rising = (step + 1) / max(self.warmup, 1)
        falling = (self.steps - step) / max(self.decay * self.steps, 1)
        return min(1.0, rising, falling)


@dataclass(frozen=True)
class Loss:
    """A loss with what it is made of, to be drawn."""

    total: Tensor  # a scalar with a gradient
    parts: Mapping[str, Tensor]  # scalars
    tokens: int = 0  # of the batch


@dataclass
class History:
    """What happened, step by step, all sessions of an interrupted run together."""

    losses: list[float] = field(default_factory=list)  # one per step
    accuracies: list[tuple[int, float]] = field(default_factory=list)  # (steps done, accuracy 0 to 1)
    seconds: float = 0.0  # on the clock, evaluations included
    cpu_seconds: float = 0.0  # of this process; with one thread, what the clock says on an idle machine
    ended: str = ""  # "finished", "target reached" or "interrupted"
    parts: dict[str, list[float]] = field(default_factory=dict)  # of the losses, one per step each
    splits: list[tuple[int, dict[str, float]]] = field(default_factory=list)  # accuracies by kinds, if there are any
    tokens: int = 0  # seen
    planned: int = 0  # steps in all, once a run that was given an amount of time knows

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def accuracy(self) -> float:
        """The last one measured; nan if there is none."""
        return self.accuracies[-1][1] if self.accuracies else math.nan

    def __repr__(self) -> str:
        accuracy = f", accuracy {self.accuracy:.1%}" if self.accuracies else ""
        return f"{self.ended or 'running'}: {self.steps} steps in {self.seconds:.0f} s{accuracy}"
