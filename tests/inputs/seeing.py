"""A tiny model with eyes, a tokenizer of bytes with the family's special tokens, and pictures to show it."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from small import DENSE

import qwen35_lab as lab

SPECIAL = ["<|endoftext|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
VISION = {
    "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 24, "patch_size": 4,
    "num_position_embeddings": 16,
}  # fmt: skip
RAW: dict[str, Any] = {
    "model_type": "qwen3_5",
    "text_config": DENSE | {"vocab_size": len(SPECIAL) + 256},
    "vision_config": VISION,
    "image_token_id": 1, "video_token_id": 2, "vision_start_token_id": 3, "vision_end_token_id": 4,
    "tie_word_embeddings": True,
}  # fmt: skip


def tokenizer() -> Any:
    """Every byte is a token, and so is each of the special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {token: n for n, token in enumerate(SPECIAL + letters)}
    made = Tokenizer(models.BPE(words, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=SPECIAL[0], pad_token=SPECIAL[0], additional_special_tokens=SPECIAL[1:]
    )


@torch.no_grad()
def seeing(seed: int = 0, **changes: Any) -> lab.Qwen:
    """A model in which pictures matter."""
    qwen = lab.from_config(RAW | changes, seed)
    draw = torch.Generator().manual_seed(seed)
    for parameter in qwen.model.parameters():
        if parameter.ndim > 1:
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(noise * (1.0 if parameter.ndim > 2 else parameter.shape[-1] ** -0.5))
    qwen.tokenizer = tokenizer()
    return qwen


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(frames(1, height, width, seed)[0])


def frames(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise of 8×8 blocks, so that resizing matters: [frame, row, column, 3]"""
    small = np.random.RandomState(seed).randint(0, 256, (count, -(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return small.repeat(8, 1).repeat(8, 2)[:, :height, :width]
