"""The architecture, written to be read. Imports only the config, einops and torch."""

from ..config import ModelConfig
from .cache import Cache, Snapshot
from .mtp import MTPHead, mtp_logits
from .multimodal import MultimodalModel
from .rollback import rewindable
from .taps import Tap, taps
from .text import Output, TextModel
from .undrawn import undrawn_on_meta

__all__ = [
    "Cache", "MTPHead", "MultimodalModel", "Output", "Snapshot", "Tap", "TextModel", "build", "mtp_logits",
    "rewindable", "taps",
]  # fmt: skip


def build(config: ModelConfig) -> TextModel:
    """The model of a config, with eyes if the config has them. Its weights are as PyTorch makes them."""
    with undrawn_on_meta():
        return TextModel(config.text) if config.vision is None else MultimodalModel(config)
