"""Documents side by side in rows of one length, as tensors for a trainer.

    texts = batch(tokenizer, step=0, rows=8, length=512)
    logits = model(**texts.inputs())
    loss over texts.targets, weighted by texts.weight[:, 1:]

**Does anything leak from one document into the next of its row?** Positions begin again at 0 with each document. But
a model that reads a row from end to end carries its DeltaNet states and its convolutions on, and attends to the
documents before: that is a leak, harmless to learn with in the prototype, and not how a model is asked later. Two ways
out: `starts` tells a model that can do so where to begin afresh; `alone=True` puts one document in each row.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .patches import PATCHING, Patching, as_floats
from .render import WEIGHTS, Document, Weights, render
from .world import MIX, mixed

PATIENCE = 8  # documents in succession that fit no row any more, before the rows count as full
SAMPLES_PER_STEP = 2**16


@dataclass(frozen=True)
class Batch:
    """Rows of documents. Tensors are [row, token] unless the comment says otherwise; padding is 0, but in ids.

    Pictures and clips are in the order of their placeholders, row by row.
    """

    ids: Tensor  # int64; `<|endoftext|>` after the last document
    weight: Tensor  # float32: what predicting this token counts in the loss
    answer: Tensor  # int64: n, this token answers the row's question n, counted from 1; else 0
    document: Tensor  # int64: number of the document in its row, counted from 1; 0 is padding
    modality: Tensor  # int64: 0 text, 1 picture, 2 clip, as in transformers' `mm_token_type_ids`
    position_ids: Tensor  # int64 [3, row, token]: time, height, width
    image_patches: Tensor  # uint8 [patch, feature]
    image_grid_thw: Tensor  # int64 [picture, 3]: time, height, width in patches
    clip_patches: Tensor  # uint8 [patch, feature]
    video_grid_thw: Tensor  # int64 [clip, 3]
    kinds: tuple[tuple[str, ...], ...]  # of every document, row by row
    left_out: Mapping[str, int]  # documents drawn but not placed, by kind: no row had room for them

    @property
    def targets(self) -> Tensor:
        """What is predicted, [row, token − 1]: from `ids[:, :-1]`, counting `weight[:, 1:]`."""
        return self.ids[:, 1:]

    @property
    def starts(self) -> Tensor:
        """Bool: the first token of a document."""
        before = torch.cat((torch.zeros_like(self.document[:, :1]), self.document[:, :-1]), 1)
        return (self.document != before) & (self.document > 0)

    @property
    def attention_mask(self) -> Tensor:
        """int64: 0 at padding."""
        return (self.document > 0).long()

    def inputs(self) -> dict[str, Tensor]:
        """What a multimodal model of this package or of transformers is called with."""
        seen: dict[str, Tensor] = {}
        if len(self.image_grid_thw):
            seen |= {"pixel_values": as_floats(self.image_patches), "image_grid_thw": self.image_grid_thw}
        if len(self.video_grid_thw):
            seen |= {"pixel_values_videos": as_floats(self.clip_patches), "video_grid_thw": self.video_grid_thw}
        text = {"input_ids": self.ids, "attention_mask": self.attention_mask, "position_ids": self.position_ids}
        return text | seen

    def to(self, device: torch.device | str) -> "Batch":
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: v.to(device) for name, v in moved.items() if isinstance(v, Tensor)})


def batch(
    tokenizer: Any,
    step: int,
    seed: int = 0,
    *,
    rows: int = 8,
    length: int = 512,
    split: str = "train",
    mix: Mapping[str, float] = MIX,
    alone: bool = False,
    patching: Patching = PATCHING,
    weights: Weights = WEIGHTS,
) -> Batch:
    """The rows of one training step: the same for the same arguments, on every machine.

    Args:
        step: decides, with the seed, which samples; no two steps share one.
        length: of a row in tokens. A longer document is left out and counted in `Batch.left_out`.
        alone: one document per row.
    """
    samples = (mixed(seed, step * SAMPLES_PER_STEP + n, split, mix) for n in count())
    documents = (render(sample, tokenizer, patching, weights) for sample in samples)
    return pack(documents, rows, length, pad=tokenizer.pad_token_id, alone=alone, patching=patching)


def pack(
    documents: Iterable[Document],
    rows: int,
    length: int,
    *,
    pad: int,
    alone: bool = False,
    patching: Patching = PATCHING,
) -> Batch:
    """Put documents where they first fit, until nothing more does (or they end), and stack them.

    Short documents fit last gaps more often than long ones, so their share is a little larger than it was drawn.

    Raises:
        InputError: not a single document fits.
    """
    placed, left_out = _place(iter(documents), rows, length, alone)
    if not any(placed):
        raise InputError(f"No document fits a row of {length} tokens; choose longer rows.")
    width = max(sum(map(len, row)) for row in placed) if alone else length

    return Batch(
        _stacked(placed, width, "ids", pad),
        _stacked(placed, width, "weight", dtype=np.float32),
        _answers(placed, rows, width),
        _numbers(placed, rows, width),
        _stacked(placed, width, "modality"),
        _positions(placed, rows, width),
        *_seen(placed, "image", patching),
        *_seen(placed, "clip", patching),
        tuple(tuple(document.kind for document in row) for row in placed),
        dict(left_out),
    )


def _place(
    documents: Iterator[Document], rows: int, length: int, alone: bool
) -> tuple[list[list[Document]], Counter[str]]:  # fmt: skip
    placed: list[list[Document]] = [[] for _ in range(rows)]
    room = [length] * rows
    left_out: Counter[str] = Counter()
    missed = 0
    while missed < PATIENCE and max(room) > 0 and (document := next(documents, None)):
        row = next((n for n in range(rows) if room[n] >= len(document)), None)
        if row is None:
            left_out[document.kind] += 1
            missed += 1
            continue
        placed[row].append(document)
        room[row] = 0 if alone else room[row] - len(document)
        missed = 0
    return placed, left_out


def _stacked(placed: list[list[Document]], width: int, name: str, fill: int = 0, dtype: Any = np.int64) -> Tensor:
    """An array of all documents, [row, token]."""
    table = np.full((len(placed), width), fill, dtype)
    for n, row in enumerate(placed):
        if row:
            joined = np.concatenate([getattr(document, name) for document in row])
            table[n, : len(joined)] = joined
    return torch.from_numpy(table)


def _numbers(placed: list[list[Document]], rows: int, width: int) -> Tensor:
    table = torch.zeros(rows, width, dtype=torch.long)
    for n, row in enumerate(placed):
        numbers = torch.arange(1, len(row) + 1).repeat_interleave(torch.tensor([len(d) for d in row], dtype=torch.long))
        table[n, : len(numbers)] = numbers
    return table


def _answers(placed: list[list[Document]], rows: int, width: int) -> Tensor:
    """Numbered on through the row."""
    table = torch.zeros(rows, width, dtype=torch.long)
    for n, row in enumerate(placed):
        start = asked = 0
        for document in row:
            answer = torch.from_numpy(document.answer)
            table[n, start : start + len(document)] = torch.where(answer > 0, answer + asked, 0)
            start, asked = start + len(document), asked + int(answer.max())
    return table


def _positions(placed: list[list[Document]], rows: int, width: int) -> Tensor:
    table = torch.zeros(3, rows, width, dtype=torch.long)
    for n, row in enumerate(placed):
        start = 0
        for document in row:
            table[:, n, start : start + len(document)] = torch.from_numpy(document.positions)
            start += len(document)
    return table


def _seen(placed: list[list[Document]], what: str, patching: Patching) -> tuple[Tensor, Tensor]:
    """All patches and grids."""
    documents = [document for row in placed for document in row]
    patches = [each for document in documents for each in getattr(document, f"{what}_patches")]
    grids = [each for document in documents for each in getattr(document, f"{what}_grids")]
    none = np.zeros((0, 3 * patching.frames * patching.patch**2), np.uint8)
    return torch.from_numpy(np.concatenate([none, *patches])), torch.tensor(grids, dtype=torch.long).reshape(-1, 3)
