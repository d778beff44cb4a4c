"""A checkpoint folder -> our model, and our model -> a folder that transformers loads.

A table maps official tensor names to ours (names.py). It is strict both ways: a tensor that is missing or has the wrong
shape is an error that names it, and so is one nobody asked for. What is left out on purpose is listed in the report.
Only safetensors are read; they are memory-mapped, so that loading in the file's own dtype copies nothing.

Official names: the checkpoints on the Hub, and `transformers/models/qwen3_5*/modeling_*.py`.
"""

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from .config import ModelConfig
from .config_json import multimodal, text_only
from .errors import CheckpointError
from .expert_store import ExpertStore, UnmappedTensors
from .files import write_folder
from .fp8 import FIELD, fp8_words, is_rounded, to_fp8
from .model import MultimodalModel, TextModel, build
from .names import PREFIXES, name_map, official_name, vision_names
from .tensors import INDEX, StoredTensors

IGNORED = (r"mtp\..*",)  # parts of the architecture this model does not have
UNSEEN = r"model\.visual\..*"  # left out where the config has no vision: a language model out of a larger checkpoint
KEPT_FLOAT32 = (".mixer.A_log", ".mixer.norm.weight")  # as in the official files; rounding them ruins the decay


@dataclass(frozen=True)
class LoadReport:
    """What `read_model` did. `print` it."""

    folder: Path
    tensors: int
    bytes: int  # of the tensors that were used, as stored
    ignored: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()  # what else there is to know
    experts: ExpertStore | None = None  # where they stay in the files

    def __repr__(self) -> str:
        groups: dict[str, int] = {}
        for name in self.ignored:
            group = ".".join(name.split(".")[: 2 if name.startswith("model.") else 1])
            groups[group] = groups.get(group, 0) + 1
        left_out = ", ".join(f"{n} × {group}.*" for group, n in groups.items()) or "nothing"
        line = f"{self.tensors} tensors, {self.bytes / 1e6:,.1f} MB from {self.folder}; ignored: {left_out}"
        return "\n".join((line, *self.notes))


def read_model(
    folder: Path, config: ModelConfig, dtype: torch.dtype | None = None, device: str | torch.device = "cpu", *,
    experts: str = "memory", expert_budget: int | str | None = None,
) -> tuple[TextModel, LoadReport]:  # fmt: skip
    """Build the model of a checkpoint folder.

    Args:
        dtype: of the weights; None takes the file's own. `A_log` and the DeltaNet norm stay float32 at least.
        device: where the weights go; on the CPU they stay memory-mapped where no conversion is needed.
        experts: "disk" leaves the routed experts in the files, and keeps `expert_budget` of them: expert_store.py.
    Raises:
        InputError: a budget that holds no expert.
        CheckpointError: a file or a tensor that is missing, damaged, misshapen or unexpected.
    """
    with torch.device("meta"):
        model = build(config)
    with ExitStack() as stack:
        on_disk = UnmappedTensors(folder, stack, config.fp8) if experts == "disk" else None
        tensors = on_disk or StoredTensors(folder, stack, config.fp8)
        notes = _without_mtp(model, tensors) + tensors.notes()
        names = name_map(config.text) | vision_names(config.vision)
        prefix = next((p for p in PREFIXES if p + "embed_tokens.weight" in tensors), PREFIXES[-1])
        dtype = dtype or tensors.dtype(prefix + "embed_tokens.weight")
        store = ExpertStore(on_disk, config.text, dtype, device) if on_disk else None
        parameters = dict(model.named_parameters())
        problems, used = [], set()
        big = sum(p.numel() for p in parameters.values()) > 100e6
        for ours, parameter in tqdm(parameters.items(), "Loading", unit=" tensors", disable=not big, leave=False):
            official = official_name(names[ours], prefix)
            sources = tensors.sources(official, config.text)
            missing = [name for name in sources if name not in tensors]
            if missing:
                problems.append(f"{missing[0] if len(missing) < len(sources) else official} is missing")
                continue
            used.update(sources, tensors.scales(sources))
            if fault := tensors.misshapen(official, sources, parameter.shape) or tensors.fault(sources):
                problems.append(fault)
                continue
            if store and ".mlp.experts." in official:
                store.take(model, ours, official, sources)
                continue
            tensor = tensors.read(official, sources, dtype)
            _assign(model, ours, tensor.to(device=device, dtype=dtype_of(ours, dtype)))
        left = [name for name in tensors if name not in used]
        ignored = [n for n in left if _is_ignored(n, config)]
        problems += [f"{n} is not part of this architecture" for n in left if n not in set(ignored)]
        if problems:
            more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
            raise CheckpointError(
                f"The checkpoint {folder} does not match its config.json: {'; '.join(problems[:5])}{more}; "
                "download it again, or check that config.json and the weights belong together."
            )
    if store:
        store.keep(expert_budget)
        store.forget()
        notes += (store.note(config.text),)
    return model.eval(), LoadReport(folder, len(used), tensors.bytes, sorted(ignored), notes, store)


def _without_mtp(model: TextModel, tensors: StoredTensors) -> tuple[str, ...]:
    """Take off an MTP head that the config promises and the files do not hold (transformers writes such); say so."""
    if model.mtp is None or any(name.startswith("mtp.") for name in tensors):
        return ()
    model.mtp = None
    return ("The config promises an MTP head, but there are no mtp.* tensors: loaded without it.",)


def dtype_of(name: str, dtype: torch.dtype) -> torch.dtype:
    """The dtype of one of our parameters in a model of `dtype`."""
    return torch.promote_types(dtype, torch.float32) if name.endswith(KEPT_FLOAT32) else dtype


def cast(model: TextModel, dtype: torch.dtype) -> TextModel:
    """Change a model's dtype in place, as loading would; a plain `.to(dtype)` would round the decay too."""
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name, dtype))
    return model


def write_model(
    model: TextModel,
    config: ModelConfig,
    folder: Path,
    extra: tuple[Path, ...] = (),
    *,
    overwrite: bool = False,
    max_shard_bytes: int = 5_000_000_000,
    fp8_block: tuple[int, int] | None = None,
    eyes: bool = True,
) -> None:
    """Write `config.json` and safetensors that transformers' Auto classes load, atomically: all or nothing.

    Args:
        extra: files to copy along (tokenizer, chat template, …).
        overwrite: replace a folder that exists.
        max_shard_bytes: larger models are split into several files with an index.
        fp8_block: write the matrices of layers in FP8, with a scale for so many rows × columns; see fp8.py.
        eyes: False writes the language model alone, without its vision tower.
    """
    seeing = eyes and isinstance(model, MultimodalModel)
    names = name_map(model.config) | vision_names(config.vision if seeing else None)
    prefix = PREFIXES[0 if seeing else 1]
    written = {n: p for n, p in model.named_parameters() if eyes or not n.startswith("vision.")}
    tensors = {official_name(names[n], prefix): p.detach().cpu().contiguous() for n, p in written.items()}
    fp8 = None
    if fp8_block:
        tensors, fp8 = to_fp8(tensors, {name for name in tensors if is_rounded(name)}, fp8_block)
    shards = _shards(tensors, max_shard_bytes)
    with write_folder(folder, overwrite=overwrite) as beside:
        for file, part in shards.items():
            try:
                save_file(part, beside / file, metadata={"format": "pt"})
            except SafetensorError as error:  # it wraps the operating system's errors
                raise OSError(str(error)) from error
            (beside / file).chmod(0o644)  # safetensors makes it readable by its owner alone
        if len(shards) > 1:
            weight_map = {name: file for file, part in shards.items() for name in part}
            total = sum(t.numel() * t.element_size() for t in tensors.values())
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            (beside / INDEX).write_text(json.dumps(index, indent=2))
        dtype = str(model.embed_tokens.weight.dtype).removeprefix("torch.")
        words = (multimodal if seeing else text_only)(config, dtype, mtp=model.mtp is not None)
        words |= {FIELD: fp8_words(fp8)} if fp8 else {}
        (beside / "config.json").write_text(json.dumps(words, indent=2) + "\n")
        for path in extra:
            (beside / path.name).write_bytes(path.read_bytes())


def _is_ignored(name: str, config: ModelConfig) -> bool:
    if name.startswith("mtp.") and config.text.mtp_num_hidden_layers:
        return False
    tied_head = config.text.tie_word_embeddings and name == "lm_head.weight"
    patterns = IGNORED if config.vision else (*IGNORED, UNSEEN)
    return tied_head or any(re.fullmatch(pattern, name) for pattern in patterns)


def _assign(model: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))


def _shards(tensors: dict[str, Tensor], limit: int) -> dict[str, dict[str, Tensor]]:
    """File name -> tensors, in order, each file up to `limit` bytes (a single larger tensor gets its own)."""
    groups: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        more = tensor.numel() * tensor.element_size()
        if groups[-1] and size + more > limit:
            groups.append({})
            size = 0
        groups[-1][name] = tensor
        size += more
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": part for i, part in enumerate(groups, 1)}
