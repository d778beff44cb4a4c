"""What `ModelConfig` accepts, what it makes of it, and how it refuses the rest."""

import copy
import json
import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model.strategies import configs
from official import raw_config

from qwen35_lab.config import FULL, LINEAR, ModelConfig, RopeConfig, TextConfig, VisionConfig
from qwen35_lab.errors import ConfigError, LabError
from qwen35_lab.family import OFFICIAL

hundreds = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

# the recipe of the model cards for 1,010,000 tokens
YARN = {
    "mrope_interleaved": True,
    "mrope_section": [11, 11, 10],
    "rope_type": "yarn",
    "rope_theta": 10_000_000,
    "partial_rotary_factor": 0.25,
    "factor": 4.0,
    "original_max_position_embeddings": 262_144,
}


def dense() -> dict[str, Any]:
    return raw_config("Qwen3.5-0.8B")


def moe() -> dict[str, Any]:
    return raw_config("Qwen3.5-35B-A3B")


def changed(raw: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one field set, or removed where the value is `...`; the path is dotted."""
    raw = copy.deepcopy(raw)
    *outer, last = path.split(".")
    inner = raw
    for key in outer:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return raw


def flat(raw: dict[str, Any]) -> dict[str, Any]:
    return raw["text_config"] | {"tie_word_embeddings": raw["tie_word_embeddings"]}


# ------------------------------------------------------------------------- what it accepts


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_config_is_read_in_full(name):
    raw = raw_config(name)
    text, config = raw["text_config"], ModelConfig.from_dict(raw)
    for field in fields(TextConfig):
        if field.name in text and field.name not in ("layer_types", "eos_token_id"):
            assert getattr(config.text, field.name) == text[field.name], field.name
    for field in fields(VisionConfig):
        assert getattr(config.vision, field.name) == raw["vision_config"][field.name], field.name
    assert config.text.layer_types == tuple(text["layer_types"])
    assert config.text.eos_token_id == (248_044,)
    assert config.text.is_moe == ("A" in name) and config.is_multimodal
    assert config.text.tie_word_embeddings == (name.split("-")[1] in ("0.8B", "2B", "4B"))
    assert config.text.state_dtype == "float32" and config.text.output_gate == "silu"
    assert config.text.rope == RopeConfig(theta=1e7)
    assert (config.image_token_id, config.video_token_id) == (248_056, 248_057)
    assert (config.vision_start_token_id, config.vision_end_token_id) == (248_053, 248_054)
    assert config.raw == raw


@pytest.mark.parametrize("raw", [dense(), moe()])
def test_flat_config_gives_the_same_language_model(raw):
    config = ModelConfig.from_dict(flat(raw))
    assert config.text == ModelConfig.from_dict(raw).text
    assert config.vision is None and not config.is_multimodal
    assert hash(config) == hash(ModelConfig.from_dict(flat(raw)))


def test_layer_types_may_be_spelled_out_or_implied():
    raw = dense()
    spelled = ModelConfig.from_dict(raw).text
    assert spelled.layer_types == (LINEAR, LINEAR, LINEAR, FULL) * 6
    assert ModelConfig.from_dict(changed(raw, "text_config.layer_types", ...)).text == spelled
    every_third = changed(changed(raw, "text_config.layer_types", None), "text_config.full_attention_interval", 3)
    assert ModelConfig.from_dict(every_third).text.layer_types == (LINEAR, LINEAR, FULL) * 8
    irregular = [FULL, *[LINEAR] * 23]
    assert ModelConfig.from_dict(changed(raw, "text_config.layer_types", irregular)).text.layer_types == tuple(
        irregular
    )


@pytest.mark.parametrize("raw", [dense(), moe()])
def test_what_qwen36_adds_changes_nothing(raw):
    newer = copy.deepcopy(raw) | {"language_model_only": False}
    newer["text_config"] |= {"bos_token_id": 248_044, "output_gate_type": "swish"}
    assert ModelConfig.from_dict(newer) == ModelConfig.from_dict(raw)
    assert ModelConfig.from_dict(newer).raw["language_model_only"] is False


def test_qwen38_27b_is_read():
    """Key for key the 3.6-27B config: the 3.5-27B's sizes and the newer fields."""
    raw = raw_config("Qwen3.5-27B") | {"language_model_only": False}
    raw["text_config"] |= {"bos_token_id": 248_044, "output_gate_type": "swish"}
    text = ModelConfig.from_dict(raw).text
    assert (text.num_hidden_layers, text.num_attention_heads, text.linear_num_value_heads) == (64, 24, 48)


def test_flat_text_only_moe_with_bfloat16_state_is_read():
    """The shape of Qwen3.8-2.4T-A95B: 69 + 23 layers, 512 experts, no vision."""
    raw = flat(moe()) | {
        "architectures": ["Qwen3_5MoeForCausalLM"],
        "num_hidden_layers": 92,
        "layer_types": None,
        "hidden_size": 8192,
        "num_attention_heads": 64,
        "num_key_value_heads": 4,
        "linear_num_value_heads": 128,
        "num_experts": 512,
        "num_experts_per_tok": 10,
        "moe_intermediate_size": 2048,
        "mamba_ssm_dtype": "bfloat16",
    }
    config = ModelConfig.from_dict(raw)
    assert config.text.is_moe and not config.is_multimodal
    assert config.text.state_dtype == "bfloat16"
    assert (config.text.layer_types.count(LINEAR), config.text.layer_types.count(FULL)) == (69, 23)


def test_yarn_recipe_of_the_model_cards():
    rope = ModelConfig.from_dict(changed(raw_config("Qwen3.5-4B"), "text_config.rope_parameters", YARN)).text.rope
    assert (rope.type, rope.theta, rope.factor) == ("yarn", 1e7, 4.0)
    assert rope.original_max_position_embeddings == 262_144
    assert (rope.attention_factor, rope.beta_fast, rope.beta_slow, rope.truncate) == (None, 32.0, 1.0, True)
    own = YARN | {"attention_factor": 1.5, "beta_fast": 16, "beta_slow": 2, "truncate": False}
    rope = ModelConfig.from_dict(changed(dense(), "text_config.rope_parameters", own)).text.rope
    assert (rope.attention_factor, rope.beta_fast, rope.beta_slow, rope.truncate) == (1.5, 16.0, 2.0, False)


def test_older_spelling_of_rope():
    raw = dense()
    new = raw["text_config"].pop("rope_parameters")
    sections = {"mrope_section": new["mrope_section"], "mrope_interleaved": True}
    raw["text_config"] |= {"rope_theta": 10_000_000, "partial_rotary_factor": 0.25}
    assert ModelConfig.from_dict(changed(raw, "text_config.rope_scaling", None)) == ModelConfig.from_dict(dense())
    mrope = changed(raw, "text_config.rope_scaling", {"type": "mrope", **sections})
    assert ModelConfig.from_dict(mrope) == ModelConfig.from_dict(dense())
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 262_144, **sections}
    older = ModelConfig.from_dict(changed(raw, "text_config.rope_scaling", yarn))
    assert older.text == ModelConfig.from_dict(changed(dense(), "text_config.rope_parameters", YARN)).text


def test_defaults_are_those_of_transformers():
    raw, text = dense(), dense()["text_config"]
    optional = (
        "head_dim",
        "linear_conv_kernel_dim",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_parameters",
    )
    for name in (*optional, "layer_types", "attention_bias", "initializer_range"):
        raw = changed(raw, f"text_config.{name}", ...)
    ours, theirs = ModelConfig.from_dict(raw).text, transformers.Qwen3_5Config(**raw).text_config
    for name in (*optional[:-1], "attention_bias", "initializer_range"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert list(ours.layer_types) == theirs.layer_types == text["layer_types"]
    assert ours.rope.theta == theirs.rope_parameters["rope_theta"]
    assert ours.rope.partial_rotary_factor == theirs.rope_parameters["partial_rotary_factor"]


@pytest.mark.parametrize("inner", [None, True, False])
@pytest.mark.parametrize("outer", [None, True, False])
def test_outer_value_decides_whether_the_tables_are_tied(inner, outer):
    raw = dense()
    for path, value in (("text_config.tie_word_embeddings", inner), ("tie_word_embeddings", outer)):
        raw = changed(raw, path, ... if value is None else value)
    with torch.device("meta"):
        theirs = transformers.Qwen3_5ForConditionalGeneration(transformers.Qwen3_5Config(**copy.deepcopy(raw)))
    tied = theirs.lm_head.weight is theirs.model.language_model.embed_tokens.weight
    assert ModelConfig.from_dict(raw).text.tie_word_embeddings == tied


@pytest.mark.parametrize(("eos", "read"), [(None, ()), (7, (7,)), ([7, 9], (7, 9))])
def test_eos_may_be_one_token_several_or_none(eos, read):
    assert ModelConfig.from_dict(changed(dense(), "text_config.eos_token_id", eos)).text.eos_token_id == read
    outside = changed(dense(), "text_config.eos_token_id", ...) | {"eos_token_id": eos}
    assert ModelConfig.from_dict(outside).text.eos_token_id == read


# ------------------------------------------------------------------------- what transformers itself writes


CLASSES = {
    "qwen3_5_text": (transformers.Qwen3_5TextConfig, transformers.Qwen3_5Config),
    "qwen3_5_moe_text": (transformers.Qwen3_5MoeTextConfig, transformers.Qwen3_5MoeConfig),
}


@hundreds
@given(configs(), st.integers(1, 9), st.integers(1, 4), st.booleans())
def test_config_saved_by_transformers_is_read_field_by_field(tmp_path_factory, raw, depth, heads, tied):
    text_class, whole_class = CLASSES[raw["model_type"]]
    vision = {
        "depth": depth,
        "num_heads": heads,
        "hidden_size": 6 * heads,
        "out_hidden_size": raw["hidden_size"],
    }
    whole = whole_class(text_config=copy.deepcopy(raw), vision_config=vision, tie_word_embeddings=tied)
    folder = tmp_path_factory.mktemp("saved")
    for saved in (text_class(**copy.deepcopy(raw)), whole):
        saved.save_pretrained(folder)
        ours = ModelConfig.from_file(folder)
        assert ours == ModelConfig.from_file(folder / "config.json")
        check_text(ours.text, saved.get_text_config())
        assert ours.text.tie_word_embeddings == saved.tie_word_embeddings
    assert ours.vision is not None
    for field in fields(VisionConfig):
        assert getattr(ours.vision, field.name) == getattr(whole.vision_config, field.name), field.name
    assert (ours.image_token_id, ours.vision_end_token_id) == (
        whole.image_token_id,
        whole.vision_end_token_id,
    )


def check_text(ours: TextConfig, theirs: Any) -> None:
    """Every field that transformers' config has too."""
    for field in fields(TextConfig):
        if field.name not in ("layer_types", "eos_token_id", "tie_word_embeddings", "dtype") and hasattr(
            theirs, field.name
        ):
            assert getattr(ours, field.name) == getattr(theirs, field.name), field.name
    assert ours.layer_types == tuple(theirs.layer_types)
    rope = theirs.rope_parameters
    assert (ours.rope.theta, ours.rope.type) == (rope["rope_theta"], rope["rope_type"])
    assert ours.rope.partial_rotary_factor == rope["partial_rotary_factor"]
    assert list(ours.rope.mrope_section) == rope["mrope_section"]
    if ours.rope.type == "yarn":
        assert ours.rope.factor == rope["factor"]
        assert ours.rope.original_max_position_embeddings == rope["original_max_position_embeddings"]


@pytest.mark.parametrize("kind", [cls for pair in CLASSES.values() for cls in pair])
def test_default_config_of_transformers_is_read(kind, tmp_path):
    kind().save_pretrained(tmp_path)
    check = ModelConfig.from_file(tmp_path)
    assert check.model_type == kind.model_type and check.text.head_dim == 256


# ------------------------------------------------------------------------- what it refuses

REFUSED = [
    # (field the message must name, config)
    ("model_type", {}),
    ("model_type", changed(dense(), "model_type", "llama")),
    ("model_type", changed(dense(), "model_type", ["qwen3_5"])),
    ("model_type", raw_config("Qwen3-8B")),
    ("model_type", raw_config("Qwen3-Next-80B-A3B")),
    ("model_type", {"model_type": "qwen4_exp", "text_config": {"layer_types": ["indexed_attention"]}}),
    (
        "text_config.layer_types[3]",
        changed(dense(), "text_config.layer_types", [*[LINEAR] * 3, "indexed_attention"] * 6),
    ),
    ("text_config", changed(dense(), "text_config", ...)),
    ("text_config", changed(dense(), "text_config", "qwen")),
    ("text_config.vocab_size", changed(dense(), "text_config", {})),
    ("text_config.hidden_size", changed(dense(), "text_config.hidden_size", ...)),
    ("text_config.hidden_size", changed(dense(), "text_config.hidden_size", "1024")),
    ("text_config.hidden_size", changed(dense(), "text_config.hidden_size", 1024.0)),
    ("text_config.hidden_size", changed(dense(), "text_config.hidden_size", True)),
    ("text_config.num_hidden_layers", changed(dense(), "text_config.num_hidden_layers", 0)),
    ("text_config.head_dim", changed(dense(), "text_config.head_dim", -256)),
    ("text_config.num_attention_heads", changed(dense(), "text_config.num_attention_heads", 7)),
    ("text_config.linear_num_value_heads", changed(dense(), "text_config.linear_num_value_heads", 17)),
    ("text_config.layer_types", changed(dense(), "text_config.layer_types", [LINEAR] * 23)),
    ("text_config.layer_types", changed(dense(), "text_config.layer_types", "linear_attention")),
    ("text_config.hidden_act", changed(dense(), "text_config.hidden_act", "gelu")),
    ("text_config.attn_output_gate", changed(dense(), "text_config.attn_output_gate", False)),
    ("text_config.mlp_only_layers", changed(dense(), "text_config.mlp_only_layers", [0])),
    ("text_config.output_gate_type", changed(dense(), "text_config.output_gate_type", "relu")),
    ("text_config.mamba_ssm_dtype", changed(dense(), "text_config.mamba_ssm_dtype", "int8")),
    ("text_config.rms_norm_eps", changed(dense(), "text_config.rms_norm_eps", "small")),
    ("text_config.rms_norm_eps", changed(dense(), "text_config.rms_norm_eps", math.nan)),
    ("text_config.attention_bias", changed(dense(), "text_config.attention_bias", "false")),
    ("tie_word_embeddings", changed(dense(), "tie_word_embeddings", "yes")),
    ("text_config.mtp_num_hidden_layers", changed(dense(), "text_config.mtp_num_hidden_layers", "one")),
    (
        "text_config.mtp_use_dedicated_embeddings",
        changed(dense(), "text_config.mtp_use_dedicated_embeddings", True),
    ),
    ("text_config.eos_token_id", changed(dense(), "text_config.eos_token_id", ["<eos>"])),
    ("text_config.pad_token_id", changed(dense(), "text_config.pad_token_id", -1)),
    ("image_token_id", changed(dense(), "image_token_id", "<image>")),
    ("text_config.num_experts", changed(dense(), "text_config.num_experts", 8)),
    ("text_config.intermediate_size", changed(dense(), "text_config.intermediate_size", ...)),
    ("text_config.num_experts", changed(moe(), "text_config.num_experts", ...)),
    ("text_config.num_experts", changed(moe(), "model_type", "qwen3_5")),
    ("text_config.num_experts", changed(dense(), "model_type", "qwen3_5_moe")),
    ("text_config.num_experts_per_tok", changed(moe(), "text_config.num_experts_per_tok", 257)),
    ("text_config.moe_intermediate_size", changed(moe(), "text_config.moe_intermediate_size", ...)),
    ("hidden_size", changed(flat(dense()), "hidden_size", ...)),
    ("text_config.rope_parameters", changed(dense(), "text_config.rope_parameters", [1e7])),
    (
        "text_config.rope_parameters.rope_type",
        changed(dense(), "text_config.rope_parameters.rope_type", "llama3"),
    ),
    (
        "text_config.rope_parameters.rope_theta",
        changed(dense(), "text_config.rope_parameters.rope_theta", "1e7"),
    ),
    (
        "text_config.rope_parameters.mrope_section",
        changed(dense(), "text_config.rope_parameters.mrope_section", [16, 16]),
    ),
    (
        "text_config.rope_parameters.mrope_interleaved",
        changed(dense(), "text_config.rope_parameters.mrope_interleaved", False),
    ),
    (
        "text_config.rope_parameters.partial_rotary_factor",
        changed(dense(), "text_config.rope_parameters.partial_rotary_factor", 1.5),
    ),
    (
        "text_config.rope_parameters.factor",
        changed(dense(), "text_config.rope_parameters", {k: v for k, v in YARN.items() if k != "factor"}),
    ),
    (
        "text_config.rope_parameters.attention_factor",
        changed(dense(), "text_config.rope_parameters", YARN | {"attention_factor": "auto"}),
    ),
    (
        "text_config.rope_scaling",
        changed(dense(), "text_config.rope_scaling", {"type": "yarn", "factor": 4.0}),
    ),
    ("text_config.dtype", changed(dense(), "text_config.dtype", 16)),
    ("vision_config", changed(dense(), "vision_config", 12)),
    ("vision_config.hidden_act", changed(dense(), "vision_config.hidden_act", 1)),
    (
        "vision_config.rope_parameters.rope_theta",
        changed(dense(), "vision_config.rope_parameters", {"rope_theta": 1e6}),
    ),
    ("vision_config.depth", changed(dense(), "vision_config.depth", ...)),
    ("vision_config.patch_size", changed(dense(), "vision_config.patch_size", [16, 16])),
    ("vision_config.hidden_size", changed(dense(), "vision_config.num_heads", 7)),
    (
        "vision_config.deepstack_visual_indexes",
        changed(dense(), "vision_config.deepstack_visual_indexes", [3]),
    ),
]


def check_message(message: str) -> None:
    """One sentence: what is wrong; then, after the semicolon, what to do."""
    assert re.fullmatch(r"[^;]+; [^;]+\.", message), message
    assert "\n" not in message and not re.search(r"\. +[A-Z]", message), message
    assert len(message) < 260, message


@pytest.mark.parametrize(("field", "raw"), REFUSED, ids=[f"{n}-{field}" for n, (field, _) in enumerate(REFUSED)])
def test_refusal_names_the_field_and_a_remedy(field, raw):
    with pytest.raises(ConfigError) as error:
        ModelConfig.from_dict(raw)
    assert f"`{field}`" in str(error.value)
    check_message(str(error.value))


def test_what_is_no_object_is_refused():
    for raw in ([], "qwen3_5", None):
        with pytest.raises(ConfigError, match="not a JSON object") as error:
            ModelConfig.from_dict(raw)  # type: ignore[arg-type]
        check_message(str(error.value))


@pytest.mark.parametrize("content", ['{"model_type": "qwen3_5", "text_con', "", "\0\0", "[1, 2]", b"\xff\xfe{}"])
def test_damaged_file_is_refused(content, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match="JSON") as error:
        ModelConfig.from_file(path)
    check_message(str(error.value))


def test_absent_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "config.json", str(tmp_path / "nowhere")):
        with pytest.raises(ConfigError, match="cannot be read") as error:
            ModelConfig.from_file(path)
        check_message(str(error.value))
    assert issubclass(ConfigError, LabError) and issubclass(ConfigError, ValueError)


@hundreds
@given(st.data())
def test_no_damaged_field_escapes_as_another_error(data):
    """Any field of an official config replaced by any small JSON value: read, or refused in one sentence."""
    raw = data.draw(st.sampled_from([dense(), moe(), flat(moe())]))
    paths = [f"{k}.{inner}" for k, v in raw.items() if isinstance(v, dict) for inner in v] + list(raw)
    junk = st.sampled_from([None, True, -1, 0, 3, 2.5, math.inf, "", "text", [], ["text"], [1, None], {}, {"a": 1}])
    for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3, unique=True)):
        if path.split(".")[0] in raw and ("." not in path or isinstance(raw[path.split(".")[0]], dict)):
            raw = changed(raw, path, data.draw(junk))
    try:
        ModelConfig.from_dict(json.loads(json.dumps(raw)))
    except ConfigError as error:
        check_message(str(error))


def test_file_and_folder_are_read_alike(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(dense()), encoding="utf-8")
    assert ModelConfig.from_file(tmp_path) == ModelConfig.from_file(tmp_path / "config.json")
    assert ModelConfig.from_file(str(tmp_path)) == ModelConfig.from_dict(dense())
