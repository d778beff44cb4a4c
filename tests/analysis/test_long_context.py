"""What a command or a config comes to: as vLLM and transformers read them."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

import qwen35_lab as lab
from qwen35_lab.analysis.long_context import ALLOW, merged, reach_of
from qwen35_lab.paths import data_path

NATIVE = 262_144
OFFICIAL = json.loads(Path(data_path("family", "Qwen3.5-4B.json")).read_text(encoding="utf-8"))
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": NATIVE}
NESTED = json.dumps({"text_config": {"rope_parameters": YARN}})
FLAT = json.dumps({"rope_parameters": YARN})
SERVE = "vllm serve Qwen/Qwen3.5-4B --port 8000"


@pytest.mark.parametrize(
    "command, yarn, longest, why",
    [
        (SERVE, False, NATIVE, "Without YaRN"),
        (f"{SERVE} --max-model-len 65536 --reasoning-parser qwen3", False, 65_536, "keeps it to 65,536"),
        (f"{SERVE} --max-model-len=65536", False, 65_536, "keeps it"),
        (f"{SERVE} --max_model_len 65536", False, 65_536, "keeps it"),
        (f"{SERVE} --max-model-len 1010000", False, 0, "refused"),
        (f"{ALLOW}=1 {SERVE} --max-model-len 1010000", False, 1_010_000, "at your own risk"),
        (f"{ALLOW}=0 {SERVE} --max-model-len 1010000", False, 0, "refused"),
        (f"{SERVE} --hf-overrides '{NESTED}'", True, 1_048_576, "YaRN × 4"),
        (f"{ALLOW}=1 {SERVE} --hf-overrides '{NESTED}' --max-model-len 1010000", True, 1_010_000, "keeps it"),
        (f"{SERVE} \\\n --hf-overrides='{NESTED}' \\\n --max-model-len 32768", True, 32_768, "keeps it"),
        (f"{SERVE} --hf-overrides '{FLAT}'", False, NATIVE, "read by nobody"),
        (f"{SERVE} --hf-overrides '{FLAT}' --max-model-len 1010000", False, 0, "read by nobody"),
        (f"{ALLOW}=1 {SERVE} --hf-overrides '{FLAT}' --max-model-len 1010000", False, 1_010_000, "read by nobody"),
        (f"{SERVE} --rope-scaling '{json.dumps(YARN)}' --max-model-len 1010000", False, 0, "no longer an option"),
    ],
)
def test_a_command_comes_to(command, yarn, longest, why):
    found = reach_of(command, OFFICIAL)
    assert (found.yarn, found.longest) == (yarn, longest)
    assert why in found.why, found.why


def test_a_config_comes_to():
    assert (reach_of(OFFICIAL, OFFICIAL).yarn, reach_of(OFFICIAL, OFFICIAL).longest) == (False, NATIVE)
    long = deepcopy(OFFICIAL)
    long["text_config"]["rope_parameters"] |= YARN | {"factor": 2.0}
    assert (reach_of(long, OFFICIAL).yarn, reach_of(long, OFFICIAL).longest) == (True, 2 * NATIVE)
    assert reach_of(SERVE, long).longest == 2 * NATIVE  # of a checkpoint that says so itself
    beside = OFFICIAL | {"rope_parameters": YARN}
    assert not reach_of(beside, OFFICIAL).yarn


def test_a_config_of_the_text_model_alone_takes_them_at_the_top():
    alone = OFFICIAL["text_config"] | {"model_type": "qwen3_5_text"}
    found = reach_of(f"{SERVE} --hf-overrides '{FLAT}'", alone)
    assert (found.yarn, found.longest) == (True, 4 * NATIVE)


def test_overrides_are_merged_inside_a_config_and_put_in_place_beside_it():
    config = {"a": {"x": 1}, "text_config": {"rope_parameters": {"rope_theta": 7, "factor": 1}, "n": 2}}
    found = merged(config, {"a": {"y": 2}, "text_config": {"rope_parameters": {"factor": 4}, "new": {"z": 1}}})
    rope = {"rope_theta": 7, "factor": 4}
    assert found == {"a": {"y": 2}, "text_config": {"rope_parameters": rope, "n": 2, "new": {"z": 1}}}
    assert config["text_config"]["rope_parameters"]["factor"] == 1


@pytest.mark.parametrize(
    "command, told",
    [
        ("python -m sglang.launch_server", "no `vllm serve"),
        (f"{SERVE} --hf-overrides '{{", "close every quotation mark"),
        (f"{SERVE} --hf-overrides '{{a: 1}}'", "not valid JSON"),
        (f"{SERVE} --hf-overrides '[1]'", "takes an object"),
        (f"{SERVE} --max-model-len many", "whole number of tokens"),
        (f"{SERVE} --max-model-len 0", "whole number of tokens"),
    ],
)
def test_what_is_no_command_is_refused(command, told):
    with pytest.raises(lab.InputError, match=told):
        reach_of(command, OFFICIAL)


def test_a_config_of_another_family_is_refused():
    with pytest.raises(lab.ConfigError, match=r"not of the Qwen3\.5 family"):
        reach_of({"model_type": "llama"}, OFFICIAL)
