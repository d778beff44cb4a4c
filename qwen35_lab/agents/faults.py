"""What goes wrong with agents, to be put into a run on purpose: answers that are spoilt, and tools that misbehave.

run(faulty_chat(qwen, "unclosed think", at=0), messages, tools)
run(qwen, messages, faulty_tools(tools, "raises"))
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..errors import InputError
from ..inputs import Answer, ToolCall, parse_answer
from .toolbox import Given, Toolbox
from .transcript import write_call

HUGE = 1_000_000  # characters


def _bad_json(call: ToolCall) -> str:
    return f'<tool_call>\n{{"name": "{call.name}", "arguments": {{"\n</tool_call>'


def _wrong_arguments(call: ToolCall) -> str:
    return write_call(call.name, {f"{key}_": value for key, value in call.arguments.items()} or {"more": 1})


# name -> what the model says in place of its first call
FAULTS: dict[str, Callable[[ToolCall], str]] = {
    "bad JSON": _bad_json,
    "unknown tool": lambda call: write_call(f"{call.name}_of_everything", call.arguments),
    "wrong arguments": _wrong_arguments,
    "two calls": lambda call: "\n".join([write_call(call.name, call.arguments)] * 2),
    "unclosed think": lambda call: f"<think>\nI need {call.name}. {write_call(call.name, call.arguments)}",
    "unclosed call": lambda call: write_call(call.name, call.arguments).partition("</function>")[0],
}


def faulty_chat(model: Any, fault: str, at: int = 0) -> Callable[..., Answer]:
    """The model, but for one answer, which is spoilt: of its calls, or of a made-up one where it has none.

    Args:
        fault: a key of `FAULTS`.
        at: which answer, counted from 0.
    Raises:
        InputError: there is no such fault.
    """
    if fault not in FAULTS:
        raise InputError(f"There is no fault {fault!r}; choose from {', '.join(FAULTS)}.")
    return _Faulty(model, FAULTS[fault], at)


class _Faulty:
    def __init__(self, model: Any, spoil: Callable[[ToolCall], str], at: int):
        self.model, self.spoil, self.left = model, spoil, at
        self.tokenizer = getattr(model, "tokenizer", None)
        if hasattr(model, "chat_prompt"):
            self.chat_prompt = model.chat_prompt

    def __call__(self, messages: Any, tools: Any = None, **how: Any) -> Answer:
        return self.chat(messages, tools, **how)

    def chat(self, messages: Any, tools: Any = None, **how: Any) -> Answer:
        ask: Callable[..., Answer] = self.model.chat if hasattr(self.model, "chat") else self.model
        answer = ask(messages, tools=tools, **how)
        self.left -= 1
        if self.left != -1:
            return answer
        first = answer.tool_calls[0] if answer.tool_calls else ToolCall("search", {"query": answer.content})
        return parse_answer(self.spoil(first), tools=tools or ())


TOOL_FAULTS = ("raises", "hangs", "huge output")


def faulty_tools(
    tools: Toolbox | Iterable[Given], fault: str, *, seconds: float = 0.2, release: threading.Event | None = None
) -> Toolbox:
    """The same tools, which misbehave.

    Args:
        fault: "raises", "hangs" (until `release` is set) or "huge output".
        seconds: that a hanging tool is waited for.
    Raises:
        InputError: there is no such fault.
    """
    box = tools if isinstance(tools, Toolbox) else Toolbox(tools)
    gate = release or threading.Event()

    def raises(**arguments: Any) -> str:
        raise RuntimeError("the database is on fire")

    def hangs(**arguments: Any) -> str:
        gate.wait()
        return "too late"

    broken = {"raises": raises, "hangs": hangs, "huge output": lambda **arguments: "x" * HUGE}
    if fault not in broken:
        raise InputError(f"There is no fault {fault!r} of tools; choose from {', '.join(TOOL_FAULTS)}.")
    limit = {"seconds": seconds} if fault == "hangs" else {}
    return Toolbox([replace(each, function=broken[fault], **limit) for each in box], allow=box.allowed)
