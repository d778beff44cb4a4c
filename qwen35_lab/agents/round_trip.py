"""Calls written by the chat template and read back by the parser: do both mean the same?"""

import random
from collections.abc import Sequence
from typing import Any

from ..inputs import ToolCall, parse_answer, write_chat

WORDS = ("Mia", "naïve", "数字", "two\nlines", "x < y", "</parameter>", '"quoted"', "💧", "31", "null", "[1, 2]", "a,b")
TYPES = ("string", "integer", "number", "boolean", "array", "object")


def random_calls(n: int, seed: int = 0) -> list[tuple[ToolCall, dict[str, Any]]]:
    """Calls with arguments of all types, nested ones too, each with the tool that it is of."""
    draw, found = random.Random(seed), []
    for index in range(n):
        kinds = {f"p{k}": draw.choice(TYPES) for k in range(draw.randint(0, 4))}
        values = {name: _value(draw, kind) for name, kind in kinds.items()}
        schema = {"type": "object", "properties": {k: {"type": v} for k, v in kinds.items()}, "required": list(kinds)}
        about = {"name": f"tool_{index}", "description": "Do it.", "parameters": schema}
        found.append((ToolCall(f"tool_{index}", values), {"type": "function", "function": about}))
    return found


def _value(draw: random.Random, kind: str, depth: int = 2) -> Any:
    if kind == "array":
        return [_value(draw, draw.choice(TYPES if depth else TYPES[:4]), depth - 1) for _ in range(draw.randint(0, 3))]
    if kind == "object":
        return {draw.choice(WORDS): _value(draw, draw.choice(TYPES if depth else TYPES[:4]), depth - 1)}
    return {
        "string": draw.choice(WORDS), "integer": draw.randint(-(10**9), 10**9), "number": draw.uniform(-1e3, 1e3),
        "boolean": draw.random() < 0.5,
    }[kind]  # fmt: skip


def round_trip(tokenizer: Any, calls: Sequence[tuple[ToolCall, dict[str, Any]]]) -> list[ToolCall | None]:
    """What the parser reads where the template has written each call; None where it reads no call, or several."""
    found: list[ToolCall | None] = []
    for call, tool in calls:
        messages = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "", "tool_calls": [call.message]},
        ]
        text = write_chat(tokenizer, messages, tools=[tool], prompt=False).text
        said = text.rpartition("<|im_start|>assistant\n")[2].partition("<|im_end|>")[0]
        answer = parse_answer(said, tools=[tool])
        found.append(answer.tool_calls[0] if len(answer.tool_calls) == 1 and not answer.content else None)
    return found
