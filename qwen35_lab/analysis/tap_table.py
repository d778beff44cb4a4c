"""All taps of a model in one table: what can be recorded and edited, with axes, sizes and meaning.

`docs/taps.md` is made from it (`qwen35-lab taps --markdown`), and a test keeps the two in step.
"""

import re

import torch

from ..config import FULL, LINEAR
from ..family import load_config
from ..model import Tap, TextModel, build, taps
from .table import Table

EXAMPLE = "Qwen3.5-35B-A3B"  # has every kind of tap
HEADERS = ("tap", "axes", "formed", "meaning")
DENSE = "`layers.N.ffn.out` is the only tap of a dense feed-forward."
MTP = """The MTP head's own layer has the taps of a gated attention layer, as `mtp.layers.0`. The head runs while
drafting, and in a trace of which a pattern begins with `mtp`; there it has one slot less than there are tokens."""
ABOUT = f"""# Taps: every value has a name

A tap is a place in the forward pass whose value can be recorded (`qwen.trace(prompt, record=["layers.*.mixer.beta"])`)
and edited (`lab.edit("layers.0.mixer.beta", token=5, head=2).scale(0)`) by its name. Names are globs there; N is the
number of a layer. Axes are named as in `trace[name].axes`, without the batch; sizes are those of {EXAMPLE}, in
a pass over T tokens, and pictures of P patches. What is formed *when asked for* costs extra time and memory: a pattern
that ends in `*` does not match it. {DENSE}
{MTP}

This page is made by `qwen35-lab taps --markdown`.
"""
KINDS = {LINEAR: "Gated DeltaNet layers", FULL: "gated attention layers"}


def tap_table(model: TextModel, caption: str = "") -> Table:
    """One row per kind of tap, from the embedding to the logits.

    Layers of one kind have the same taps, so each kind appears once, as `layers.N`.
    """
    rows: dict[str, tuple[str, ...]] = {}
    for name, tap in in_order(model):
        rows.setdefault(generic(model, name), (axes_of(tap), "when asked for" if tap.lazy else "always", tap.meaning))
    return Table(HEADERS, tuple((name, *row) for name, row in rows.items()), "<<<<", caption)


def in_order(model: TextModel) -> list[tuple[str, Tap]]:
    """All taps with their names, from the embedding to the logits."""
    places = ("embed", "input", "mixer", "after_mixer", "ffn", "output", "final", "logits")
    mtp = ("embed_norm", "hidden_norm", "joined", "layers", "final", "logits")

    tower = ("patches", "positions", "blocks", "merged")
    seen = ("input", "attention", "after_attention", "mlp", "output")

    def place(pair: tuple[str, Tap]) -> tuple[int, ...]:
        words = pair[0].split(".")
        if words[0] == "vision":
            block, step = (int(words[2]), seen.index(words[3])) if words[1] == "blocks" else (0, 0)
            return -2, tower.index(words[1]), block, step
        if words[0] == "mtp":
            inside = places.index(words[3]) if words[1] == "layers" else 0
            return len(model.layers) + 1, mtp.index(words[1]), inside
        if words[0] == "layers":
            return int(words[1]), places.index(words[2])
        return (-1, 0) if words[0] == "embed" else (len(model.layers), places.index(words[0]))

    return sorted(taps(model), key=place)


def generic(model: TextModel, name: str) -> str:
    """layers.3.mixer.k -> "layers.N.mixer.k (F)": the mixers of the two kinds of layer have other taps."""
    name = re.sub(r"^vision\.blocks\.\d+", "vision.blocks.N", name)
    if not (match := re.match(r"(mtp\.)?layers\.(\d+)\.(.*)", name)):
        return name
    kind = {LINEAR: "L", FULL: "F"}[FULL if match[1] else model.config.layer_types[int(match[2])]]
    return f"layers.N.{match[3]}" + (f" ({kind})" if match[3].startswith("mixer.") else "")


def axes_of(tap: Tap) -> str:
    """token T × head 32 × value 128"""
    grow = {"token": "T", "query": "T", "key": "T", "patch": "P", "seen_patch": "P", "cell": "P/4"}
    return " × ".join(f"{axis} {tap.sizes.get(axis, grow.get(axis, ''))}" for axis in tap.axes if axis != "batch")


def page() -> str:
    """The text of docs/taps.md."""
    with torch.device("meta"):
        table = tap_table(build(load_config(EXAMPLE)))
    lines = [ABOUT, "(L): " + KINDS[LINEAR] + ", (F): " + KINDS[FULL] + ".", ""]
    lines += ["| " + " | ".join(table.headers) + " |", "|---" * len(table.headers) + "|"]
    lines += [f"| `{name.split()[0]}`{name[len(name.split()[0]) :]} | {' | '.join(row)} |" for name, *row in table.rows]
    return "\n".join(lines) + "\n"
