"""The wrong answers that each checker must recognise, with its words for them; a test hands them all in.

Where a checker compares with known mistakes these are listed beside it. Here are the others too: answers that are no
functions, and what is found by a rule of the checker's own.
"""

from . import agents, costs, layers, machines, numbers, tuning

_ALL = {**layers.WRONG, **costs.WRONG, **machines.WRONG, **numbers.WRONG, **agents.WRONG, **tuning.WRONG}
WRONG = dict(sorted(_ALL.items()))

__all__ = ["WRONG"]
