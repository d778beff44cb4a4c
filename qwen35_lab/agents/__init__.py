"""Agents: tools from typed functions, the loop of asking and running, and JSON that a schema constrains.

run = lab.agents.run(qwen, "What is 4391 * 17?", [calculator])
lab.generate_json(qwen, prompt, schema)
"""

from .budget import Budget, Spent
from .constrained import Grammar, generate_json, json_text
from .episodes import Episode, Outcome, episodes, on_record, shares, solve, world_tools
from .faults import FAULTS, TOOL_FAULTS, faulty_chat, faulty_tools
from .functions import NEEDS, Tool, tool
from .guard import NotAllowed, kept_to
from .gui import Game, Look, Screen, ask_where, look_around, play, solved_share
from .loop import run
from .narrow import Limits, narrow
from .replaying import replay
from .round_trip import random_calls, round_trip
from .schema import Misfit, convert, describe
from .talking import looped
from .toolbox import Observation, Toolbox
from .transcript import Called, Ended, Observed, Prompted, Said, Told, Transcript

__all__ = [
    "FAULTS",
    "NEEDS",
    "TOOL_FAULTS",
    "Budget",
    "Called",
    "Ended",
    "Episode",
    "Game",
    "Grammar",
    "Limits",
    "Look",
    "Misfit",
    "NotAllowed",
    "Observation",
    "Observed",
    "Outcome",
    "Prompted",
    "Said",
    "Screen",
    "Spent",
    "Told",
    "Tool",
    "Toolbox",
    "Transcript",
    "ask_where",
    "convert",
    "describe",
    "episodes",
    "faulty_chat",
    "faulty_tools",
    "generate_json",
    "json_text",
    "kept_to",
    "look_around",
    "looped",
    "narrow",
    "on_record",
    "play",
    "random_calls",
    "replay",
    "round_trip",
    "run",
    "shares",
    "solve",
    "solved_share",
    "tool",
    "world_tools",
]  # fmt: skip
