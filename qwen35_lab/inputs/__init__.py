"""What a person has -> the tensors the model takes: text with pictures and videos in it."""

from .processor import Processor
from .video import VideoSettings

__all__ = ["Processor", "VideoSettings"]
