"""Wrong answers to the exercises of notebook 10."""

from .. import few_bits
from ..verdict import Mistake
from .pairs import listed

RIGHT = (0.28125, 1.0, 1.25, 3.25, 20.0, -96.0, 448.0, 0.005859375)
SMALL = [kind for kind in few_bits.TWELVE if kind not in ("experts", "embeddings and head")]

WRONG: dict[str, tuple[Mistake, ...]] = {
    "10.1": (
        *listed(few_bits.HAND_MISTAKES),
        Mistake("7 of 8 are right. Around 3.3 the numbers of e4m3 are 0.25 apart", [*RIGHT[:3], 3.5, *RIGHT[4:]]),
        Mistake("you have 7; write one for each", list(RIGHT[:7])),
        Mistake("Write a list of 8 numbers", "0.3"),
    ),
    "10.2": (
        *few_bits.QUANTISE_MISTAKES,
        Mistake("a block of zeros becomes NaN", lambda w, block: _plain(w, block)),
        Mistake("return the 2 tensors", lambda w, block: few_bits.quantise(w, block)[0]),
    ),
    "10.3": (
        Mistake("Leave out `", list(few_bits.TWELVE)),
        Mistake("Leave out `", SMALL),
        Mistake("saves too little: `shared expert`", ["attention q"]),
        Mistake("no 'head' among the twelve", ["head"]),
        Mistake("Write a list of names", "experts"),
    ),
}


def _plain(w, block):
    """As most would write it first."""
    scale = few_bits._tiles(w, block).abs().amax((1, 3)) / 127
    return (w / scale.repeat_interleave(block, 0).repeat_interleave(block, 1)).round(), scale
