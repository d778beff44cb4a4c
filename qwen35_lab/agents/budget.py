"""What a loop may spend, and what it has spent."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Budget:
    """Limits of one run of the loop; each ends it, and none raises an error.

    Attributes: `steps`, answers of the model; `calls`, of tools; `tokens`, that the model writes in all, and
    `tokens_per_step`; `seconds`, looked at between two steps; `same`, how often a call with the same arguments is run;
    `slips`, answers in a row that are of no use (no call in them comes to a result, a thought has no end).
    """

    steps: int = 8
    calls: int = 16
    tokens: int = 4096
    tokens_per_step: int = 512
    seconds: float = 120.0
    same: int = 2
    slips: int = 3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            whole = name != "seconds"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value >= whole:
                raise InputError(f"{name} is {value!r}; pass {'a whole number, 1 or more' if whole else 'a number'}.")


@dataclass
class Spent:
    """The other side of a `Budget`. `clock` gives seconds."""

    budget: Budget
    clock: Callable[[], float] = time.monotonic
    steps: int = 0
    calls: int = 0
    tokens: int = 0
    slips: int = 0
    made: dict[str, int] = field(default_factory=dict)  # call -> how often it was run
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def seconds(self) -> float:
        return self.clock() - self.began

    @property
    def room(self) -> int:
        """Tokens that the next answer may have."""
        return min(self.budget.tokens_per_step, self.budget.tokens - self.tokens)

    def over(self) -> str:
        """The limit that is reached, by its name; "" while the loop may go on."""
        reached: dict[str, Any] = {
            "slips": self.slips >= self.budget.slips, "steps": self.steps >= self.budget.steps,
            "tokens": self.room < 1, "seconds": self.seconds > self.budget.seconds,
        }  # fmt: skip
        return next((name for name, is_it in reached.items() if is_it), "")
