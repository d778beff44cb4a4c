"""A nano that trains in no time, and rows for it to read."""

from typing import Any

from qwen35_lab import nano
from qwen35_lab.model import MultimodalModel, build
from qwen35_lab.nano.shape import Shape, config_of, initialise_nano

TINY = Shape(32, 4, 4, 2, 16, 16, 16, (2, 1, 1), 8, 16, 1, key=8)


def tiny(tokenizer: Any, seed: int = 0) -> MultimodalModel:
    model = build(config_of(TINY, tokenizer))
    assert isinstance(model, MultimodalModel)
    return initialise_nano(model, seed)


def texts(tokenizer: Any, step: int = 0, **how: Any) -> nano.Batch:
    return nano.batch(tokenizer, step, rows=2, length=300, **how)
