"""A sample of the world -> what a model reads, and what it is to learn from it.

A document is the conversation as the chat template writes it, with as many placeholders as a picture has tokens. The
loss is on what the assistant says: thinking, words, tool calls, and the marker that ends its turn.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.positions import IMAGE, TEXT, VIDEO, mrope_positions
from ..model.vision import Grid
from .encode import encode
from .patches import PATCHING, Patching
from .template import IMAGE as IMAGE_PAD
from .template import VIDEO as VIDEO_PAD
from .template import Piece, pieces
from .world import Question, Sample


@dataclass(frozen=True)
class Weights:
    """What predicting a token counts in the loss.

    A stretch of n tokens that the assistant says or thinks counts n^−power per token. With 0 long ones drown the short,
    with 1 all stretches count the same; a half is what the prototype trained with.
    """

    power: float = 0.5
    end: float = 0.1  # the marker that ends a turn
    given: float = 0.0  # text that others have said; never placeholders


WEIGHTS = Weights()


@dataclass(frozen=True)
class Document:
    """One conversation. Arrays are [token] unless the comment says otherwise."""

    kind: str
    ids: NDArray[np.int64]
    weight: NDArray[np.float32]  # what predicting this token, from those before it, counts; the first one's is 0
    answer: NDArray[np.int64]  # n: this token is said in answer to question n, counted from 1; else 0
    modality: NDArray[np.int8]  # 0 text, 1 picture, 2 clip
    positions: NDArray[np.int64]  # [3, token]: time, height, width
    image_patches: list[NDArray[np.uint8]]  # one [patch, feature] per picture
    image_grids: list[Grid]
    clip_patches: list[NDArray[np.uint8]]
    clip_grids: list[Grid]

    def __len__(self) -> int:
        return len(self.ids)


def render(sample: Sample, tokenizer: Any, patching: Patching = PATCHING, weights: Weights = WEIGHTS) -> Document:
    """The whole conversation, answers included.

    Args:
        tokenizer: of `train_tokenizer`, or as AutoTokenizer loads it.
    """
    said = pieces(sample.messages, sample.tools, thinking=sample.thinking)
    turns = {question.turn: n for n, question in enumerate(sample.questions, 1)}
    return _document(sample, said, turns, tokenizer, patching, weights)


def render_prompt(sample: Sample, question: Question, tokenizer: Any, patching: Patching = PATCHING) -> Document:
    """The conversation up to where the model is to answer a question; nothing in it has a weight."""
    said = pieces(sample.prompt(question), sample.tools, thinking=sample.thinking, prompt=True)
    return _document(sample, said, {}, tokenizer, patching, None)


def _document(
    sample: Sample, said: Sequence[Piece], turns: dict[int, int], tokenizer: Any, patching: Patching,
    weights: Weights | None,
) -> Document:  # fmt: skip
    images, clips = ([patching.cut(each) for each in seen] for seen in (sample.images, sample.clips))
    image_grids, clip_grids = ([grid for _, grid in cut] for cut in (images, clips))
    ids: list[int] = []
    weight: list[float] = []
    answer: list[int] = []
    for piece, text in zip(said, _expanded(said, image_grids, clip_grids, patching), strict=True):
        more = encode(tokenizer, text)
        ids += more
        weight += [_weight(piece, len(more), weights)] * len(more)
        answer += [turns.get(piece.turn, 0) if piece.part == "spoken" else 0] * len(more)
    tokens = np.array(ids, np.int64)
    modality = np.zeros(len(ids), np.int8)
    counts = np.array(weight, np.float32)
    for mark, number, grids in ((IMAGE_PAD, IMAGE, image_grids), (VIDEO_PAD, VIDEO, clip_grids)):
        if grids:
            modality[tokens == encode(tokenizer, mark)[0]] = number
    counts[modality != TEXT] = counts[0] = 0
    return Document(
        sample.kind, tokens, counts, np.array(answer, np.int64), modality,
        _positions(modality, image_grids, clip_grids, patching),
        [patches for patches, _ in images], image_grids, [patches for patches, _ in clips], clip_grids,
    )  # fmt: skip


def _positions(
    modality: NDArray[np.int8], images: Sequence[Grid], clips: Sequence[Grid], patching: Patching
) -> NDArray[np.int64]:
    """Time, height and width of every token, [3, token]."""
    pictures, films = ([patching.cells(grid) for grid in grids] for grids in (images, clips))
    kinds = torch.from_numpy(modality.astype(np.int64))[None]
    return mrope_positions(kinds, None, pictures, films, torch.zeros(1, dtype=torch.long))[:, 0].numpy()


def _weight(piece: Piece, tokens: int, weights: Weights | None) -> float:
    """Of each token of a piece."""
    if weights is None:
        return 0.0
    if piece.part in ("thinking", "spoken"):
        return max(tokens, 1) ** -weights.power
    return weights.end if piece.part == "end" else weights.given


def _expanded(said: Sequence[Piece], images: list[Grid], clips: list[Grid], patching: Patching) -> list[str]:
    """The pieces' texts, every placeholder as often as its picture has tokens."""
    texts = [piece.text for piece in said]
    for mark, grown in (
        (IMAGE_PAD, [patching.image_text(grid) for grid in images]),
        (VIDEO_PAD, [patching.clip_text(grid) for grid in clips]),
    ):
        turn = iter(grown)
        if grown:
            texts = [re.sub(re.escape(mark), lambda _: next(turn), text) for text in texts]  # noqa: B023
    return texts
