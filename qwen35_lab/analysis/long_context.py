"""How long a text a config, or a command that serves a model, takes, and whether it reads it with YaRN.

A `config.json` is read as transformers 5 reads it, through `ModelConfig`. A command line is read as vLLM reads it
(`vllm/config/model.py`, commit 0052a5b8, `_apply_dict_overrides` and `_get_and_verify_max_len`):

* `--rope-scaling` and `--rope-theta` are gone since 0.11.1 (vllm-project/vllm#28006): the server does not start.
* `--hf-overrides '{"text_config": {"rope_parameters": {…}}}'` is merged into the text model's config. The same
  `rope_parameters` at the top level is set beside the text model's config, which nobody reads: a silent no-op.
* Without `--max-model-len` the length is the config's: `max_position_embeddings`, or with YaRN
  `original_max_position_embeddings` × `factor`. A longer one is refused, unless VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 stands
  before the command; a longer text is then read *without* YaRN all the same.
"""

import json
import shlex
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..config import ModelConfig
from ..errors import InputError

GONE = ("--rope-scaling", "--rope-theta")
ALLOW = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


@dataclass(frozen=True)
class Reach:
    """What a config or a command comes to."""

    yarn: bool  # whether the model reads with YaRN
    longest: int  # tokens of the longest text; 0 if the server does not start
    why: str  # in a sentence


def reach_of(served: str | Mapping[str, Any], config: Mapping[str, Any]) -> Reach:
    """Whether YaRN is active, and the longest text.

    Args:
        served: a command, "vllm serve Qwen/Qwen3.5-4B --max-model-len 65536"; or a `config.json` that was read, which
            is then judged itself.
        config: the `config.json` of the model that the command serves.
    Raises:
        InputError: no command of this kind.
        ConfigError: a config of another family.
    """
    if isinstance(served, Mapping):
        return _of_config(ModelConfig.from_dict(served))
    allowed, options = _parse(served)
    if gone := next((name for name in GONE if name in options), None):
        return Reach(False, 0, f"{gone} is no longer an option, so the server does not start.")
    overrides = _json(options.get("--hf-overrides", "{}"), "--hf-overrides")
    found = _of_config(ModelConfig.from_dict(merged(config, overrides)))
    if "rope_parameters" in overrides and "text_config" in config:
        found = Reach(found.yarn, found.longest, "rope_parameters beside text_config is read by nobody. " + found.why)
    asked = options.get("--max-model-len")
    if asked is None:
        return found
    if not asked.isdecimal() or not int(asked):
        raise InputError(f"--max-model-len is {asked!r}; write a whole number of tokens, such as 262144.")
    length = int(asked)
    if length <= found.longest:
        return Reach(found.yarn, length, f"{found.why} --max-model-len keeps it to {length:,}.")
    if not allowed:
        return Reach(False, 0, f"{found.why} {length:,} is more, and refused: the server does not start.")
    return Reach(found.yarn, length, f"{found.why} {length:,} is more, and allowed by {ALLOW}, at your own risk.")


def merged(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A `config.json` with vLLM's overrides: those for a config inside it are merged, all else is put in its place."""
    inside = [name for name in ("text_config", "vision_config") if isinstance(config.get(name), Mapping)]
    found = deepcopy(dict(config))
    for name, value in overrides.items():
        if name in inside and isinstance(value, Mapping):
            _merge(found[name], value)
        else:
            found[name] = value
    return found


def _merge(target: dict[str, Any], updates: Mapping[str, Any]) -> None:
    for name, value in updates.items():
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = value


def _of_config(config: ModelConfig) -> Reach:
    rope, native = config.text.rope, config.text.max_position_embeddings
    if rope.type != "yarn":
        return Reach(False, native, f"Without YaRN the config takes {native:,} tokens.")
    assert rope.original_max_position_embeddings is not None  # the config parser fills it in
    longest = int(rope.original_max_position_embeddings * rope.factor)
    return Reach(True, longest, f"YaRN × {rope.factor:g} makes {longest:,} tokens of the config's.")


def _parse(command: str) -> tuple[bool, dict[str, str]]:
    """Whether longer texts are allowed, and the options of a `vllm serve`; one without a value has an empty one."""
    try:
        words = shlex.split(command.replace("\\\n", " "))
    except ValueError as error:
        raise InputError(f"This is no command line ({error}); close every quotation mark.") from error
    start = next((n for n in range(len(words) - 1) if words[n : n + 2] == ["vllm", "serve"]), None)
    if start is None:
        raise InputError("This is no `vllm serve …`; pass such a command, or a config.json that was read.")
    options: dict[str, str] = {}
    name = ""
    for word in words[start + 2 :]:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            name = name.replace("_", "-")
            options[name] = value
        elif name:
            options[name], name = word, ""
    return f"{ALLOW}=1" in words[:start], options


def _json(text: str, option: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"{option} is not valid JSON ({error}); put it between single quotation marks.") from error
    if not isinstance(found, dict):
        raise InputError(f"{option} is {text!r}; it takes an object, {{…}}.")
    return found
