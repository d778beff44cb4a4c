"""What a nano should be able to do: the share of held-out questions that it should answer rightly."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A group of questions, and how many of them should be right."""

    name: str
    kind: str
    types: tuple[str, ...]
    least: float  # share right
    formed: float = 0.0  # share that should be of the form that the question asks for


MARKS = (
    Mark("shape", "shapes", ("shape",), 0.95),
    Mark("colour", "shapes", ("colour",), 0.95),
    Mark("count", "shapes", ("count", "count some"), 0.95),
    Mark("position", "shapes", ("where", "at", "relation"), 0.95),
    Mark("digits", "digits", ("digit", "number"), 0.95),
    Mark("comparing bars", "charts", ("taller", "tallest", "shortest"), 0.90),
    Mark("motion", "clips", ("direction", "start", "end", "first", "last", "moves", "stays"), 0.90),
    Mark("overwritten facts", "facts", ("overwritten",), 0.95),
    Mark("arithmetic with thinking", "arithmetic", ("add", "subtract", "multiply"), 0.90),
    Mark("tool calls", "tools", ("sum", "lookup", "older"), 0.90, formed=1.0),
    Mark("stories told", "story", ("write",), 0.95),
)
PER_FORWARD = 1.5  # tokens, with drafts of the MTP head
BUSIEST = 2.0  # even shares that one expert may have to do
TOOL_LOOP = 0.90  # of held-out episodes, solved end to end by `agents.solve`: calls, results and the last word
