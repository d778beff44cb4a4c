"""The line that starts a server of an official model, for the machine at hand, and what is known about it.

Nothing here has been run but `transformers serve`, which the tests of this package start. The other lines are put
together from what the makers of model and engine publish; each note names its source and the day it was read or dated.
What fits is arithmetic: weights and cache from the config (family.sizes), and a flat allowance for everything else.
"""

import json
import shlex
from dataclasses import dataclass
from typing import Any

import torch

from .. import memory as machine
from ..errors import InputError
from ..family import full_name, load_config, memory, weight_bytes
from .client import ENGINES

NATIVE, LONGEST = 262_144, 1_010_000  # tokens; the latter is the longest that a card claims
ROOM_GB = 2.0  # on every GPU, for activations and graphs; assumed
SHARE = 0.9  # of a GPU that vLLM takes unless told otherwise
FP8 = ("Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B", "Qwen3.5-397B-A17B")  # that have an official one
OLLAMA_GB = {
    "Qwen3.5-0.8B": 1.0, "Qwen3.5-2B": 2.7, "Qwen3.5-4B": 3.4, "Qwen3.5-9B": 6.6, "Qwen3.5-27B": 17.0,
    "Qwen3.5-35B-A3B": 24.0, "Qwen3.5-122B-A10B": 81.0,
}  # fmt: skip
SOURCES = {
    "card": ("the model's card", "2026-03-02"),
    "recipe": ("vllm-project/recipes, models/Qwen/Qwen3.5-9B.yaml, commit 015a26cb", "2026-09-10"),
    "vllm docs": ("docs.vllm.ai v0.26.0, Reasoning Outputs", "2026-11"),
    "ollama tags": ("ollama.com/library/qwen3.5, list of tags", "2026-11-01"),
    "ollama context": ("ollama/ollama, docs/context-length.mdx, commit 948f6933", "2026-11"),
    "ollama api": ("docs.ollama.com, OpenAI compatibility", "2026-11"),
    "llama.cpp": ("ggml-org/llama.cpp, tools/server/README.md, commit b739738d", "2026-11"),
    "unsloth": ("huggingface.co/unsloth/Qwen3.5-9B-GGUF", "2026-11"),
    "here": ("this package's tests, transformers 5.23", "2026-11-25"),
    "sizes": ("config.json of the model, in data/family", "2026-11"),
}


@dataclass(frozen=True)
class Note:
    """A sentence about a command. `checked`: this project has run it, or computed it; if not, the source says so."""

    text: str
    source: str
    date: str

    @property
    def checked(self) -> bool:
        return (self.source, self.date) in (SOURCES["here"], SOURCES["sizes"])


@dataclass(frozen=True)
class Command:
    """A command and its notes. `print` it for the line alone; a notebook shows both."""

    engine: str
    model: str  # as the server will call it
    text: str
    notes: tuple[Note, ...]
    fits: bool | None  # None where nothing is known about the machine

    def __str__(self) -> str:
        return self.text

    @property
    def client(self) -> str:
        """What to type then."""
        return f'lab.Client("{self.engine}", "{self.model}")'

    def _repr_markdown_(self) -> str:
        told = [f"- {'✓ ' if note.checked else ''}{note.text} ({note.source}, {note.date})" for note in self.notes]
        return (
            f"```\n{self.text}\n```\nThen `{self.client}`. ✓ is checked here, the rest is as its source says.\n\n"
            + ("\n".join(told))
        )


@dataclass(frozen=True)
class Machine:
    """GPUs with so many GB each, as they are sold, which are 2^30 bytes; and memory beside them."""

    gpus: int
    gpu_gb: float
    ram_gb: float

    @classmethod
    def here(cls) -> "Machine":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        each = min((torch.cuda.get_device_properties(n).total_memory for n in range(gpus)), default=0)
        return cls(gpus, each / 2**30, machine.total() / 2**30)

    def __str__(self) -> str:
        return f"{self.gpus} × {self.gpu_gb:.0f} GB" if self.gpus else f"no GPU, {self.ram_gb:.0f} GB of memory"


def serve_command(
    engine: str, model: str = "Qwen/Qwen3.5-9B", *, gpus: int | None = None, gpu_gb: float | None = None,
    context: int = 32_768, tools: bool = True, drafts: int = 0, eyes: bool = True, port: int | None = None,
) -> Command:  # fmt: skip
    """How to start a server of an official model.

    Args:
        engine: "vllm", "sglang", "ollama", "llama.cpp" or "transformers".
        model: one of the eight, "Qwen/Qwen3.5-9B" or "9B"; with "-FP8" where there is such a checkpoint.
        gpus, gpu_gb: of the machine it will run on, GB of each; by default of this one.
        context: tokens of prompt and answer together; above 262,144 with YaRN, which only 4B and larger claim.
        tools: let the server take tool calls out of the answers.
        drafts: tokens that the MTP head guesses ahead, in vLLM and SGLang; 0 for none.
        eyes: False leaves the vision tower out, where the engine can.
        port: by default the engine's usual one.
    Raises:
        InputError: an engine, a length or a machine that is none.
        ConfigError: no such model.
    """
    if engine not in ENGINES:
        raise InputError(f"There is no engine {engine!r}; choose from {', '.join(ENGINES)}.")
    for name, value, least in (("gpus", gpus, 0), ("context", context, 1), ("drafts", drafts, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InputError(f"{name} is {value!r}; pass a whole number, {least} or more.")
    small, there = model.removesuffix("-FP8"), Machine.here()
    name, fp8 = full_name(small), model.endswith("-FP8")
    if fp8 and name not in FP8:
        raise InputError(f"There is no official {name}-FP8; those with FP8 are {', '.join(FP8)}.")
    if context > (NATIVE if name in ("Qwen3.5-0.8B", "Qwen3.5-2B") else LONGEST):
        raise InputError(f"{name} is not said to read {context:,} tokens; its card ends at {_most(name):,}.")
    if gpus is not None or gpu_gb is not None:
        there = Machine(1 if gpus is None else gpus, gpu_gb or there.gpu_gb, there.ram_gb)
        if there.gpus and not there.gpu_gb > 0:
            raise InputError("How large are the GPUs? Pass gpu_gb, such as 24.")
    asked = _Asked(name, fp8, there, context, tools, drafts, eyes, port or ENGINES[engine].port)
    return {"vllm": _vllm, "sglang": _sglang, "ollama": _ollama, "llama.cpp": _llama_cpp,
            "transformers": _transformers}[engine](asked)  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    name: str
    fp8: bool
    machine: Machine
    context: int
    tools: bool
    drafts: int
    eyes: bool
    port: int

    @property
    def repo(self) -> str:
        return f"Qwen/{self.name}{'-FP8' * self.fp8}"

    @property
    def needed_gb(self) -> float:
        """Weights of the whole checkpoint, and the cache of one text of full length."""
        config = load_config(self.name)
        weights = weight_bytes(config, "fp8" if self.fp8 else "bfloat16", text_only=not self.eyes)
        return (weights + memory(config, self.context).cache) / 1e9

    def split(self) -> tuple[int, bool | None, Note]:
        """Over how many GPUs, whether that fits, and in words."""
        need, there = self.needed_gb, self.machine
        room = SHARE * there.gpu_gb * 2**30 / 1e9 - ROOM_GB
        ways = [n for n in (1, 2, 4, 8) if n <= there.gpus]
        found = next((n for n in ways if need / n <= room), None)
        said = f"{self.repo} takes {need:.1f} GB: weights, and the cache of one text of {self.context:,} tokens"
        if not there.gpus:
            return 1, None, _note(f"{said}. Here is {there}; for another machine pass gpus and gpu_gb.", "sizes")
        if found:
            return found, True, _note(f"{said}; on {found} of {there} that fits.", "sizes")
        other = " Its FP8 checkpoint takes about half." if self.name in FP8 and not self.fp8 else ""
        return ways[-1], False, _note(f"{said}: that does **not** fit into {there}.{other}", "sizes")

    def yarn(self) -> dict[str, Any]:
        """What the config must say to read so far; nothing up to the native length."""
        if self.context <= NATIVE:
            return {}
        rope = load_config(self.name).raw["text_config"]["rope_parameters"]
        factor = 2.0 if self.context <= 2 * NATIVE else 4.0
        more = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": NATIVE}
        return {"text_config": {"rope_parameters": {**rope, **more}}}


def _most(name: str) -> int:
    return NATIVE if name in ("Qwen3.5-0.8B", "Qwen3.5-2B") else LONGEST


def _note(text: str, source: str) -> Note:
    return Note(text, *SOURCES[source])


YARN = "YaRN is static: it is on for every text, however short, and may cost quality there."


def _vllm(asked: _Asked) -> Command:
    split, fits, note = asked.split()
    words = ["vllm", "serve", asked.repo, "--port", str(asked.port), "--tensor-parallel-size", str(split),
             "--max-model-len", str(asked.context), "--reasoning-parser", "qwen3"]  # fmt: skip
    notes = [
        note, _note("vLLM 0.17 or newer; `--reasoning-parser qwen3` takes thoughts out of the content.", "recipe"),
        _note("Thoughts come in the field `reasoning`, which used to be `reasoning_content`.", "vllm docs"),
    ]  # fmt: skip
    if asked.tools:
        words += ["--enable-auto-tool-choice", "--tool-call-parser", "qwen3_coder"]
        notes.append(_note("The parser of tool calls is `qwen3_coder`.", "recipe"))
    if asked.drafts:
        words += ["--speculative-config", json.dumps({"method": "mtp", "num_speculative_tokens": asked.drafts})]
        notes.append(_note('The method is "mtp"; the card still calls it "qwen3_next_mtp".', "recipe"))
    if not asked.eyes:
        words.append("--language-model-only")
        notes.append(_note("`--language-model-only` leaves the vision tower out.", "recipe"))
    if found := asked.yarn():
        words = ["VLLM_ALLOW_LONG_MAX_MODEL_LEN=1", *words, "--hf-overrides", json.dumps(found)]
        notes.append(_note(YARN, "recipe"))
    return Command("vllm", asked.repo, _line(words), tuple(notes), fits)


def _sglang(asked: _Asked) -> Command:
    split, fits, note = asked.split()
    words = ["python", "-m", "sglang.launch_server", "--model-path", asked.repo, "--port", str(asked.port),
             "--tp-size", str(split), "--context-length", str(asked.context),
             "--reasoning-parser", "qwen3"]  # fmt: skip
    notes = [note, _note("`--reasoning-parser qwen3` takes thoughts out of the content.", "card")]
    if asked.tools:
        words += ["--tool-call-parser", "qwen3_coder"]
        notes.append(_note("The parser of tool calls is `qwen3_coder`.", "card"))
    if asked.drafts:
        words += ["--speculative-algo", "NEXTN", "--speculative-num-steps", str(asked.drafts),
                  "--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", str(asked.drafts + 1)]  # fmt: skip
        notes.append(_note("MTP is called NEXTN; the card drafts 3.", "card"))
    if found := asked.yarn():
        words = ["SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1", *words, "--json-model-override-args", json.dumps(found)]
        notes.append(_note(YARN, "card"))
    return Command("sglang", asked.repo, _line(words), tuple(notes), fits)


def _ollama(asked: _Asked) -> Command:
    size = OLLAMA_GB.get(asked.name)
    tag = "qwen3.5:" + asked.name.removeprefix("Qwen3.5-").split("-")[0].lower()
    if size is None or asked.fp8 or asked.context > NATIVE:
        raise InputError(
            "Ollama has this family up to 122B, in files of its own of four to eight bits, up to 262,144 tokens; "
            "choose one of these, or another engine."
        )
    cache = memory(load_config(asked.name), asked.context).cache / 1e9
    there, need = asked.machine, size + cache
    fits = need <= max(there.gpus * there.gpu_gb, there.ram_gb) * 2**30 / 1e9
    lines = [f"OLLAMA_CONTEXT_LENGTH={asked.context} ollama serve", f"ollama pull {tag}"]
    notes = [
        _note(f"The file has {size:g} GB.", "ollama tags"),
        _note(f"A text of {asked.context:,} tokens adds {cache:.1f} GB of cache; on {there} that "
              f"{'fits' if fits else 'does **not** fit'}.", "sizes"),
        _note("Without the first line's setting the context is 4k tokens on GPUs below 24 GiB, 32k below 48.",
              "ollama context"),
        _note("It thinks unless told otherwise, by `reasoning_effort`; our client does that.", "ollama api"),
    ]  # fmt: skip
    return Command("ollama", tag, "\n".join(lines), tuple(notes), fits)


def _llama_cpp(asked: _Asked) -> Command:
    repo = f"unsloth/{asked.name}-GGUF"
    if asked.fp8 or asked.context > NATIVE:
        raise InputError("llama.cpp reads GGUF files, here up to 262,144 tokens; leave out -FP8, or take vllm.")
    words = ["llama-server", "-hf", f"{repo}:UD-Q4_K_XL", "--ctx-size", str(asked.context), "--port", str(asked.port)]
    words += [] if asked.eyes else ["--no-mmproj"]
    notes = [
        _note("A conversion by unsloth, about four bits a weight; whether it fits depends on the file.", "unsloth"),
        _note("The chat template is used as it is, and thoughts come in `reasoning_content`.", "llama.cpp"),
        _note("`--reasoning-budget N` ends a thought after N tokens.", "llama.cpp"),
    ]  # fmt: skip
    return Command("llama.cpp", repo, _line(words), tuple(notes), None)


def _transformers(asked: _Asked) -> Command:
    if asked.fp8 or asked.context > NATIVE or asked.drafts:
        raise InputError("transformers serve takes checkpoints as they are; leave out -FP8, drafts and long contexts.")
    device = "cuda" if asked.machine.gpus else "cpu"
    words = ["transformers", "serve", asked.repo, "--device", device, "--port", str(asked.port)]
    notes = [
        _note("Of a folder, `lab.serve(folder)` does the same, waits and cleans up.", "here"),
        _note("It separates thoughts and tool calls by itself, and counts tokens.", "here"),
        _note("top_k is refused; a temperature does nothing unless generation_config.json samples.", "here"),
        _note("For pictures it needs torchvision; one question is answered after the other.", "here"),
    ]  # fmt: skip
    return Command("transformers", asked.repo, _line(words), tuple(notes), None)


def _line(words: list[str]) -> str:
    """One command over several lines, each option on its own."""
    safe = [word if "=" in word and word.split("=")[0].isupper() else shlex.quote(word) for word in words]
    text = ""
    for word in safe:
        text += (" \\\n  " if word.startswith("--") else " " if text else "") + word
    return text
