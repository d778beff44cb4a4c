"""Random multimodal models and prompts: text, several images of any shape, videos with their times, in batches."""

from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from model.strategies import configs
from torch import Tensor

IMAGE, VIDEO, BEGIN, END = 1, 2, 3, 4  # token ids; ordinary text has larger ones, padding is 0
FIRST_WORD = 5


@st.composite
def multimodal_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A whole `config.json`: any language model of strategies.py, and a vision tower of any size."""
    text = draw(configs())
    text["vocab_size"] += FIRST_WORD
    heads, merge = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 2, 3]))
    return {
        "model_type": text["model_type"].removesuffix("_text"),
        "text_config": text,
        "vision_config": {
            "depth": draw(st.integers(1, 3)),
            "num_heads": heads,
            "hidden_size": heads * draw(st.sampled_from([4, 8, 12])),
            "intermediate_size": draw(st.integers(1, 20)),
            "out_hidden_size": text["hidden_size"],
            "patch_size": draw(st.sampled_from([1, 2, 3])),
            "temporal_patch_size": draw(st.sampled_from([1, 2])),
            "spatial_merge_size": merge,
            "in_channels": draw(st.sampled_from([1, 3])),
            "num_position_embeddings": draw(st.integers(1, 7)) ** 2,
        },
        "image_token_id": IMAGE,
        "video_token_id": VIDEO,
        "vision_start_token_id": BEGIN,
        "vision_end_token_id": END,
        "tie_word_embeddings": text["tie_word_embeddings"],
    }


@dataclass
class Turn:
    """Some tokens of one row, and the grids of the pictures in them, in patches."""

    ids: list[int] = field(default_factory=list)
    images: list[tuple[int, int, int]] = field(default_factory=list)
    videos: list[tuple[int, int, int]] = field(default_factory=list)


@st.composite
def turns(draw: st.DrawFn, raw: dict[str, Any], most: int = 4) -> Turn:
    """Up to `most` pieces: text, an image, or a video whose frames stand apart. Never empty."""
    merge = raw["vision_config"]["spatial_merge_size"]
    words = st.lists(st.integers(FIRST_WORD, raw["text_config"]["vocab_size"] - 1), max_size=6)
    turn = Turn()
    for _ in range(draw(st.integers(1, most))):
        turn.ids += draw(words)
        kind = draw(st.sampled_from(["text", "image", "image", "video"]))
        rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        if kind == "image":
            turn.images.append((1, rows * merge, columns * merge))
            turn.ids += [BEGIN, *[IMAGE] * (rows * columns), END]
        elif kind == "video":
            frames = draw(st.integers(1, 3))
            turn.videos.append((frames, rows * merge, columns * merge))
            for _ in range(frames):
                turn.ids += [*draw(words), BEGIN, *[VIDEO] * (rows * columns), END]
    turn.ids += [FIRST_WORD, *draw(words)]
    return turn


def tensors(raw: dict[str, Any], rows: list[Turn], side: str = "left", seed: int = 0, dtype=torch.float64) -> dict:
    """What a processor would make of one turn of every row: ids, mask, pixels, grids."""
    longest = max(len(row.ids) for row in rows)
    ids, mask = torch.zeros(2, len(rows), longest, dtype=torch.long)
    for n, row in enumerate(rows):
        here = slice(longest - len(row.ids), None) if side == "left" else slice(0, len(row.ids))
        ids[n, here], mask[n, here] = torch.tensor(row.ids), 1
    vision = raw["vision_config"]
    values = vision["in_channels"] * vision["temporal_patch_size"] * vision["patch_size"] ** 2
    generator = torch.Generator().manual_seed(seed)
    found = {"input_ids": ids, "attention_mask": mask}
    for pixels, name, grids in (
        ("pixel_values", "image_grid_thw", [g for row in rows for g in row.images]),
        ("pixel_values_videos", "video_grid_thw", [g for row in rows for g in row.videos]),
    ):
        if grids:
            found[name] = torch.tensor(grids)
            count = int(found[name].prod(1).sum())
            found[pixels] = torch.randn(count, values, generator=generator, dtype=torch.float64).to(dtype)
    return found


def kinds(ids: Tensor) -> Tensor:
    """mm_token_type_ids, which transformers wants beside the ids."""
    return (ids == IMAGE).long() + 2 * (ids == VIDEO).long()


def joined(rows: list[Turn]) -> Turn:
    """A conversation of one row as one turn."""
    return Turn(*([x for row in rows for x in getattr(row, name)] for name in ("ids", "images", "videos")))
