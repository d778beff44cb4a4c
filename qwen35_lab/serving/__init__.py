"""A model behind an address: a client for every server of the OpenAI chat protocol, and a server on this machine."""

from .client import ENGINES, Client
from .commands import Command, serve_command
from .dialogue import Dialogue, Turn
from .events import EventParser
from .local import LocalServer, serve
from .stream import Clock, Reply, Usage

__all__ = [
    "ENGINES", "Client", "Clock", "Command", "Dialogue", "EventParser", "LocalServer", "Reply", "Turn",
    "Usage", "serve", "serve_command",
]  # fmt: skip
