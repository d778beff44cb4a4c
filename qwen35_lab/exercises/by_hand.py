"""Exercise 01.2: a prompt with a tool call, written by hand and compared with the chat template's, byte by byte."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..nano.template import pieces
from .verdict import attempt

Messages = Sequence[dict[str, Any]]


def render(messages: Messages) -> str:
    """The oracle: what the template writes, thinking on, up to where the assistant speaks."""
    return "".join(piece.text for piece in pieces(messages, thinking=True, prompt=True))


def conversations() -> list[list[dict[str, Any]]]:
    """A question, a thought that ends in calls, and the tools' answers: one call, two of them, and text that tempts."""
    return [
        _conversation(
            "Where does Mia live?", "I look it up.", [("lookup", {"name": "Mia", "field": "city"})], ["Rome"]
        ),
        _conversation(
            "Who is older, Tom or Ana?",
            "I need both ages.",
            [("lookup", {"name": "Tom", "field": "age"}), ("lookup", {"name": "Ana", "field": "age"})],
            ["41", "39"],
        ),
        _conversation("What is 17 × 23?", "That is for the tool.", [("power", {"base": 17, "exponent": 2})], ["289"]),
        _conversation("¿Llueve en Köln?\nSag ja oder nein.", "Ich frage.", [("weather", {"city": "Köln 🌧️"})], ["ja"]),
        _conversation(
            "Run this.", "Two lines,\none call.", [("run", {"code": 'print("a")\nprint("b")'})], ['{"out": "a\\nb"}']
        ),
    ]


def _conversation(
    question: str, thought: str, calls: list[tuple[str, dict[str, Any]]], answers: list[str]
) -> list[dict[str, Any]]:
    made = [{"type": "function", "function": {"name": name, "arguments": dict(given)}} for name, given in calls]
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "reasoning_content": thought, "tool_calls": made},
        *({"role": "tool", "content": answer} for answer in answers),
    ]


def _json_calls(right: str, messages: Messages) -> str:
    """As Qwen3 wrote them."""
    calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    texts = iter(
        f"<tool_call>\n{json.dumps({'name': c['name'], 'arguments': c['arguments']}, ensure_ascii=False)}\n</tool_call>"
        for c in calls
    )
    return re.sub(r"<tool_call>.*?</tool_call>", lambda _: next(texts), right, flags=re.S)


TURN, OPENING = "<|im_end|>\n", "<|im_start|>assistant\n<think>\n"
MISTAKES: tuple[tuple[str, Callable[[str, Messages], str]], ...] = (
    (
        "The line break after <|im_end|> is missing: a turn ends with `<|im_end|>\\n`.",
        lambda right, _: right.replace(TURN, "<|im_end|>"),
    ),
    (
        "The tool's answer has no role of its own: it stands in a *user's* turn, between <tool_response> and "
        "</tool_response>.",
        lambda right, _: right.replace("<|im_start|>user\n<tool_response>", "<|im_start|>tool\n<tool_response>"),
    ),
    (
        "Answers of several tools share one turn: <|im_end|> comes after the last of them.",
        lambda right, _: right.replace(
            "</tool_response>\n<tool_response>", f"</tool_response>{TURN}<|im_start|>user\n<tool_response>"
        ),
    ),
    (
        "That is Qwen3's call, a line of JSON. Qwen3.5 writes <function=NAME> and a <parameter=KEY> for each argument.",
        _json_calls,
    ),
    (
        "A value stands on lines of its own, between <parameter=KEY> and </parameter>.",
        lambda right, _: re.sub(r"(<parameter=[^>]+>)\n(.*?)\n(</parameter>)", r"\1\2\3", right, flags=re.S),
    ),
    (
        "The thought is followed by an empty line: `</think>\\n\\n`.",
        lambda right, _: right.replace("</think>\n\n", "</think>\n"),
    ),
    (
        "The thought is missing: what comes after the last question keeps its <think> … </think>.",
        lambda right, _: re.sub(r"<think>\n.*?\n</think>\n\n", "", right, flags=re.S),
    ),
    (
        "The prompt must end by opening the assistant's turn, and its thought: `<|im_start|>assistant\\n<think>\\n`.",
        lambda right, _: right.removesuffix(OPENING),
    ),
    (
        "The next turn must open with a thought: `<think>\\n` is missing at the end.",
        lambda right, _: right.removesuffix("<think>\n"),
    ),
    (
        "The thought at the end is closed, which is how a model is told *not* to think; leave it open.",
        lambda right, _: right + "\n</think>\n\n",
    ),
    (
        "The end is trimmed: the last line break, after <think>, belongs to the prompt.",
        lambda right, _: right.removesuffix("\n"),
    ),
    (
        "A role is followed by a line break: `<|im_start|>user\\n`.",
        lambda right, _: re.sub(r"(<\|im_start\|>\w+)\n", r"\1 ", right),
    ),
)


def check_render(answer: Any, given: Any) -> tuple[bool, str]:
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    results = []
    for messages in conversations():
        result, problem = attempt(answer, (messages,), "(messages)")
        if problem:
            return False, problem
        if not isinstance(result, str):
            return False, f"It returns a {type(result).__name__}; return the text."
        results.append(result)
    asked = [render(messages) for messages in conversations()]
    if results == asked:
        size = sum(len(text.encode()) for text in asked)
        return True, f"The template's own text, byte by byte: {size:,} bytes in {len(asked)} conversations."
    for told, wrong in MISTAKES:
        texts = [wrong(right, messages) for right, messages in zip(asked, conversations(), strict=True)]
        if texts == results:
            return False, told
    mine, right = next((a, b) for a, b in zip(results, asked, strict=True) if a != b)
    return False, difference(mine, right)


def difference(mine: str, right: str) -> str:
    """Where two prompts part: the turn, the line in it, and what stands there."""
    at = next((n for n, (a, b) in enumerate(zip(mine, right)) if a != b), min(len(mine), len(right)))
    begin = max(0, right.rfind("<|im_start|>", 0, at + 1))
    turn = right[:begin].count("<|im_start|>") + 1
    role = re.match(r"<\|im_start\|>(\w+)", right[begin:])
    line = right[begin:at].count("\n") + 1
    wanted, found = (_seen(text[at:]) for text in (right, mine))
    before = _seen(right[max(0, at - 24) : at], last=True)
    whose = role[1] if role else "the beginning"
    return f"Turn {turn} ({whose}), line {line}: after `{before}` there must be `{wanted}`, and yours has `{found}`."


def _seen(text: str, last: bool = False) -> str:
    """A piece of text with its line breaks written out."""
    shown = text[-24:] if last else text[:24]
    return shown.replace("\n", "\\n") or "nothing"


CHECKS = {"01.2": check_render}
