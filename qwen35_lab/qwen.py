"""The front door: `lab.load(...)` gives a `Qwen`, which holds model, tokenizer and where they came from.

How it reads a prompt is in prompts.py, how it answers in speak.py, how it converses in talk.py, how it is
traced and edited in watch.py.
"""

import copy
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from . import memory
from .checkpoint import LoadReport, cast, read_model, write_model
from .config import ModelConfig
from .errors import InputError
from .expert_store import ExpertStore, is_on_disk
from .family import load_config
from .files import EYES, SIDE_FILES
from .fp8 import BlockFP8
from .heap import keep_freed_memory
from .locate import find_device, find_dtype, find_folder
from .model import TextModel, build
from .model.init import initialise
from .passes import unedited
from .paths import data_path
from .prompts import PICTURES, Message, Prompt
from .provenance import Provenance
from .spread import find_places, has_room, spread
from .talk import Talker
from .watch import Watched
from .weight_only import is_weight_only, to_weight_only

__all__ = ["PICTURES", "SIDE_FILES", "Message", "Prompt", "Qwen", "from_config", "load", "save"]

keep_freed_memory()


class Qwen(Talker, Watched):
    """A model with its tokenizer.

    Attributes: `model` (torch.nn.Module), `config`, `provenance`, `report` (what loading did; None for random weights),
    `folder` (the checkpoint; None for random weights), `tokenizer`.
    """

    def __init__(
        self, model: TextModel, config: ModelConfig, provenance: Provenance, folder: Path | None = None,
        report: LoadReport | None = None,
    ):  # fmt: skip
        self.model, self.config, self.provenance = model, config, provenance
        self.folder, self.report = folder, report

    def __repr__(self) -> str:
        kinds = self.config.text.layer_types
        size = sum(p.numel() for p in self.model.parameters())
        full = sum(k == "full_attention" for k in kinds)
        layers = f"{len(kinds)} layer{'s' * (len(kinds) > 1)} ({len(kinds) - full} DeltaNet, {full} attention)"
        stored = f", {self.experts.total:,} experts in files" if self.experts else ""
        return f"Qwen({self.provenance}: {size:,} parameters, {layers}{stored})"

    @property
    def experts(self) -> ExpertStore | None:
        """The routed experts, where they stay in their files."""
        return self.report.experts if self.report else None

    def twin(self) -> "Qwen":
        """The same weights in memory, with taps and routers of its own: what is edited or recorded there is not noticed
        here. It begins unedited, also inside a `with qwen.edited(…)`."""
        shared = {id(tensor): tensor for tensor in self.model.parameters()}
        model = copy.deepcopy(self.model, shared | unedited(self.model))
        twin = Qwen(model, self.config, self.provenance, self.folder, self.report)
        if "tokenizer" in vars(self):
            twin.tokenizer = self.tokenizer
        return twin

    def save(
        self, folder: str | Path, *, overwrite: bool = False, quantised: str | None = None, eyes: bool = True
    ) -> Path:
        """Write a checkpoint that transformers' Auto classes load, atomically.

        Args:
            overwrite: replace a folder that exists.
            quantised: "fp8" writes the matrices of layers in the official layout (fp8.py), blocks of 128 × 128.
            eyes: False writes the language model alone: what `AutoModelForCausalLM` loads, and what a server reads
                that has no torchvision.
        Raises:
            InputError: another word than "fp8", or a model whose weights are held in int8 or int4, or partly in files.
            CheckpointError: a folder that exists, or that cannot be written.
        """
        folder = Path(folder)
        if quantised not in (None, "fp8"):
            raise InputError(f"Checkpoints are not written in {quantised!r}; use quantised='fp8', or leave it out.")
        if is_weight_only(self.model):
            raise InputError("This model's weights are rounded for running; load it without quantised=, and save that.")
        if is_on_disk(self.model):
            raise InputError("This model's experts are in files; load it without experts='disk', and save that.")
        with tempfile.TemporaryDirectory() as temporary:
            if self.folder is None and "tokenizer" in self.__dict__:  # a model that was trained here
                self.tokenizer.save_pretrained(temporary)
            source = self.folder or Path(temporary)
            side = tuple(p for name in SIDE_FILES if (eyes or name not in EYES) and (p := source / name).exists())
            block = BlockFP8().block if quantised else None
            write_model(self.model, self.config, folder, side, overwrite=overwrite, fp8_block=block, eyes=eyes)
        return folder


@torch.inference_mode(False)  # weights made inside it cannot learn, and products with them take many times as long
def load(
    name: str | os.PathLike[str],
    dtype: str | torch.dtype | None = None,
    device: str | torch.device = "cpu",
    revision: str | None = None,
    *,
    quantised: str | None = None,
    quantised_head: bool = False,
    experts: str = "memory",
    expert_budget: int | str | None = None,
    endpoint: str | None = None,
) -> Qwen:
    """Load a checkpoint; one in the official FP8 layout is dequantised. What comes from the Hub is kept in the cache
    that its other tools use, too.

    Args:
        name: one we ship ("recall"), a folder, or a Hub id ("Qwen/Qwen3.5-0.8B").
        dtype: "float32", "bfloat16", "float64", "float16"; None keeps the file's own.
        device: "cpu", "cuda", "mps", or "auto" for the best there is; if that is a GPU with too little room, layers go
            to the others and to the CPU, too (spread.py; needs accelerate; not tried on GPUs).
        revision: a branch, tag or commit on the Hub; a whole commit that is in the cache needs no network.
        quantised: "int8" or "int4" holds the matrices of layers so while it runs (weight_only.py; needs torchao).
        quantised_head: with either of them, the head in int8 too, which every new token reads in full: a third of all
            weights in the 0.8B. Where it is tied, it is the table of words.
        experts: "disk" leaves the routed experts in their files, and reads those that are asked for (expert_store.py):
            the same answers, from less memory, in more time. `qwen.experts` tells how often one was in memory.
        expert_budget: how many of them to keep in memory, or a size ("4 GB"); None for half of what is free.
        endpoint: the address of a mirror of the Hub; None takes HF_ENDPOINT, or https://huggingface.co.
    Raises:
        CheckpointError: nothing by that name, a download that fails, or a checkpoint that is damaged or incomplete.
        ConfigError: a checkpoint of another family.
        InputError: a dtype, a device, a kind of weights or a place of experts that is not there.
    """
    _check_experts(experts, expert_budget, quantised)
    if quantised_head and quantised is None:
        raise InputError(
            "quantised_head goes with the other matrices; add quantised='int8' or 'int4', or leave it out."
        )
    folder, revision = find_folder(name, revision, endpoint=endpoint)
    config = ModelConfig.from_file(folder)
    if experts == "disk" and not config.text.is_moe:
        raise InputError(f"{folder.name} has no routed experts that could stay on disk; leave out experts='disk'.")
    where, asked = find_device(device), find_dtype(dtype)
    alone = device != "auto" or where.type != "cuda" or experts == "disk" or has_room(where, folder, config, asked)
    model, report = read_model(
        folder, config, asked, where if alone else "cpu", experts=experts, expert_budget=expert_budget
    )
    if not alone:
        report = replace(report, notes=(*report.notes, spread(model, find_places(model))))
    if quantised is not None:
        report = replace(report, notes=(*report.notes, *to_weight_only(model, quantised, quantised_head)))
    from_hub = next((part for part in folder.parts if part.startswith("models--")), "")
    kind = "TINY" if folder.parent == data_path() else "REAL" if from_hub.startswith("models--Qwen--") else "OTHER"
    label = from_hub.removeprefix("models--").replace("--", "/") or folder.name
    seed = _seed_on_card(folder) if kind == "TINY" else None
    rounded = quantised and quantised + ", head in int8" * quantised_head
    return Qwen(model, config, _provenance(model, kind, label, revision, seed, rounded), folder, report)


def _check_experts(experts: str, budget: int | str | None, quantised: str | None) -> None:
    """Before anything is downloaded."""
    if experts not in ("memory", "disk"):
        raise InputError(f"Experts cannot be in {experts!r}; use experts='memory' or 'disk'.")
    if budget is not None and experts == "memory":
        raise InputError("expert_budget is for experts that stay in their files; add experts='disk', or leave it out.")
    if quantised and experts == "disk":
        raise InputError("Experts on disk are used as they are stored; leave out quantised=, or experts='disk'.")


def _seed_on_card(folder: Path) -> int | None:
    """Of the training of a model that we ship: its card says so in a sentence of `recall.publish`."""
    card = folder / "README.md"
    found = re.search(r"This folder holds seed (\d+)", card.read_text(encoding="utf-8")) if card.is_file() else None
    return int(found[1]) if found else None


@torch.inference_mode(False)
def from_config(config: Any, seed: int = 0, dtype: str | torch.dtype = "float32", device: str = "cpu") -> Qwen:
    """A model with random weights, the same for the same seed.

    Args:
        config: a family name ("Qwen3.5-0.8B"), a path, a dict, or a ModelConfig.
    Raises:
        ConfigError: not of this family.
        InputError: more weights than this machine has memory.
    """
    if isinstance(config, ModelConfig):
        parsed = config
    elif isinstance(config, Mapping):
        parsed = ModelConfig.from_dict(config)
    else:
        parsed = ModelConfig.from_file(config) if Path(config).exists() else load_config(str(config))
    label = config if isinstance(config, str) else "random weights"
    with torch.device("meta"):
        empty = build(parsed)
    needed, there = 4 * sum(p.numel() for p in empty.parameters()), memory.total()  # drawn in float32
    if needed > there:
        raise InputError(
            f"{label} takes {needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f} GB; "
            "choose a smaller model, or fewer layers or experts of this one."
        )
    model = cast(initialise(empty.to_empty(device="cpu"), seed), find_dtype(dtype) or torch.float32)
    model = model.to(find_device(device)).eval()
    return Qwen(model, parsed, _provenance(model, "RANDOM", label, seed=seed))


def save(qwen: Qwen, folder: str | Path, *, overwrite: bool = False, quantised: str | None = None) -> Path:
    """Write a checkpoint that transformers' Auto classes load, atomically; `quantised="fp8"` in the FP8 layout."""
    return qwen.save(folder, overwrite=overwrite, quantised=quantised)


def _provenance(
    model: TextModel, kind: str, name: str, revision: str | None = None, seed: int | None = None,
    quantised: str | None = None,
) -> Provenance:  # fmt: skip
    weight = model.embed_tokens.weight
    dtype = str(weight.dtype).removeprefix("torch.") + (f", matrices in {quantised}" if quantised else "")
    return Provenance(kind, name, revision, dtype, str(weight.device), seed)
