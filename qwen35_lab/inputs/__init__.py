"""What a person has -> the tensors the model takes: texts and chats with pictures in them; and what it says, read."""

from .answer import Answer, AnswerParser, Piece, parse_answer
from .calls import ToolCall
from .chat import Conversation, as_schemas, write_chat
from .image import ImageSettings, image_size
from .processor import Processor
from .video import VideoSettings
from .vocabularies import Vocabulary, vocabulary

__all__ = [
    "Answer", "AnswerParser", "Conversation", "ImageSettings", "Piece", "Processor", "ToolCall", "VideoSettings",
    "Vocabulary", "as_schemas", "image_size", "parse_answer", "vocabulary", "write_chat",
]  # fmt: skip
