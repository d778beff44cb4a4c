"""Exercises with checkers that say what is wrong.

lab.check("02.1", rms_norm_1p)                   # a function: tried on random inputs
broken = lab.exercises.plant(qwen, seed=1)
lab.check("02.2", "layers.0.mixer.q", given=broken)   # an answer about something given
"""

from .delta_rule import CHECKS as DELTA_RULE
from .deltanet import CHECKS as DELTANET
from .drafting import CHECKS as DRAFTING
from .forward_pass import CHECKS as FORWARD_PASS
from .planted import plant
from .pricing import CHECKS as PRICING
from .snapshots import CHECKS as SNAPSHOTS
from .verdict import Verdict, run_check
from .vision import CHECKS as VISION

CHECKS = {**FORWARD_PASS, **DELTA_RULE, **DELTANET, **VISION, **SNAPSHOTS, **DRAFTING, **PRICING}


def check(exercise: str, answer: object, given: object = None) -> Verdict:
    """Judge an answer. The verdict is true if it is right, and says why not if it is not; it raises nothing.

    Args:
        exercise: its number, "02.1".
        answer: what the exercise asks for: a function, a name, a list.
        given: the object the exercise is about, where there is one.
    Raises:
        InputError: there is no such exercise.
    """
    return run_check(CHECKS, exercise, answer, given)


__all__ = ["CHECKS", "Verdict", "check", "plant"]
