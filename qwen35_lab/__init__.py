"""Qwen3.5 Lab: open a notebook, watch a real forward pass happen, change something, and see what it did.

    import qwen35_lab as lab
    qwen = lab.load("recall")
    qwen.generate("cat red . dog blue . ? cat", max_new_tokens=1)

An independent project, not an official one of the Qwen team.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import analysis, inputs, prices, published, serving
from .analysis import diff, edit_effect, gap, logit_lens, parity_ledger, will_it_fit
from .capture import record
from .claims import article_claim, article_claims
from .config import ModelConfig, TextConfig, VisionConfig
from .doctor import doctor
from .edits import edit
from .errors import CheckpointError, ConfigError, InputError, LabError, ServerError, TraceError
from .family import family, load_config
from .generate import Sampling
from .inputs import Answer, AnswerParser, Piece, ToolCall, Vocabulary, parse_answer, vocabulary
from .model import Cache, MultimodalModel, TextModel, taps
from .prompts import load_tokenizer
from .provenance import Provenance
from .quiet import hush_torchao
from .qwen import Qwen, from_config, load, save
from .routers import routing
from .serving import Client, serve, serve_command
from .speculative import Draft, Drafts
from .trace import Trace

if TYPE_CHECKING:
    from . import agents, exercises, finetune, nano, recall, views
    from .agents import generate_json, tool
    from .examples import example
    from .exercises import check, check_solution, progress
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

# What draws needs plotly and the widget libraries, so it is imported when it is first asked for.
_LATER: dict[str, str] = dict.fromkeys(("views", "claim", "note", "show_source", "step"), "views")
_LATER |= dict.fromkeys(("exercises", "check", "check_solution", "progress"), "exercises")
_LATER |= {"recall": "recall", "nano": "nano", "finetune": "finetune"}
_LATER["example"] = "examples"
_LATER |= dict.fromkeys(("agents", "generate_json", "tool"), "agents")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_LATER[name]}", __name__)
    return module if name == _LATER[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*__all__, "__all__", "__doc__", "__file__", "__version__"})
