"""The line that starts a server of an official model, for the machine at hand, and what is known about it.

Nothing here has been run but `transformers serve`, which the tests of this package start. The other lines are put
together from what the makers of model and engine publish; each note names its source and the day it was read or dated.
What fits is arithmetic: weights and cache from the config (family/stored.py), and a flat allowance for the rest, since
these engines' own buffers are not those that `will_it_fit` counts.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..family import full_name, load_config, memory
from ..family.stored import VISION, loaded_bytes
from .client import ENGINES
from .machine import Machine

NATIVE, LONGEST = 262_144, 1_010_000  # tokens; the latter is the longest that a card claims
SHORT = ("Qwen3.5-0.8B", "Qwen3.5-2B")  # whose cards claim the native length only
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
    for name, value, least in (("gpus", gpus, 0), ("context", context, 1), ("drafts", drafts, 0), ("port", port, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InputError(f"{name} is {value!r}; pass a whole number, {least} or more.")
    there, fp8 = Machine.here(), str(model).endswith("-FP8")
    name = full_name(str(model).removesuffix("-FP8"))
    if fp8 and name not in FP8:
        raise InputError(f"There is no official {name}-FP8; those with FP8 are {', '.join(FP8)}.")
    if context > (most := NATIVE if name in SHORT else LONGEST):
        raise InputError(f"{name} is not said to read {context:,} tokens; its card ends at {most:,}.")
    if gpus is not None or gpu_gb is not None:
        there = Machine(1 if gpus is None else gpus, there.gpu_gb if gpu_gb is None else gpu_gb, there.ram_gb)
        if there.gpus and not (isinstance(there.gpu_gb, int | float) and there.gpu_gb > 0):
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

    def split(self, tower: bool) -> tuple[int, bool | None, Note]:
        """Over how many GPUs, with the vision tower or not, whether that fits, and in words."""
        parts = loaded_bytes(load_config(self.name), "fp8" if self.fp8 else "bfloat16", self.context)
        size, there = sum(size for part, size in parts.items() if tower or part != VISION), self.machine
        number, fits = there.split(size)
        said = f"{self.repo} takes {size / 1e9:.1f} GB: weights, and the cache of one text of {self.context:,} tokens"
        other = " Its FP8 checkpoint takes about half." if self.name in FP8 and not self.fp8 else ""
        ends = {
            None: f". Here is {there}; for another machine pass gpus and gpu_gb.",
            True: f"; on {number} of {there} that fits.",
            False: f"; that does **not** fit into {there}.{other}",
        }
        return number, fits, _note(said + ends[fits], "sizes")

    def yarn(self) -> dict[str, Any]:
        """What the config must say to read so far; nothing up to the native length."""
        if self.context <= NATIVE:
            return {}
        rope = load_config(self.name).raw["text_config"]["rope_parameters"]
        factor = 2.0 if self.context <= 2 * NATIVE else 4.0
        more = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": NATIVE}
        return {"text_config": {"rope_parameters": {**rope, **more}}}


def _note(text: str, source: str) -> Note:
    return Note(text, *SOURCES[source])


@dataclass(frozen=True)
class _Option:
    """Words of a line, if something asks for them; what they do, and who says so."""

    asked: object
    words: tuple[str, ...]
    text: str
    source: str


PARSER = "The parser of tool calls is `qwen3_coder`."
YARN = "YaRN is static: it is on for every text, however short, and may cost quality there."


def _over_gpus(
    engine: str, asked: _Asked, begin: Sequence[str], number: str, options: Sequence[_Option], *, allow: str,
    tower: bool,
) -> Command:  # fmt: skip
    """The line of an engine that splits a model over GPUs.

    Args:
        number: the option that says over how many.
        allow: the variable without which the engine refuses lengths beyond the native one.
        tower: whether the vision tower is loaded.
    """
    split, fits, note = asked.split(tower)
    used = [option for option in options if option.asked]
    words = [f"{allow}=1"] * bool(asked.yarn()) + [*begin, "--port", str(asked.port), number, str(split)]
    words += [word for option in used for word in option.words]
    notes = (note, *(_note(option.text, option.source) for option in used))
    return Command(engine, asked.repo, _line(words), notes, fits)


def _vllm(asked: _Asked) -> Command:
    begin = ("vllm", "serve", asked.repo, "--max-model-len", str(asked.context))
    draft = json.dumps({"method": "mtp", "num_speculative_tokens": asked.drafts})
    parser = ("--enable-auto-tool-choice", "--tool-call-parser", "qwen3_coder")
    options = (
        _Option(True, ("--reasoning-parser", "qwen3"),
                "vLLM 0.17 or newer; `--reasoning-parser qwen3` takes thoughts out of the content.", "recipe"),
        _Option(True, (), "Thoughts come in the field `reasoning`, which used to be `reasoning_content`.", "vllm docs"),
        _Option(asked.tools, parser, PARSER, "recipe"),
        _Option(asked.drafts, ("--speculative-config", draft),
                'The method is "mtp"; the card still calls it "qwen3_next_mtp".', "recipe"),
        _Option(not asked.eyes, ("--language-model-only",),
                "`--language-model-only` leaves the vision tower out.", "recipe"),
        _Option(asked.yarn(), ("--hf-overrides", json.dumps(asked.yarn())), YARN, "recipe"),
    )  # fmt: skip
    return _over_gpus("vllm", asked, begin, "--tensor-parallel-size", options,
                      allow="VLLM_ALLOW_LONG_MAX_MODEL_LEN", tower=asked.eyes)  # fmt: skip


def _sglang(asked: _Asked) -> Command:
    begin = ("python", "-m", "sglang.launch_server", "--model-path", asked.repo, "--context-length", str(asked.context))
    draft = ("--speculative-algo", "NEXTN", "--speculative-num-steps", str(asked.drafts),
             "--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", str(asked.drafts + 1))  # fmt: skip
    options = (
        _Option(True, ("--reasoning-parser", "qwen3"),
                "`--reasoning-parser qwen3` takes thoughts out of the content.", "card"),
        _Option(asked.tools, ("--tool-call-parser", "qwen3_coder"), PARSER, "card"),
        _Option(asked.drafts, draft, "MTP is called NEXTN; the card drafts 3.", "card"),
        _Option(asked.yarn(), ("--json-model-override-args", json.dumps(asked.yarn())), YARN, "card"),
    )  # fmt: skip
    return _over_gpus("sglang", asked, begin, "--tp-size", options,
                      allow="SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN", tower=True)  # fmt: skip


def _ollama(asked: _Asked) -> Command:
    size = OLLAMA_GB.get(asked.name)
    tag = "qwen3.5:" + asked.name.removeprefix("Qwen3.5-").split("-")[0].lower()
    if size is None or asked.fp8 or asked.context > NATIVE:
        raise InputError(
            "Ollama has this family up to 122B, in files of its own of four to eight bits, up to 262,144 tokens; "
            "choose one of these, or another engine."
        )
    cache = memory(load_config(asked.name), asked.context).cache / 1e9
    there = asked.machine
    fits = size + cache <= there.largest / 1e9
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
