"""The nano's world: conversations, pictures and clips that it learns from, made here, from numbers alone.

    from qwen35_lab.nano import world
    sample = world.draw("shapes", seed=0, index=7, split="test")
    sample.messages, sample.questions, sample.images
    world.judge(sample, sample.questions[0], "red")  # "right", "wrong" or "malformed"

What is held out of training, and how, is told in `held_out` and `SPLITS` (dice.py).
"""

from .dice import SPLITS, held_out
from .facts import TRAINED_DISTANCE
from .judge import Verdict, judge, parse_calls, spoken
from .kinds import HARDER_MIX, KINDS, MIX, SEEING_KINDS, TEXT_KINDS, draw, mixed
from .sample import Clip, Message, Picture, Question, Sample
from .tools import execute

__all__ = [
    "HARDER_MIX", "KINDS", "MIX", "SEEING_KINDS", "SPLITS", "TEXT_KINDS", "TRAINED_DISTANCE", "Clip", "Message",
    "Picture", "Question", "Sample", "Verdict", "draw", "execute", "held_out", "judge", "mixed", "parse_calls",
    "spoken",
]  # fmt: skip
