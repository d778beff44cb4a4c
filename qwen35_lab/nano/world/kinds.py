"""The kinds of sample, and how to draw one.

sample = draw("shapes", seed=0, index=7)            # the same on every machine
sample = draw("facts", 0, 7, "test", distance=(96, 96))
sample = mixed(seed=0, index=7)                     # of a kind drawn by `MIX`
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import InputError
from .arithmetic import arithmetic
from .charts import charts
from .clips import clips
from .dice import Dice, dice
from .digits import digits
from .facts import facts
from .records import records
from .sample import Sample
from .scripts import scripts
from .shapes import shapes
from .snippets import snippets
from .story import story
from .tools import tools

# A kind's place decides its dice: add new ones at the end.
KINDS: dict[str, Callable[..., Sample]] = {
    "story": story, "scripts": scripts, "facts": facts, "arithmetic": arithmetic, "code": snippets,
    "json": records, "tools": tools, "shapes": shapes, "digits": digits, "charts": charts, "clips": clips,
}  # fmt: skip
TEXT_KINDS = ("story", "scripts", "facts", "arithmetic", "code", "json", "tools")
SEEING_KINDS = ("shapes", "digits", "charts", "clips")
THOUGHTFUL = 0.06  # share of samples that get a thought where their kind has none
_ANY = 255  # the dice that choose a kind

# Share of each kind among samples: half of them have something to see. A place to start from, not a measurement.
MIX: Mapping[str, float] = {
    "story": 0.08, "scripts": 0.06, "facts": 0.15, "arithmetic": 0.08, "code": 0.05, "json": 0.04, "tools": 0.05,
    "shapes": 0.22, "digits": 0.10, "charts": 0.06, "clips": 0.11,
}  # fmt: skip
# With `MIX` throughout, 23.4 M tokens left stories at 0 % and arithmetic at 44 %, while digits and charts were above
# 98 %: after the first third, what is known gives way to what is not.
HARDER_MIX: Mapping[str, float] = {
    "story": 0.20, "scripts": 0.03, "facts": 0.14, "arithmetic": 0.15, "code": 0.03, "json": 0.02, "tools": 0.05,
    "shapes": 0.20, "digits": 0.03, "charts": 0.02, "clips": 0.13,
}  # fmt: skip


def draw(kind: str, seed: int, index: int, split: str = "train", **dials: Any) -> Sample:
    """One sample: the same for the same arguments, on every machine.

    Args:
        seed: 0 to 2³¹ − 1.
        index: 0 to 2⁴⁰ − 1.
        split: "train", "valid", "test" or "seen". No two share a sample's dice; "valid" and "test" hold constructions
            that "train" and "seen" never show (`dice.held_out` says which).
        dials: of the kind: `distance=(least, most)` of facts, `digits=` of arithmetic.
    Raises:
        InputError: there is no such kind or split, or a number is out of range.
    """
    if kind not in KINDS:
        raise InputError(f"There is no kind {kind!r}; choose one of {', '.join(KINDS)}.")
    chance = dice(seed, split, list(KINDS).index(kind), index)
    return _thoughtful(chance, KINDS[kind](chance, split in ("valid", "test"), **dials))


def _thoughtful(chance: Dice, sample: Sample) -> Sample:
    """Now and then a last answer is thought about, whatever the kind, so that every kind may be asked either way."""
    if sample.thinking or sample.tools or not chance.chance(THOUGHTFUL):
        return sample
    thought = "I look at the picture." if sample.images else "I watch the clip." if sample.clips else "I read it again."
    last = sample.messages[-1] | {"reasoning_content": thought}
    return replace(sample, messages=[*sample.messages[:-1], last], thinking=True)


def mixed(seed: int, index: int, split: str = "train", mix: Mapping[str, float] = MIX) -> Sample:
    """One sample of a kind drawn by shares, which need not sum to one."""
    return draw(_choose(dice(seed, split, _ANY, index), mix), seed, index, split)


def _choose(chance: Dice, mix: Mapping[str, float]) -> str:
    if not mix or min(mix.values()) < 0 or not sum(mix.values()) > 0:
        raise InputError(f"The mix {dict(mix)} has no shares to draw by; give each kind a share, 0 or more.")
    left = chance.number() * sum(mix.values())
    for kind, share in mix.items():
        left -= share
        if left < 0:
            return kind
    return max(mix, key=mix.__getitem__)  # rounding
