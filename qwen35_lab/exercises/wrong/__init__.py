"""The wrong answers that each checker must recognise, with its words for them; a test hands them all in.

Where a checker compares with known mistakes these are listed beside it. Here are the others too: answers that are no
functions, and what is found by a rule of the checker's own.
"""

from . import agents, costs, layers, machines

WRONG = dict(sorted({**layers.WRONG, **costs.WRONG, **machines.WRONG, **agents.WRONG}.items()))

__all__ = ["WRONG"]
