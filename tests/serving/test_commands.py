"""The lines that start servers: they have the options asked for, fit what they claim to fit, and name their sources."""

import json
import re
import shlex

import pytest

import qwen35_lab as lab
from qwen35_lab.analysis import reach_of
from qwen35_lab.family import OFFICIAL
from qwen35_lab.serving import commands

ENGINES = ("vllm", "sglang", "ollama", "llama.cpp", "transformers")


def words(command: lab.serving.Command) -> list[str]:
    return shlex.split(command.text.replace("\\\n", " "))


def option(command: lab.serving.Command, name: str) -> str:
    line = words(command)
    return line[line.index(name) + 1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", OFFICIAL)
def test_every_engine_has_a_line_for_every_model_or_says_why_not(engine, model):
    if engine == "ollama" and model.endswith("A17B"):
        with pytest.raises(lab.InputError, match="up to 122B"):
            lab.serve_command(engine, model)
        return
    command = lab.serve_command(engine, model, gpus=8, gpu_gb=141)
    assert len(words(command)) > 3 and command.notes
    assert all(note.text.endswith(".") and note.source and note.date.startswith("2026") for note in command.notes)
    assert command.text in command._repr_markdown_() and command.client.startswith(f'lab.Client("{engine}", "')


@pytest.mark.parametrize(
    "model, gpus, gpu_gb, split, fits",
    [
        ("9B", 1, 24, 1, True),
        ("9B", 1, 16, 1, False),  # which the article calls enough
        ("27B", 1, 40, 1, False),  # so it does here
        ("27B", 1, 80, 1, True),
        ("27B", 4, 24, 4, True),
        ("27B", 2, 24, 2, False),
        ("397B-A17B", 8, 141, 8, True),
        ("397B-A17B", 8, 80, 8, False),
        ("397B-A17B-FP8", 8, 80, 8, True),
        ("0.8B", 8, 80, 1, True),
    ],
)
def test_what_fits_is_split_over_as_few_gpus_as_it_takes(model, gpus, gpu_gb, split, fits):
    for engine, name in (("vllm", "--tensor-parallel-size"), ("sglang", "--tp-size")):
        command = lab.serve_command(engine, model, gpus=gpus, gpu_gb=gpu_gb)
        assert (int(option(command, name)), command.fits) == (split, fits)
        assert ("**not**" in command.notes[0].text) != fits and command.notes[0].checked


def test_without_gpus_it_says_so():
    command = lab.serve_command("vllm", "9B", gpus=0)
    assert command.fits is None and "no GPU" in command.notes[0].text


@pytest.mark.parametrize("context, factor", [(65_536, None), (262_144, None), (400_000, 2.0), (1_010_000, 4.0)])
def test_a_long_context_is_read_with_yarn_and_no_other(context, factor):
    """The vLLM line is judged by the reader of such lines that notebook 05 has."""
    command = lab.serve_command("vllm", "4B", context=context, gpus=1, gpu_gb=80)
    reach = reach_of(command.text.replace("\\\n", " "), lab.load_config("4B").raw)
    assert (reach.yarn, reach.longest) == (factor is not None, context), reach.why
    sglang = lab.serve_command("sglang", "4B", context=context, gpus=1, gpu_gb=80)
    for line, name in ((command, "--hf-overrides"), (sglang, "--json-model-override-args")):
        assert (name in words(line)) == (factor is not None)
        if factor:
            rope = json.loads(option(line, name))["text_config"]["rope_parameters"]
            assert (rope["factor"], rope["rope_type"], rope["rope_theta"]) == (factor, "yarn", 10_000_000)
            assert rope["mrope_section"] == [11, 11, 10] and words(line)[0].endswith("=1")


def test_options_are_there_if_they_are_asked_for():
    bare = lab.serve_command("vllm", "9B", tools=False, gpus=1, gpu_gb=80).text
    full = lab.serve_command("vllm", "9B", drafts=2, eyes=False, port=9000, gpus=1, gpu_gb=80)
    for name in ("--tool-call-parser", "--speculative-config", "--language-model-only"):
        assert name not in bare and name in full.text
    assert json.loads(option(full, "--speculative-config")) == {"method": "mtp", "num_speculative_tokens": 2}
    assert option(full, "--port") == "9000" and "--reasoning-parser qwen3" in bare
    sglang = lab.serve_command("sglang", "9B", drafts=3, gpus=1, gpu_gb=80)
    assert option(sglang, "--speculative-num-draft-tokens") == "4"


def test_ollama_knows_its_files_and_its_short_default_context():
    command = lab.serve_command("ollama", "9B", context=16_384, gpus=1, gpu_gb=24)
    assert command.text.startswith("OLLAMA_CONTEXT_LENGTH=16384 ollama serve") and command.model == "qwen3.5:9b"
    assert "6.6 GB" in command.notes[0].text and command.fits
    assert lab.serve_command("ollama", "35B-A3B").model == "qwen3.5:35b"


@pytest.mark.parametrize(
    "arguments, error, said",
    [
        (("tgi",), lab.InputError, "There is no engine 'tgi'"),
        (("vllm", "Qwen3.5-10B"), lab.ConfigError, "no shipped config"),
        (("vllm", "9B-FP8"), lab.InputError, "no official Qwen3.5-9B-FP8"),
        (("vllm", "9B", {"context": 2_000_000}), lab.InputError, "ends at 1,010,000"),
        (("vllm", "0.8B", {"context": 300_000}), lab.InputError, "ends at 262,144"),
        (("vllm", "9B", {"context": 0}), lab.InputError, "1 or more"),
        (("vllm", "9B", {"drafts": -1}), lab.InputError, "0 or more"),
        (("vllm", "9B", {"gpus": 2.5}), lab.InputError, "pass a whole number"),
        (("vllm", "9B", {"gpus": 1, "gpu_gb": -1}), lab.InputError, "How large are the GPUs"),
        (("llama.cpp", "27B-FP8"), lab.InputError, "GGUF"),
        (("transformers", "9B", {"drafts": 2}), lab.InputError, "as they are"),
    ],
)
def test_what_is_no_server_is_refused(arguments, error, said):
    *names, options = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    with pytest.raises(error, match=re.escape(said)):
        lab.serve_command(*names, **options)


def test_only_what_was_run_or_computed_here_is_called_checked():
    notes = [note for engine in ENGINES for note in lab.serve_command(engine, "9B", gpus=1, gpu_gb=80).notes]
    checked = {(note.source, note.date) for note in notes if note.checked}
    assert checked == {commands.SOURCES["here"], commands.SOURCES["sizes"]}
    assert any(not note.checked for note in notes)
