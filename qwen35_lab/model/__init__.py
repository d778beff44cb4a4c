"""The architecture, written to be read. Imports only the config, einops and torch."""

from .cache import Cache, Snapshot
from .taps import Tap, taps
from .text import Output, TextModel

__all__ = ["Cache", "Output", "Snapshot", "Tap", "TextModel", "taps"]
