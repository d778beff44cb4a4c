"""Answers of learners: a right one as text, and mistakes as edits of that text."""

import inspect
import math
import textwrap
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F


def written(source: str, *edits: tuple[str, str]) -> Callable[..., Any]:
    """The last function that `source` defines, after the edits; each must find its text."""
    source = textwrap.dedent(source)
    for old, new in edits:
        assert old in source, f"{old!r} is not in the answer"
        source = source.replace(old, new)
    names: dict[str, Any] = {"math": math, "torch": torch, "F": F}
    before = set(names)
    exec(compile(source, "answer", "exec"), names)
    return [f for name, f in names.items() if name not in before and inspect.isfunction(f)][-1]
