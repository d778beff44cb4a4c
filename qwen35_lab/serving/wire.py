"""Messages, tools and pictures as the OpenAI chat protocol sends them.

It differs from what templates take in three things: a picture is an address, here one that holds the picture itself;
the arguments of a call are JSON text; and every call has an id, which its result repeats.

Reference: the OpenAI API's `POST /v1/chat/completions`.
"""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..inputs.chat import Message, is_picture, with_places


def as_wire(messages: str | Sequence[Message], images: Any = None) -> list[dict[str, Any]]:
    """Messages to send.

    Args:
        messages: as in `Qwen.chat`; a part whose picture is an address already is sent as it is.
        images: for the parts that name none, as in `Qwen.chat`.
    Raises:
        InputError: messages or pictures that do not fit together, or a video, for which the protocol has no place.
    """
    addressed = [] if isinstance(messages, str) else _addresses(messages)
    plain, found = with_places(messages if isinstance(messages, str) else _without(messages, addressed), images)
    if found["video"]:
        raise InputError("The chat protocol has no place for videos; send some of its frames as images.")
    pictures, others, ids = iter(map(data_url, found["image"])), iter(addressed), _Ids()
    return [_message(message, pictures, others, ids) for message in plain]


def data_url(image: Any) -> str:
    """A PIL image as an address that holds it: "data:image/png;base64,…"."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _message(message: dict[str, Any], pictures: Iterator[str], addressed: Iterator[str], ids: "_Ids") -> dict[str, Any]:
    sent = dict(message)
    if isinstance(content := message.get("content"), list):
        sent["content"] = [_part(part, pictures, addressed) for part in content]
    if message.get("tool_calls"):
        sent["tool_calls"] = [_call(call, ids) for call in message["tool_calls"]]
    if message.get("role") == "tool":
        sent["tool_call_id"] = ids.answered(message.get("tool_call_id"))
    return sent


def _part(part: Mapping[str, Any], pictures: Iterator[str], addressed: Iterator[str]) -> dict[str, Any]:
    if part.get("type") == ADDRESSED:
        return {"type": "image_url", "image_url": {"url": next(addressed)}}
    if is_picture(part, "image"):
        return {"type": "image_url", "image_url": {"url": next(pictures)}}
    return {"type": "text", "text": part["text"]}


def _call(call: Mapping[str, Any], ids: "_Ids") -> dict[str, Any]:
    function = call.get("function", call)
    arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    return {"id": ids.asked(call.get("id")), "type": "function",
            "function": {"name": function["name"], "arguments": arguments}}  # fmt: skip


class _Ids:
    """Names for calls that have none; results are told apart by their order."""

    def __init__(self) -> None:
        self.made, self.open = 0, list[str]()

    def asked(self, given: str | None) -> str:
        self.made += 1
        self.open.append(given or f"call_{self.made}")
        return self.open[-1]

    def answered(self, given: str | None) -> str:
        if given is None and not self.open:
            raise InputError("A message of the role 'tool' answers no call; put it behind the message that calls.")
        known = given if given is not None else self.open[0]
        if known in self.open:
            self.open.remove(known)
        return known


# ------------------------------------------------------------------------------------- pictures that are addresses

ADDRESSED = "addressed image"  # what stands for one while the others find their places


def _address(part: Any) -> str | None:
    """Of an image part that names a page or holds a data URL."""
    if not is_picture(part, "image"):
        return None
    source = next((part[name] for name in ("image", "image_url", "path", "url") if part.get(name) is not None), None)
    source = source.get("url") if isinstance(source, Mapping) else source
    return source if isinstance(source, str) and source.startswith(("http:", "https:", "data:")) else None


def _addresses(messages: Sequence[Message]) -> list[str]:
    parts = (part for message in messages if isinstance(message, Mapping) for part in _listed(message))
    return [found for part in parts if (found := _address(part))]


def _without(messages: Sequence[Message], addressed: Sequence[str]) -> Sequence[Message]:
    if not addressed:
        return messages
    stands_in = {"type": ADDRESSED, "text": ""}
    return [
        {**message, "content": [stands_in if _address(part) else part for part in _listed(message)]}
        if _listed(message) else message
        for message in messages
    ]  # fmt: skip


def _listed(message: Message) -> Sequence[Any]:
    content = message.get("content")
    return content if isinstance(content, list | tuple) else ()
