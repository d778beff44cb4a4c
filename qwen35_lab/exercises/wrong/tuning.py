"""Wrong answers to the exercises of notebook 15."""

import tempfile
from functools import cache
from pathlib import Path

from ...qwen import Qwen, load
from ..broken_file import break_file
from ..tuning import LORA_MISTAKES, NAME_MISTAKES
from ..verdict import Mistake


@cache
def _broken() -> Qwen:
    """The convolution of a layer of the recall model runs backwards."""
    with tempfile.TemporaryDirectory() as folder:
        return break_file(load("recall"), Path(folder, "broken"), seed=2)


FILES = (
    Mistake("The right layer", ("layers.0.mixer.norm.weight", "reversed"), _broken),
    Mistake("the fault comes earlier", ("layers.3.mixer.q_proj.weight", "reversed"), _broken),
    Mistake("but it is not transposed", ("layers.0.mixer.conv.weight", "transposed"), _broken),
    Mistake("did you mean `layers.0.mixer.conv.weight`?", ("layers.0.mixer.conv", "reversed"), _broken),
    Mistake("the words are halves swapped", ("layers.0.mixer.conv.weight", "backwards"), _broken),
    Mistake("Answer with a pair", "layers.0.mixer.conv.weight", _broken),
)

WRONG: dict[str, tuple[Mistake, ...]] = {
    "15.1": (*LORA_MISTAKES, Mistake("returns nothing yet", lambda x, W, A, B, alpha: None)),
    "15.2": (
        *NAME_MISTAKES,
        Mistake("return a list of names", lambda names: "model.language_model."),
        Mistake("return one for each", lambda names: names[:1]),
    ),
    "15.3": FILES,
}
