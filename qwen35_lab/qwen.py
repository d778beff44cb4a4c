"""The front door: `lab.load(...)` gives a `Qwen`, which holds model, tokenizer and where they came from."""

import copy
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import capture, memory
from .checkpoint import LoadReport, cast, read_model, write_model
from .config import ModelConfig
from .edits import AnyEdit, edited, edits_of
from .errors import CheckpointError, InputError
from .estimate import TraceSize, estimate, refuse_what_does_not_fit
from .family import load_config
from .generate import Sampling, TextStream, check_length, decode
from .inputs import Processor
from .interrupt import whole_stack
from .locate import find_device, find_dtype, find_folder
from .model import TextModel, build, mtp_logits, taps
from .model.init import initialise
from .model.taps import listen
from .passes import Passes, in_force, unedited
from .paths import data_path
from .provenance import Provenance
from .speculative import Drafts, decode_speculatively, refuse_batches
from .trace import Step, Trace

# files that make a checkpoint folder whole besides config and weights
SIDE_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
    "chat_template.jinja", "chat_template.json", "generation_config.json", "preprocessor_config.json",
    "video_preprocessor_config.json", "processor_config.json", "README.md", "LICENSE",
)  # fmt: skip
PICTURES = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
Message = Mapping[str, Any]
Prompt = str | Sequence[str] | Sequence[int] | Sequence[Message] | Tensor


class Qwen:
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
        return f"Qwen({self.provenance}: {size:,} parameters, {layers})"

    @property
    def device(self) -> torch.device:
        return self.model.embed_tokens.weight.device

    @cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's own tokenizer, by transformers. Raises `CheckpointError` if the folder has none."""
        if self.folder is None or not (self.folder / "tokenizer_config.json").exists():
            where = f"{self.folder} holds" if self.folder else "A model with random weights has"
            raise CheckpointError(f"{where} no tokenizer; pass token ids instead of text.")
        from transformers import AutoTokenizer  # slow to import, so only when it is needed

        try:
            return AutoTokenizer.from_pretrained(self.folder)
        except Exception as error:  # a file that is missing, cut off or of another kind shows itself in many ways
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(
                f"The tokenizer of {self.folder} cannot be read ({reason}); download it again, or pass token ids."
            ) from error

    @cached_property
    def processor(self) -> Processor:
        """Text, images and videos -> the tensors the model takes: `qwen.model(**qwen.processor(text=…, images=…,
        return_tensors="pt"))`, as transformers' own processor would make them.

        Raises:
            CheckpointError: the folder has no tokenizer. InputError: the model has no eyes.
        """
        if self.config.vision is None:
            raise InputError("This model has no eyes, so that there is no processor; use qwen.tokenizer.")
        return Processor.of(self.folder, self.tokenizer, self.config.vision)

    def look(self, prompt: str | Sequence[str], images: Any = None, videos: Any = None) -> dict[str, Tensor]:
        """Text with pictures as the model's arguments, on its device, several texts padded on the left.

        Args:
            images, videos: in the order of their placeholders; a single text without any has them at its beginning.
        """
        text = self.processor.with_places(prompt, images, videos) if isinstance(prompt, str) else list(prompt)
        made = self.processor(
            text=text, images=images, videos=videos, padding=True, padding_side="left", return_tensors="pt"
        )
        return {name: value.to(self.device) for name, value in made.items()}

    def encode(self, prompt: Prompt, images: Any = None, videos: Any = None) -> Tensor:
        """One prompt, text or ids, as ids [1, token] on the model's device; pictures as their placeholders."""
        return self._encode(prompt, images, videos)[0]

    def _encode(self, prompt: Prompt, images: Any, videos: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Ids [1, token], and the tensors of the pictures among them."""
        if images is None and videos is None:
            made: dict[str, Any] = dict(prompt) if isinstance(prompt, Mapping) else {}  # a processor's
            seen = {name: made[name] for name in PICTURES if made.get(name) is not None}
            return self._ids(prompt), {name: torch.as_tensor(value).to(self.device) for name, value in seen.items()}
        if not isinstance(prompt, str):
            raise InputError("Pictures go with a text; pass one, or make the tensors with qwen.processor.")
        made = self.look(prompt, images, videos)
        return made["input_ids"], {name: made[name] for name in PICTURES if name in made}

    def _ids(self, prompt: Prompt) -> Tensor:
        if isinstance(prompt, str):
            ids = self.tokenizer(prompt)["input_ids"]
            self._refuse_unknown_words(prompt, ids)
        elif isinstance(prompt, list | tuple) and prompt and all(isinstance(m, Mapping) for m in prompt):
            return self._ids(self._chat(prompt))
        elif isinstance(prompt, Mapping):  # what a tokenizer returns
            return self._ids(prompt.get("input_ids", ()))
        else:
            to_list = getattr(prompt, "tolist", None)  # of a tensor or an array
            ids = to_list() if to_list else list(prompt)
            ids = ids if isinstance(ids, list) else [ids]
            ids = ids[0] if len(ids) == 1 and isinstance(ids[0], list) else ids
        if not ids:
            raise InputError("The prompt is empty; pass at least one token.")
        if not all(isinstance(n, int) for n in ids):
            raise InputError("A prompt is a text, chat messages, or whole numbers (token ids) in one dimension.")
        return torch.tensor([ids], device=self.device)

    def _chat(self, messages: Sequence[Any]) -> list[int]:
        """Chat messages, each with a role and a content, as ids, by the checkpoint's own template."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise InputError("This checkpoint has no chat template; pass a text instead of messages.")
        try:
            found = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=True)
        except Exception as error:  # a template is a program, and raises what it likes
            raise InputError(f"The chat template refuses these messages ({error}); check their roles.") from error
        return list(found["input_ids"])

    def _refuse_unknown_words(self, prompt: str, ids: Sequence[int]) -> None:
        """Tokenizers with a fixed list of words put one token for all others: say so instead of answering nonsense."""
        if (unknown := self.tokenizer.unk_token_id) is None or unknown not in ids:
            return
        spans = self.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
        words = [prompt[start:end] for n, (start, end) in zip(ids, spans, strict=True) if n == unknown]
        words = [word for word in words if word != self.tokenizer.unk_token]  # the token itself, spelled out
        if words:
            raise InputError(f"The word {words[0]!r} is not in this model's vocabulary; use words that it knows.")

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: of the generation config, the tokenizer and the config, together."""
        stops = set(self.config.text.eos_token_id)
        if self.folder and (path := self.folder / "generation_config.json").exists():
            try:
                eos = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            except (ValueError, AttributeError, OSError) as error:
                raise CheckpointError(f"{path} is damaged; delete it or download it again.") from error
            stops |= set(eos if isinstance(eos, list) else [eos])
        with suppress(CheckpointError):  # ids can be generated without a tokenizer
            stops.add(self.tokenizer.eos_token_id)
        return tuple(sorted(n for n in stops if isinstance(n, int)))

    def generate(
        self, prompt: Prompt, max_new_tokens: int = 128, *, images: Any = None, videos: Any = None,
        stop: str | Sequence[str] = (), speculative: int | Drafts = 0, **sampling: Any,
    ) -> Any:  # fmt: skip
        """Continue a prompt. Returns what is new: a text for a text, a list for a list of texts, ids for ids.

        Args:
            prompt: a text, several texts (run as one batch), or token ids.
            images, videos: paths, PIL images, arrays, lists of frames; where the text does not say where they belong,
                at its beginning.
            stop: the answer ends before any of these strings (and at the checkpoint's own stop tokens).
            speculative: how many tokens the MTP head drafts ahead, for one prompt at a time; a `lab.Drafts` keeps a
                record. Greedy text is the same as without, sampled text is drawn from the same distribution.
            sampling: temperature, top_k, top_p, min_p, presence_penalty, repetition_penalty, seed
                (see `Sampling`); greedy if none is given.
        Raises:
            InputError: an empty or too long prompt, an id outside the vocabulary, a setting out of range, no MTP head.
        """
        stop = (stop,) if isinstance(stop, str) else tuple(stop)
        if isinstance(prompt, str):
            how: dict[str, Any] = {"images": images, "videos": videos, "stop": stop, "speculative": speculative}
            return "".join(self.stream(prompt, max_new_tokens, **how, **sampling))
        if isinstance(prompt, list | tuple) and prompt and all(isinstance(p, str) for p in prompt):
            if speculative:
                refuse_batches(len(prompt))
                how = {"images": images, "videos": videos, "stop": stop, "speculative": speculative}
                return [self.generate(str(prompt[0]), max_new_tokens, **how, **sampling)]
            batch = self._batch([str(p) for p in prompt], images, videos)
            return self._generate_texts(*batch, max_new_tokens, stop, Sampling.of(sampling))
        if stop:
            raise InputError("Stop strings end a text, and the prompt is token ids; pass a text, or leave out stop.")
        given = self._encode(prompt, images, videos)
        return torch.cat([given[0][0, :0], *self._decode(*given, max_new_tokens, Sampling.of(sampling), speculative)])

    def stream(
        self, prompt: str, max_new_tokens: int = 128, *, images: Any = None, videos: Any = None,
        stop: str | Sequence[str] = (), speculative: int | Drafts = 0, **sampling: Any,
    ) -> Iterator[str]:  # fmt: skip
        """Like `generate` for one text, piece by piece as the text becomes certain."""
        text = TextStream(self.tokenizer, (stop,) if isinstance(stop, str) else stop)
        given = self._encode(prompt, images, videos)
        for token in self._decode(*given, max_new_tokens, Sampling.of(sampling), speculative):
            if int(token) in self.stop_ids:
                break
            if piece := text.push(int(token)):
                yield piece
            if text.finished:
                return
        if rest := text.close():
            yield rest

    def _decode(
        self, ids: Tensor, pictures: Mapping[str, Tensor], new: int, sampling: Sampling, speculative: int | Drafts
    ) -> Iterator[Tensor]:
        how: dict[str, Any] = {"max_new_tokens": new, "sampling": sampling, "stop_ids": self.stop_ids}
        if isinstance(speculative, int) and speculative == 0:
            return decode(self.model, ids, pictures=pictures, **how)
        return decode_speculatively(self.model, ids, pictures=pictures, speculative=speculative, **how)

    def _batch(self, prompts: list[str], images: Any, videos: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Ids and mask [batch, token], padded on the left, and the tensors of the pictures among them."""
        if images is not None or videos is not None:
            made = self.look(prompts, images, videos)
            return made["input_ids"], made["attention_mask"], {name: made[name] for name in PICTURES if name in made}
        rows = [self.encode(p)[0] for p in prompts]
        longest = max(len(r) for r in rows)
        ids = torch.stack([torch.cat((r.new_zeros(longest - len(r)), r)) for r in rows])  # padding on the left
        mask = torch.stack([torch.cat((r.new_zeros(longest - len(r)), torch.ones_like(r))) for r in rows])
        return ids, mask, {}

    def _generate_texts(
        self, ids: Tensor, mask: Tensor, pictures: dict[str, Tensor], max_new_tokens: int, stop: tuple[str, ...],
        sampling: Sampling,
    ) -> list[str]:  # fmt: skip
        texts = [TextStream(self.tokenizer, stop) for _ in ids]
        pieces: list[list[str]] = [[] for _ in ids]
        done = [False] * len(ids)
        settings = {"max_new_tokens": max_new_tokens, "sampling": sampling, "stop_ids": self.stop_ids}
        steps = decode(self.model, ids, mask, pictures=pictures, **settings)
        for tokens in steps:
            for row, token in enumerate(tokens.tolist()):
                done[row] = done[row] or token in self.stop_ids
                if not done[row]:
                    pieces[row].append(texts[row].push(token))
                    done[row] = texts[row].finished
            if all(done):
                break
        return ["".join(p) + t.close() for p, t in zip(pieces, texts, strict=True)]

    @torch.inference_mode(False)  # what is kept may go into computations with gradients,
    @torch.no_grad()  # which this one is not
    def trace(
        self, prompt: Prompt, record: str | Iterable[str] = "*", edits: AnyEdit | Iterable[AnyEdit] = (), *,
        images: Any = None, videos: Any = None, max_new_tokens: int = 0, **sampling: Any,
    ) -> Trace:  # fmt: skip
        """Run once and keep the values of the taps that match `record`.

        Args:
            prompt: a text, token ids, or chat messages.
            record: globs; one that ends in `*` matches no lazy tap (docs/taps.md says which are). Patterns that begin
                with "mtp" run the MTP head too, over the whole text: one slot less than there are tokens.
            edits: what to change on the way, see `lab.edit` and `lab.routing`; recorded is what came of it. Those
                of an enclosing `with qwen.edited(…)` act too, and the provenance names them all.
            images, videos: as in `generate`.
            max_new_tokens: go on for so many tokens, with the cache. Then the trace has the prompt's tokens and one
                more row for each step (the last new token is chosen, but no longer read), and `trace.steps`.
            sampling: of the new tokens, as in `generate`; greedy if nothing is given.
        Raises:
            InputError: a pattern that matches nothing, an edit that does not fit or that no token of this run reaches,
                a setting that there is not, or a run that takes more memory than is free (see `trace_size`).
        """
        (ids, pictures), record = self._encode(prompt, images, videos), capture.listed(record)
        edits = edits_of(edits)
        chosen = self._sampling(ids, max_new_tokens, sampling)
        mtp = any(name.startswith("mtp.") for name in capture.chosen(self.model, record))
        if mtp and max_new_tokens:
            raise InputError("The MTP head is traced over a given text; leave out max_new_tokens, or the mtp taps.")
        counts = self._counts(pictures)
        refuse_what_does_not_fit(self.model, record, ids.shape[1], edits, max_new_tokens, **counts)
        with edited(self.model, edits), capture.record(self.model, record) as values:
            in_words = tuple(str(each) for each in in_force(self.model))
            every = self.model.logits.wanted  # else only the scores that the next token is chosen by are formed
            if max_new_tokens:
                ids, steps = self._steps(ids, pictures, max_new_tokens, chosen, every)
            else:
                out, steps = self.model(ids, logits_to_keep=0 if every else 1, **pictures), ()
                if mtp:
                    mtp_logits(self.model, out.hidden, ids, positions=out.positions, embedded=out.embedded)
        axes = {name: tap.axes for name, tap in taps(self.model) if name in values}
        tensors = {name: capture.joined(values.pop(name), name, axes[name])[0] for name in list(values)}
        provenance = replace(self.provenance, edits=in_words, sampling=str(chosen) if max_new_tokens else "")
        tokens = [self.token_text(int(i)) for i in ids[0]]
        return Trace(tokens, ids[0], tensors, {n: axes[n][1:] for n in tensors}, provenance, steps)

    def _sampling(self, ids: Tensor, new: int, settings: Mapping[str, Any]) -> Sampling:
        """How a trace chooses its tokens, if it shall have any. Raises `InputError` for what does not go together."""
        found = Sampling.of(settings)
        check_length(self.model, ids.shape[1] if new else 0, new)
        if settings and not new:
            raise InputError(f"{next(iter(settings))} is about new tokens, and there are none; pass max_new_tokens=….")
        return found

    def _counts(self, pictures: Mapping[str, Tensor]) -> dict[str, int]:
        """How many patches and cells the pictures have."""
        patches = sum(len(value) for name, value in pictures.items() if name.startswith("pixel_values"))
        merge = self.config.vision.spatial_merge_size if self.config.vision else 1
        return {"patches": patches, "cells": patches // merge**2}

    def _steps(
        self, ids: Tensor, pictures: Mapping[str, Tensor], new: int, sampling: Sampling, every: bool
    ) -> tuple[Tensor, tuple[Step, ...]]:
        """Generate; returns the tokens that were read, [1, token], and what was said before each new one."""
        last: list[Tensor] = []
        with whole_stack() as stack:
            listen(
                stack, self.model.logits, lambda module, inputs, value: last.__setitem__(slice(None), [value[0, -1]])
            )
            rows = []
            for token in decode(
                self.model, ids, max_new_tokens=new, sampling=sampling, stop_ids=self.stop_ids, every_logit=every,
                pictures=pictures,
            ):  # fmt: skip
                p = last[0].double().log_softmax(-1)
                n = int(token)
                rank, entropy = int((p > p[n]).sum()), -float((p.exp() * p).nansum())
                position = ids.shape[1] + len(rows)
                rows.append(Step(position, n, self.token_text(n), float(p[n].exp()), rank, entropy))
        read = [step.id for step in rows[:-1]]
        return torch.cat((ids, ids.new_tensor([read])), dim=1), tuple(rows)

    def edited(self, *edits: AnyEdit) -> AbstractContextManager[Passes]:
        """Inside the block the model runs with these edits, in their order; afterwards it is as before, bit for bit.

            with qwen.edited(lab.edit("layers.0.mixer.erase").scale(0)):
                qwen.generate(…)

        They act in the thread that opens the block, and in no other.

        Raises:
            InputError: an edit that does not fit; at the end of the block, one that met none of its places.
        """
        return edited(self.model, edits)

    def trace_size(
        self, prompt: Prompt, record: str | Iterable[str] = "*", edits: AnyEdit | Iterable[AnyEdit] = (), *,
        images: Any = None, videos: Any = None, max_new_tokens: int = 0,
    ) -> TraceSize:  # fmt: skip
        """Bytes that `trace` would keep, by tap name, and with `.peak` the most it takes at one time, beyond the
        weights; nothing is run. An answer may stop early, and then takes less."""
        ids, pictures = self._encode(prompt, images, videos)
        self._sampling(ids, max_new_tokens, {})
        record, counts = capture.listed(record), self._counts(pictures)
        return estimate(self.model, record, ids.shape[1], edits_of(edits), max_new_tokens, **counts)

    def twin(self) -> "Qwen":
        """The same weights in memory, with taps and routers of its own: what is edited or recorded there is not noticed
        here. It begins unedited, also inside a `with qwen.edited(…)`."""
        shared = {id(tensor): tensor for tensor in self.model.parameters()}
        model = copy.deepcopy(self.model, shared | unedited(self.model))
        twin = Qwen(model, self.config, self.provenance, self.folder, self.report)
        if "tokenizer" in vars(self):
            twin.tokenizer = self.tokenizer
        return twin

    def token_text(self, token: int) -> str:
        """The text of one token; its id in angle brackets if there is no tokenizer."""
        try:
            return self.tokenizer.decode([token])
        except CheckpointError:
            return f"<{token}>"

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write a checkpoint that transformers' Auto classes load, atomically."""
        folder = Path(folder)
        with tempfile.TemporaryDirectory() as temporary:
            if self.folder is None and "tokenizer" in self.__dict__:  # a model that was trained here
                self.tokenizer.save_pretrained(temporary)
            source = self.folder or Path(temporary)
            side = tuple(p for name in SIDE_FILES if (p := source / name).exists())
            write_model(self.model, self.config, folder, side, overwrite=overwrite)
        return folder


def load(
    name: str | os.PathLike[str],
    dtype: str | torch.dtype | None = None,
    device: str | torch.device = "cpu",
    revision: str | None = None,
) -> Qwen:
    """Load a checkpoint.

    Args:
        name: one we ship ("recall"), a folder, or a Hub id ("Qwen/Qwen3.5-0.8B").
        dtype: "float32", "bfloat16", "float64", "float16"; None keeps the file's own.
        device: "cpu", "cuda", "mps", or "auto" for the best there is.
        revision: a branch, tag or commit on the Hub.
    Raises:
        CheckpointError: nothing by that name, or a checkpoint that is damaged or incomplete.
        ConfigError: a checkpoint of another family.
        InputError: a dtype or a device that is not there.
    """
    folder, revision = find_folder(name, revision)
    config = ModelConfig.from_file(folder)
    model, report = read_model(folder, config, find_dtype(dtype), find_device(device))
    from_hub = next((part for part in folder.parts if part.startswith("models--")), "")
    kind = "TINY" if folder.parent == data_path() else "REAL" if from_hub.startswith("models--Qwen--") else "OTHER"
    label = from_hub.removeprefix("models--").replace("--", "/") or folder.name
    seed = _seed_on_card(folder) if kind == "TINY" else None
    return Qwen(model, config, _provenance(model, kind, label, revision, seed), folder, report)


def _seed_on_card(folder: Path) -> int | None:
    """Of the training of a model that we ship: its card says so in a sentence of `recall.publish`."""
    card = folder / "README.md"
    found = re.search(r"This folder holds seed (\d+)", card.read_text(encoding="utf-8")) if card.is_file() else None
    return int(found[1]) if found else None


def from_config(config: Any, seed: int = 0, dtype: str | torch.dtype = "float32", device: str = "cpu") -> Qwen:
    """A model with random weights, the same for the same seed.

    Args:
        config: a family name ("Qwen3.5-0.8B"), a path, a dict, or a ModelConfig.
    Raises:
        ConfigError: not of this family. InputError: more weights than this machine has memory.
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


def save(qwen: Qwen, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a checkpoint that transformers' Auto classes load, atomically."""
    return qwen.save(folder, overwrite=overwrite)


def _provenance(
    model: TextModel, kind: str, name: str, revision: str | None = None, seed: int | None = None
) -> Provenance:
    weight = model.embed_tokens.weight
    return Provenance(kind, name, revision, str(weight.dtype).removeprefix("torch."), str(weight.device), seed)
