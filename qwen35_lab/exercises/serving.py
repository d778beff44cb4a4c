"""The third exercise of notebook 05: whether a command, or a config, reads with YaRN, and how long a text it takes."""

import json
import random
import shlex
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ..analysis.long_context import ALLOW, reach_of
from ..paths import data_path
from .numbers import as_whole, shown
from .verdict import attempt

NATIVE = 262_144
MODELS = ("Qwen3.5-4B", "Qwen3.5-9B", "Qwen3.5-27B", "Qwen3.5-35B-A3B")
NOISE = ("--port 8000", "--reasoning-parser qwen3", "--tensor-parallel-size 2", "--language-model-only")

# what a case is about -> what to say to somebody who gets it wrong; the first of these that goes wrong is told
DIAGNOSES = {
    "plain": "A command without overrides serves the config as it is.",
    "nested": "rope_parameters inside text_config are those of the language model, and are merged with its own.",
    "config": "A config has YaRN if the rope_parameters of its text_config say so; it then takes original × factor.",
    "shorter": "--max-model-len below what the config gives is what counts.",
    "default": 'rope_type decides: with "default", a factor means nothing.',
    "gone": "--rope-scaling is gone since vLLM 0.11.1: the server does not start.",
    "refused": "A length above what the config gives is refused; then nothing is served.",
    "allowed": f"{ALLOW}=1 allows a longer length. It does not switch YaRN on.",
    "flat": "rope_parameters beside text_config are read by nobody: no YaRN, and no error either.",
    "static": "YaRN is static: it is on for every text, however short, and whatever --max-model-len says.",
}  # fmt: skip


def yarn_of(factor: float, kind: str = "yarn") -> dict[str, Any]:
    return {"rope_type": kind, "factor": factor, "original_max_position_embeddings": NATIVE}


def _command(draw: random.Random, *options: str, allow: bool = False) -> str:
    words = [*options, *draw.sample(NOISE, draw.randint(0, 2))]
    draw.shuffle(words)
    return " ".join([*[f"{ALLOW}=1"] * allow, "vllm serve", f"Qwen/{draw.choice(MODELS)}", *words])


def _overrides(found: Mapping[str, Any]) -> str:
    return f"--hf-overrides {shlex.quote(json.dumps(found))}"


def cases(seed: int = 0) -> list[tuple[str, Any]]:
    """(what it is about, a command or a config), two or more of every kind, in an order of their own."""
    draw, found = random.Random(seed), []
    official = official_config()
    for _ in range(2):
        factor = draw.choice((2.0, 3.0, 4.0))
        most = int(NATIVE * factor)
        nested = _overrides({"text_config": {"rope_parameters": yarn_of(factor)}})
        flat = _overrides({"rope_parameters": yarn_of(factor)})
        off = _overrides({"text_config": {"rope_parameters": yarn_of(factor, "default")}})
        long = f"--max-model-len {draw.randrange(NATIVE + 1, most)}"
        short = f"--max-model-len {draw.randrange(8192, NATIVE)}"
        config = deepcopy(official)
        config["text_config"]["rope_parameters"] |= yarn_of(factor)
        found += [
            ("plain", _command(draw)), ("shorter", _command(draw, short)), ("refused", _command(draw, long)),
            ("allowed", _command(draw, long, allow=True)), ("nested", _command(draw, nested)),
            ("static", _command(draw, nested, long, allow=draw.random() < 0.5)),
            ("refused", _command(draw, nested, f"--max-model-len {most + draw.randrange(1, 9999)}")),
            ("static", _command(draw, nested, short)), ("flat", _command(draw, flat)),
            ("flat", _command(draw, flat, long, allow=True)),
            ("gone", _command(draw, f"--rope-scaling {shlex.quote(json.dumps(yarn_of(factor)))}", long, allow=True)),
            ("default", _command(draw, off)), ("config", config), ("config", official),
        ]  # fmt: skip
    draw.shuffle(found)
    return found


def official_config() -> dict[str, Any]:
    """The `config.json` of Qwen3.5-4B, as published."""
    return json.loads(data_path("family", "Qwen3.5-4B.json").read_text(encoding="utf-8"))


def check_reach(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge `reach(served, config)`, which returns (whether YaRN is active, the longest text or 0)."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    config, wrong = official_config(), []
    asked = cases()
    for kind, served in asked:
        result, problem = attempt(answer, (deepcopy(served), deepcopy(config)), "(served, config)")
        if problem:
            return False, problem if "It raises" not in problem else f"{problem} It was asked about {_served(served)}."
        if not _is_pair(result):
            return False, f"It returns {shown(result)}; return two things, (True or False, a whole number of tokens)."
        right = reach_of(served, config)
        said = bool(result[0]), as_whole(result[1])
        if said != (right.yarn, right.longest):
            wrong.append((kind, served, said, right))
    if not wrong:
        return True, f"`{answer.__name__}` is right about {len(asked)} commands and configs."
    kind, served, said, right = min(wrong, key=lambda each: list(DIAGNOSES).index(each[0]))
    return False, (
        f"{DIAGNOSES[kind]} For {_served(served)} you say {shown(said)}; it is ({right.yarn}, {right.longest}). "
        f"{right.why} {len(wrong)} of {len(asked)} are wrong."
    )


def _is_pair(result: Any) -> bool:
    if not isinstance(result, tuple | list) or len(result) != 2:
        return False
    active, longest = result
    return isinstance(active, bool | int) and as_whole(longest) is not None


def _served(served: Any) -> str:
    if isinstance(served, str):
        return f"`{served}`"
    return f"a config.json with `rope_parameters` {json.dumps(served['text_config']['rope_parameters'])}"


CHECKS = {"05.3": check_reach}
