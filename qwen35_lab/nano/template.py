"""The chat template once more, in Python: the same text in pieces, so that what the assistant says is known apart.

No token crosses from one piece into the next: a piece that is the model's to say begins where its prompt ends.

`chat_template.jinja` is what ships, and what `apply_chat_template` runs; a test holds the two equal. This one is quick
and says which part of the text is which.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError
from .world import Message

Part = Literal["given", "thinking", "spoken", "end"]
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"

_OFFER = "<|im_start|>system\n# Tools\n\nThese functions are on offer:\n\n<tools>"
_HOW = (
    "\n</tools>\n\nTo call one, end with this, filled in:\n\n<tool_call>\n<function=NAME>\n<parameter=KEY>\nVALUE\n"
    "</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nGive every parameter that is required. Where no function "
    "helps, just answer.\n</IMPORTANT>"
)


@dataclass(frozen=True)
class Piece:
    """A stretch of a conversation's text.

    part: "given" is for the model to read; "thinking", "spoken" (tool calls included) and "end", the marker that ends
        its turn, are for it to say.
    """

    text: str
    part: Part
    turn: int  # the message that it belongs to; −1 for what comes of the tools


def pieces(
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]] = (),
    *,
    thinking: bool = False,
    prompt: bool = False,
) -> list[Piece]:
    """The conversation as the template writes it; joined, the pieces are its text.

    Args:
        thinking: the model thinks before it speaks. Where it does, the tag that opens the last thought is given and
            the thought is the model's; where not, an empty thought is given.
        prompt: end with what makes the model answer.
    Raises:
        InputError: there is no user's message, or a system message that is not the first.
    """
    last = max((n for n, message in enumerate(messages) if message["role"] == "user"), default=-1)
    if last < 0:
        raise InputError("There is no message of a user; add one.")
    said: list[Piece] = []
    system = written(messages[0]["content"]).strip() if messages[0]["role"] == "system" else None
    if tools:
        offer = "".join(f"\n{json.dumps(tool, ensure_ascii=False)}" for tool in tools)
        said.append(Piece(_OFFER + offer + _HOW + (f"\n\n{system}" if system else "") + "<|im_end|>\n", "given", -1))
    elif system is not None:
        said.append(Piece(f"<|im_start|>system\n{system}<|im_end|>\n", "given", 0))
    for turn, message in enumerate(messages):
        said += _message(messages, turn, message, turn > last, thinking)
    if prompt:
        said.append(Piece(f"<|im_start|>assistant\n<think>\n{'' if thinking else f'{_CLOSE}'}", "given", len(messages)))
    return said


_CLOSE = "\n</think>\n\n"


def _message(messages: Sequence[Message], turn: int, message: Message, after: bool, thinking: bool) -> Iterator[Piece]:
    role, content = message["role"], written(message["content"]).strip()
    if role == "user":
        yield Piece(f"<|im_start|>user\n{content}<|im_end|>\n", "given", turn)
    elif role == "tool":
        first = "<|im_start|>user" if messages[turn - 1]["role"] != "tool" else ""
        last = "" if turn + 1 < len(messages) and messages[turn + 1]["role"] == "tool" else "<|im_end|>\n"
        yield Piece(f"{first}\n<tool_response>\n{content}\n</tool_response>{last}", "given", turn)
    elif role == "assistant":
        thought = message.get("reasoning_content", "").strip()
        if after and thinking:
            yield Piece("<|im_start|>assistant\n<think>\n", "given", turn)
            yield Piece(thought + _CLOSE, "thinking", turn)
        else:
            yield Piece("<|im_start|>assistant\n" + f"<think>\n{thought}{_CLOSE}" * after, "given", turn)
        yield Piece(content + _calls(message, content), "spoken", turn)
        yield Piece("<|im_end|>", "end", turn)
        yield Piece("\n", "given", turn)
    elif turn > 0:
        raise InputError(f"Message {turn + 1} has the role {role!r}; a system message comes first, others are none.")


def _calls(message: Message, content: str) -> str:
    calls = []
    for call in message.get("tool_calls", ()):
        call = call.get("function", call)
        values = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in call["arguments"].items())
        calls.append(f"<tool_call>\n<function={call['name']}>\n{values}</function>\n</tool_call>")
    return ("\n\n" if content and calls else "") + "\n".join(calls)


def written(content: str | Sequence[dict[str, Any]]) -> str:
    """A message's content as text, with one placeholder for each picture and clip."""
    if isinstance(content, str):
        return content
    marks = {"image": IMAGE, "video": VIDEO}
    return "".join(
        f"<|vision_start|>{marks[part['type']]}<|vision_end|>" if part["type"] in marks else part["text"]
        for part in content
    )
