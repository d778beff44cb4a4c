"""The architecture, written to be read. Imports only the config, einops and torch."""

from .cache import Cache, Snapshot
from .mtp import MTPHead, mtp_logits
from .rollback import rewindable
from .taps import Tap, taps
from .text import Output, TextModel

__all__ = ["Cache", "MTPHead", "Output", "Snapshot", "Tap", "TextModel", "mtp_logits", "rewindable", "taps"]
