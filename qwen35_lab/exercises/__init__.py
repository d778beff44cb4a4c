"""Exercises with checkers that say what is wrong.

    lab.check("02.1", rms_norm_1p)  # a function: tried on random inputs
    broken = lab.exercises.plant(qwen, seed=1)
    lab.check("02.2", "layers.0.mixer.q", given=broken)  # an answer about something given

What is passed, tried, and not yet, in all notebooks, says `lab.progress()`.
"""

from pathlib import Path

from .active import CHECKS as ACTIVE
from .agents import CHECKS as AGENTS
from .broken_file import CHECKS as BROKEN_FILE
from .broken_file import WORDS as FAULTS
from .broken_file import break_file
from .by_hand import CHECKS as BY_HAND
from .certificate import write_certificate
from .cost import CHECKS as COST
from .delta_rule import CHECKS as DELTA_RULE
from .deltanet import CHECKS as DELTANET
from .drafting import CHECKS as DRAFTING
from .experts import CHECKS as EXPERTS
from .few_bits import CHECKS as FEW_BITS
from .fitting import CHECKS as FITTING
from .forward_pass import CHECKS as FORWARD_PASS
from .long_documents import CHECKS as LONG_DOCUMENTS
from .patching import CHECKS as PATCHING
from .planted import plant
from .pricing import CHECKS as PRICING
from .progress import Progress, progress_of
from .record import note
from .rope import CHECKS as ROPE
from .serving import CHECKS as SERVING
from .snapshots import CHECKS as SNAPSHOTS
from .streams import CHECKS as STREAMS
from .tuning import CHECKS as TUNING
from .verdict import Verdict, run_check
from .vision import CHECKS as VISION
from .waiting import CHECKS as WAITING
from .words import CHECKS as WORDS
from .wrong import WRONG

CHECKS = {
    **FITTING, **WORDS, **BY_HAND, **FORWARD_PASS, **DELTA_RULE, **DELTANET, **ROPE, **SERVING, **COST, **EXPERTS,
    **ACTIVE, **VISION, **SNAPSHOTS, **DRAFTING, **FEW_BITS, **PRICING, **STREAMS, **WAITING, **AGENTS, **PATCHING,
    **LONG_DOCUMENTS, **TUNING, **BROKEN_FILE,
}  # fmt: skip


def check(exercise: str, answer: object, given: object = None) -> Verdict:
    """Judge an answer. The verdict is true if it is right, and says why not if it is not; it raises nothing.

    It is noted for the page of `progress`, on this machine only; a stub that is not filled in yet is not.

    Args:
        exercise: its number, "02.1".
        answer: what the exercise asks for: a function, a name, a list.
        given: the object the exercise is about, where there is one.
    Raises:
        InputError: there is no such exercise.
    """
    verdict = run_check(CHECKS, exercise, answer, given)
    note(verdict, answer)
    return verdict


def check_solution(exercise: str, solution: object, given: object = None) -> Verdict:
    """Judge the solution that a notebook comes with: it must be right, and is not noted as the learner's.

    What a cell does, not how it is tagged, tells the two apart: a checker sees neither tags nor cells, and *Run All*
    runs the folded solutions as well. A solution that is copied into the stub is judged, and noted, as an answer.

    Raises:
        AssertionError: it is wrong.
        InputError: there is no such exercise.
    """
    verdict = run_check(CHECKS, exercise, solution, given)
    assert verdict, verdict
    return verdict


def certificate(verdict: Verdict, path: str | Path, name: str = "") -> Path:
    """Write a page that says what a passed exercise found, and how far you are in the others: one HTML file.

    Raises:
        InputError: the verdict is no pass, or what was recorded cannot be read.
        CheckpointError: the file cannot be written.
    """
    return write_certificate(verdict, progress(), path, name)


def progress() -> Progress:
    """The page that says which exercises are passed, tried, or not yet.

    Raises:
        InputError: what was recorded cannot be read.
    """
    return progress_of(CHECKS)


__all__ = [
    "CHECKS",
    "FAULTS",
    "WRONG",
    "Progress",
    "Verdict",
    "break_file",
    "certificate",
    "check",
    "check_solution",
    "plant",
    "progress",
]  # fmt: skip
