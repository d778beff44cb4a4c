"""Fine-tuning: what an adapter costs before it is made, and who reads whom before and after."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..analysis.influence import influence_map
from ..errors import InputError
from ..finetune import Cost
from ..trace import Trace
from .deck import Axis, Bars, Curves, Deck, Dial, Heat
from .influence import TAKES
from .words import short


def _size(bytes: int) -> str:
    return f"{short(bytes / 1e9)} GB" if bytes >= 1e9 else f"{short(bytes / 1e6)} MB"


def _percent(cost: Cost) -> float:
    return 100 * cost.share


def _megabytes(cost: Cost) -> float:
    return cost.bytes / 1e6


MEASURES = {"Trained, % of the model": _percent, "Memory beside the weights, MB": _megabytes}


def adapter_deck(
    costs: Mapping[str, Mapping[str, Sequence[Cost]]], ranks: Sequence[int], *, provenance: object
) -> Deck:
    """How much of a model an adapter trains, and what memory that takes beside the weights: choose targets and rank.

    Args:
        costs: model -> choice of targets -> a cost for each rank; every model with the same choices. A choice that a
            model does not have is an empty list.
    Raises:
        InputError: nothing to draw, or models with other choices.
    """
    choices = list(next(iter(costs.values()), {}))
    if not choices or any(list(each) != choices for each in costs.values()):
        raise InputError("Pass for every model the same choices of targets, each with a cost for every rank.")
    gone = [math.nan] * len(ranks)

    def series(number: Callable[[Cost], float]) -> dict[str, Any]:
        rows = {name: [[number(c) for c in each[choice]] or gone for choice in choices] for name, each in costs.items()}
        return {name: torch.tensor(row) for name, row in rows.items()}

    rank = Axis("rank", [str(each) for each in ranks])
    said = []
    for name, each in costs.items():
        every = next(cost for found in each.values() for cost in found).bytes_in_full
        most = max((found[-1].share, choice) for choice, found in each.items() if found)
        said.append(f"{name}: at most {most[0]:.1%} is trained ({most[1]}, rank {ranks[-1]}); all its weights would "
                    f"take {_size(every)}")  # fmt: skip
    here = torch.tensor([  # [targets, rank, model]
        [[_percent(each[choice][n]) if each[choice] else 0.0 for each in costs.values()] for n in range(len(ranks))]
        for choice in choices
    ])  # fmt: skip
    return Deck(
        [
            *(Curves(title, rank, series(of), ("targets",), "rank", log=True) for title, of in MEASURES.items()),
            Bars("Trained at this rank, %", list(costs), {"of the model": here}, ("targets", "rank"), signed=False),
        ],
        [Dial("targets", choices), Dial("rank", ranks, start=len(ranks) // 2)],
        caption="; ".join(said) + ". Memory is the adapter, its gradient and AdamW's two means in float32.",
        provenance=provenance,
    )  # fmt: skip


def influence_before_after(before: Trace, after: Trace, layer: int) -> Deck:
    """M of a DeltaNet layer for one text, in two models, head by head.

    Raises:
        InputError: the texts differ, or q, k, decay or beta was not recorded.
    """
    if before.tokens != after.tokens:
        raise InputError("The two traces read different texts; trace the same one with both models.")
    maps = [influence_map(trace, layer) for trace in (before, after)]  # [head, reader, source]
    moved = (maps[1] - maps[0]).abs().amax((-2, -1))
    head = int(moved.argmax())
    reader, source = divmod(int((maps[1] - maps[0])[head].abs().argmax()), len(before.tokens))
    limit = max(float(each.abs().max()) for each in maps)
    values = [short(float(each[head, reader, source])).replace("-", "−") for each in maps]
    rows, columns = Axis("reading", before.tokens), Axis("read from", before.tokens)
    return Deck(
        [
            Heat(title, each, ("head",), rows, columns, limit=limit, reading=TAKES)
            for title, each in (("Before", maps[0]), ("After", maps[1]))
        ],
        [Dial("head", [str(n) for n in range(len(moved))], start=head)],
        caption=f"Layer {layer}, head {head}, moved most: what token {reader} “{before.tokens[reader]}” reads from "
        f"token {source} “{before.tokens[source]}” went from {values[0]} to {values[1]}.",
        provenance=after.provenance,
    )
