"""Messages -> the text of a prompt by the checkpoint's own chat template, with the pictures that it has places for.

A message is `{"role": …, "content": …}`; a content is a text or a list of parts, `{"type": "text", "text": …}`,
`{"type": "image", "image": …}`, `{"type": "video", "video": …}`, whose pictures are paths, PIL images or arrays; the
last with `"fps": 2` where the frames are not of a file, which knows how many were taken in a second.
Whether a model thinks when nothing is asked is its template's choice: the small checkpoints do not, the large ones do.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .answer import THINK
from .reading import as_images, as_videos

Message = Mapping[str, Any]
Tool = Mapping[str, Any] | Callable[..., Any]


@dataclass(frozen=True)
class Conversation:
    """A prompt.

    Attributes: `text`, exactly as the model reads it, but with one placeholder for each picture; `images` and `videos`
    in the order of these, None where there are none; `tools` as JSON schemas.
    """

    text: str
    images: list[Any] | None
    videos: list[Any] | None
    tools: list[dict[str, Any]]

    @property
    def thinking(self) -> bool:
        """Whether the answer begins inside a thought."""
        return self.text.rstrip().endswith(THINK)


def write_chat(
    tokenizer: Any, messages: str | Sequence[Message], *, tools: Tool | Iterable[Tool] | None = None,
    images: Any = None, videos: Any = None, thinking: bool | None = None, prompt: bool = True,
) -> Conversation:  # fmt: skip
    """The conversation up to where the assistant speaks.

    Args:
        messages: those so far; a text is what the user says first.
        tools: JSON schemas, or functions with types and a docstring that explains them (Google's style).
        images, videos: for the parts that name no picture of their own, in order; where there are none, at the
            beginning of the user's last message.
        thinking: None leaves it to the template.
        prompt: end with the opening of the assistant's turn; if not, with the last message.
    Raises:
        InputError: no template, or messages, tools or pictures that it cannot write.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InputError("This checkpoint has no chat template; pass a text instead of messages.")
    if thinking is not None and not isinstance(thinking, bool):
        raise InputError(f"thinking is {thinking!r}; pass True, False, or None for the checkpoint's own way.")
    plain, found = with_places(messages, images, videos)
    schemas = as_schemas(tools)
    chosen = {} if thinking is None else {"enable_thinking": thinking}
    try:
        text = tokenizer.apply_chat_template(
            [_without_pictures(message) for message in plain], tools=schemas or None, tokenize=False,
            add_generation_prompt=prompt, **chosen,
        )  # fmt: skip
    except Exception as error:  # a template is a program, and raises what it likes
        raise InputError(
            f"The chat template refuses these messages ({str(error).rstrip('.')}); check their roles and contents."
        ) from error
    return Conversation(text, found["image"] or None, found["video"] or None, schemas)


def with_places(
    messages: str | Sequence[Message], images: Any = None, videos: Any = None
) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Copies of the messages with a part for every picture, and the pictures of each kind, in the order of these.

    Raises:
        InputError: messages or pictures that do not fit together.
    """
    plain = _listed(messages)
    return plain, {kind: _place(plain, kind, given) for kind, given in (("video", videos), ("image", images))}


def is_picture(part: Any, kind: str) -> bool:
    """Whether a part of a message is an "image", or a "video"."""
    return isinstance(part, Mapping) and _is(part, kind)


def as_schemas(tools: Tool | Iterable[Tool] | None) -> list[dict[str, Any]]:
    """Each tool as `{"type": "function", "function": {"name", "description", "parameters"}}`."""
    if tools is None:
        return []
    if callable(tools) or isinstance(tools, Mapping):
        return [_schema(tools)]
    if isinstance(tools, str) or not isinstance(tools, Iterable):
        raise InputError(f"tools is {tools!r}; pass a list of JSON schemas or of functions.")
    return [_schema(tool) for tool in tools]


def _schema(tool: Any) -> dict[str, Any]:
    if isinstance(tool, Mapping):
        whole = dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)}
        if not isinstance(whole["function"], Mapping) or not isinstance(whole["function"].get("name"), str):
            raise InputError('A tool has no name; write it as {"type": "function", "function": {"name": …}}.')
        return whole
    if not callable(tool):
        raise InputError(f"A tool is a JSON schema or a function, not a {type(tool).__name__}.")
    from transformers.utils.chat_template_utils import get_json_schema

    try:
        return get_json_schema(tool)
    except Exception as error:  # of several kinds, for a missing docstring, argument or type
        reason = str(error).strip().split("\n")[0].rstrip(".!")
        raise InputError(
            f"A tool cannot be described ({reason}); give it a docstring with a line for each argument, and types."
        ) from error


def _listed(messages: Any) -> list[dict[str, Any]]:
    """Copies, so that the caller's messages stay as they are."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not isinstance(messages, list | tuple) or not messages or not all(isinstance(m, Mapping) for m in messages):
        raise InputError('Messages are a list of {"role": …, "content": …}, at least one; or pass a text.')
    return [_copied(dict(message)) for message in messages]


def _copied(message: dict[str, Any]) -> dict[str, Any]:
    """Content in a list of its own. Servers send a call's arguments as JSON text, and templates want them apart.

    Raises InputError for what templates would write down without a word: nothing at all, a None, a call of no name.
    """
    content, calls = message.get("content"), message.get("tool_calls")
    if content is None and message.get("role") != "assistant":
        raise InputError(f"A message of the role {message.get('role')!r} has no content; add it.")
    if isinstance(content, list | tuple):
        message["content"] = [_part(part) for part in content]
    if calls and not isinstance(calls, list | tuple):
        raise InputError("The tool_calls of a message are a list, one for each call; pass one.")
    if calls:
        message["tool_calls"] = [_with_parsed(call) for call in calls]
    return message


def _part(part: Any) -> dict[str, Any]:
    seen = isinstance(part, Mapping) and (_is(part, "image") or _is(part, "video"))
    if not seen and not (isinstance(part, Mapping) and isinstance(part.get("text"), str)):
        raise InputError(f'A part of a message is {part!r}; write a text as {{"type": "text", "text": "…"}}.')
    return dict(part)


def _with_parsed(call: Any) -> Any:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise InputError('A tool call names no function; write it as {"function": {"name": …, "arguments": …}}.')
    if not isinstance(given := function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(given)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InputError(f"The arguments of a tool call are {given!r}; pass a dict, or JSON text of one.")
    function = {**function, "arguments": arguments}
    return {**call, "function": function} if "function" in call else function


def _place(messages: list[dict[str, Any]], kind: str, given: Any) -> list[Any]:
    """The pictures of one kind, in the order of their places; where no part asks for them, places are added."""
    more = [] if given is None else _READ[kind](given)
    parts = [part for message in messages for part in _parts(message) if _is(part, kind)]
    empty = [part for part in parts if _source(part, kind) is None]
    if more and not empty:
        empty = _add_places(messages, kind, len(more))
        parts = [part for message in messages for part in _parts(message) if _is(part, kind)]
    if len(empty) != len(more):
        raise InputError(
            f"{len(empty)} parts of the messages name no {kind} of their own, and {len(more)} are given; "
            f"pass one {kind} for each."
        )
    coming = {id(part): picture for part, picture in zip(empty, more, strict=True)}
    found = []
    for part in parts:
        own = [coming[id(part)]] if id(part) in coming else _READ[kind](_source(part, kind))
        if len(own) != 1:
            raise InputError(f"A part of a message holds {len(own)} {kind}s; write one part for each.")
        found += [{"video": own[0], "fps": part["fps"]}] if kind == "video" and part.get("fps") is not None else own
    return found


_READ = {"image": as_images, "video": as_videos}


def _add_places(messages: list[dict[str, Any]], kind: str, count: int) -> list[dict[str, Any]]:
    user = next((message for message in reversed(messages) if message.get("role") == "user"), None)
    if user is None:
        raise InputError(f"There is no user's message that the {kind}s belong to; add one.")
    content = user.get("content")
    rest = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    places = [{"type": kind} for _ in range(count)]
    user["content"] = [*places, *rest]
    return places


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _is(part: Mapping[str, Any], kind: str) -> bool:
    """As the official template decides."""
    return kind in part or f"{kind}_url" in part or part.get("type") == kind


def _source(part: dict[str, Any], kind: str) -> Any:
    """The picture of a part, under any of the names that are in use."""
    for name in (kind, f"{kind}_url", "path", "url"):
        if (value := part.get(name)) is not None:
            return value.get("url") if isinstance(value, Mapping) else value
    return None


def _without_pictures(message: dict[str, Any]) -> dict[str, Any]:
    """Templates see that there is a picture; what it is, is not theirs to handle."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    kinds = ("image", "video")
    bare = [{"type": k} if (k := next((k for k in kinds if _is(p, k)), "")) else p for p in content]
    return message | {"content": bare}
