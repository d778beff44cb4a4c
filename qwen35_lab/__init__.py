"""Qwen3.5 Lab: open a notebook, watch a real forward pass happen, change something, and see what it did.

    import qwen35_lab as lab
    qwen = lab.load("recall")
    qwen.generate("cat red . dog blue . ? cat", max_new_tokens=1)

An independent project, not an official one of the Qwen team.
"""

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .quiet import hush_torchao

if TYPE_CHECKING:
    from . import agents, analysis, exercises, finetune, inputs, nano, prices, published, recall, serving, views
    from .agents import generate_json, tool
    from .analysis import diff, edit_effect, gap, logit_lens, parity_ledger, will_it_fit
    from .capture import record
    from .claims import article_claim, article_claims
    from .config import ModelConfig, TextConfig, VisionConfig
    from .doctor import doctor
    from .edits import edit
    from .errors import CheckpointError, ConfigError, InputError, LabError, ServerError, TraceError
    from .examples import example
    from .exercises import check, check_solution, progress
    from .family import family, load_config
    from .generate import Sampling
    from .inputs import Answer, AnswerParser, Piece, ToolCall, Vocabulary, parse_answer, vocabulary
    from .model import Cache, MultimodalModel, TextModel, taps
    from .prompts import load_tokenizer
    from .provenance import Provenance
    from .qwen import Qwen, from_config, load, save
    from .routers import routing
    from .serving import Client, serve, serve_command
    from .speculative import Draft, Drafts
    from .trace import Trace
    from .views import claim, note, show_source, step

hush_torchao()

__version__ = "0.1.0"
__all__ = [
    "Answer", "AnswerParser", "Cache", "CheckpointError", "Client", "ConfigError", "Draft", "Drafts", "InputError",
    "LabError", "ModelConfig", "MultimodalModel", "Piece", "Provenance", "Qwen", "Sampling", "ServerError",
    "TextConfig", "TextModel", "ToolCall", "Trace", "TraceError", "VisionConfig", "Vocabulary", "agents", "analysis",
    "article_claim", "article_claims", "check", "check_solution", "claim", "diff", "doctor", "edit", "edit_effect",
    "example", "exercises", "family", "finetune", "from_config", "gap", "generate_json", "inputs", "load",
    "load_config", "load_tokenizer", "logit_lens", "nano", "note", "parity_ledger", "parse_answer", "prices",
    "progress", "published", "recall", "record", "routing", "save", "serve", "serve_command", "serving", "show_source",
    "step", "taps", "tool", "views", "vocabulary", "will_it_fit",
]  # fmt: skip

# Where these names are from: what is imported above, but only when somebody first asks for it. PyTorch takes seconds,
# and what draws needs plotly and the widget libraries.
_FROM = {
    "agents": ("generate_json", "tool"),
    "analysis": ("diff", "edit_effect", "gap", "logit_lens", "parity_ledger", "will_it_fit"),
    "capture": ("record",),
    "claims": ("article_claim", "article_claims"),
    "config": ("ModelConfig", "TextConfig", "VisionConfig"),
    "doctor": ("doctor",),
    "edits": ("edit",),
    "errors": ("CheckpointError", "ConfigError", "InputError", "LabError", "ServerError", "TraceError"),
    "examples": ("example",),
    "exercises": ("check", "check_solution", "progress"),
    "family": ("family", "load_config"),
    "generate": ("Sampling",),
    "inputs": ("Answer", "AnswerParser", "Piece", "ToolCall", "Vocabulary", "parse_answer", "vocabulary"),
    "model": ("Cache", "MultimodalModel", "TextModel", "taps"),
    "prompts": ("load_tokenizer",),
    "provenance": ("Provenance",),
    "qwen": ("Qwen", "from_config", "load", "save"),
    "routers": ("routing",),
    "serving": ("Client", "serve", "serve_command"),
    "speculative": ("Draft", "Drafts"),
    "trace": ("Trace",),
    "views": ("claim", "note", "show_source", "step"),
}
_HOME = {name: module for module, names in _FROM.items() for name in names}


class _FrontDoor(ModuleType):
    """Where a function and a module share a name, importing the module leaves the function: `lab.doctor()`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _HOME or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name.startswith("_") or not find_spec(f".{name}", __name__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return sorted({*__all__, "__all__", "__doc__", "__file__", "__version__"})
