"""The loop inside a conversation: a question may take several answers of the model, with tools between them.

    serving.Dialogue({"here": qwen}, through=looped([calculator]))

So a person can talk to a model that has tools, behind an address as well as in this process, see every step, and stop.
"""

from collections.abc import Iterable
from typing import Any

from ..errors import LabError
from ..inputs import Answer
from ..serving.dialogue import Ask, Through
from .budget import Budget
from .functions import Need
from .loop import run
from .toolbox import Given, Toolbox


def looped(
    tools: Toolbox | Given | Iterable[Given], *, allow: Iterable[Need] = (), budget: Budget | None = None
) -> Through:  # fmt: skip
    """The way of a dialogue from a question to its answer, through tools.

    Args:
        tools, allow, budget: as in `run`; the budget is for each question anew.
    Raises:
        InputError: no tools, where there should be some.
    """
    box = tools if isinstance(tools, Toolbox) else Toolbox(tools, allow=allow)  # type: ignore[arg-type]

    def through(ask: Ask, messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
        failed: list[Exception] = []

        def model(messages: Any, **how: Any) -> Answer:
            try:
                return ask(messages, **how)
            except (LabError, OSError) as error:  # which the loop takes for its end, and a dialogue shows
                failed.append(error)
                raise

        done = run(model, messages, box, budget=budget)
        if failed:
            raise failed[0]
        return done.messages, "" if done.ended == "answered" else f"stopped by the loop: {done.why}"

    return through
