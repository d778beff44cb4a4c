"""The counts of `qwen35_lab.family` against what was published and against transformers' own models."""

import re
from html.parser import HTMLParser
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model.strategies import configs
from official import raw_config, reference_model

from qwen35_lab import paths
from qwen35_lab.config import ModelConfig
from qwen35_lab.errors import ConfigError, InputError, LabError
from qwen35_lab.family import (
    COMPONENTS,
    OFFICIAL,
    PREDECESSORS,
    component,
    family,
    full_name,
    load_any,
    load_config,
    parameter_count,
    parameters,
    published,
    tensor_shapes,
)
from qwen35_lab.family.predecessors import PredecessorConfig
from qwen35_lab.model import build
from qwen35_lab.names import PREFIXES, name_map, official_name, vision_names
from qwen35_lab.paths import data_path

hundreds = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
tens = settings(hundreds, max_examples=25)


def reference_shapes(raw: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes in transformers' model, tied tables once; on the meta device even the 397B costs nothing."""
    with torch.device("meta"):
        model = reference_model(raw)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def without_mtp(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in shapes.items() if component(name) != "mtp"}


# ------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("name", OFFICIAL)
def test_total_is_the_published_one_to_the_unit(name):
    assert parameters(load_config(name)).total == published()[name].parameters


@pytest.mark.parametrize("name", OFFICIAL + PREDECESSORS)
def test_every_tensor_has_the_name_and_shape_it_has_in_transformers(name):
    assert without_mtp(tensor_shapes(load_any(name))) == reference_shapes(raw_config(name))


@pytest.mark.parametrize("name", OFFICIAL)
def test_our_model_of_it_has_these_tensors_too_eyes_and_mtp_head_included(name):
    config = load_config(name)
    with torch.device("meta"):
        model = build(config)
    names = name_map(config.text) | vision_names(config.vision)
    ours = {official_name(names[own], PREFIXES[0]): tuple(p.shape) for own, p in model.named_parameters()}
    assert ours == tensor_shapes(config)


@hundreds
@given(configs())
def test_random_text_models_have_the_tensors_of_transformers(raw):
    config = ModelConfig.from_dict(raw)
    theirs = reference_shapes(raw)
    assert tensor_shapes(config) == theirs
    assert parameters(config).text == parameters(config).total == parameter_count(theirs)


@tens
@given(
    configs(),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 2),
    st.booleans(),
)
def test_random_multimodal_models_have_the_tensors_of_transformers(raw, depth, heads, side, frames, tied):
    vision = {
        "depth": depth,
        "num_heads": heads,
        "hidden_size": 8 * heads,
        "intermediate_size": 5 * heads,
        "out_hidden_size": raw["hidden_size"],
        "patch_size": 2 * side,
        "spatial_merge_size": side,
        "temporal_patch_size": frames,
        "in_channels": frames,
        "num_position_embeddings": 4 * side * side,
    }
    whole = {
        "model_type": raw["model_type"].removesuffix("_text"),
        "text_config": raw,
        "vision_config": vision,
        "tie_word_embeddings": tied,
    }
    config = ModelConfig.from_dict(whole)
    assert tensor_shapes(config) == reference_shapes(whole)
    assert parameters(config).text + parameters(config).vision == parameters(config).total


@hundreds
@given(st.sampled_from(OFFICIAL + PREDECESSORS), st.integers(0, 3))
def test_components_add_up_and_active_is_what_one_token_needs(name, mtp_layers):
    raw = raw_config(name)
    if name in OFFICIAL:
        raw["text_config"]["mtp_num_hidden_layers"] = mtp_layers
    config = ModelConfig.from_dict(raw) if name in OFFICIAL else PredecessorConfig.from_dict(raw)
    counts = parameters(config)
    split = counts.split()
    assert list(split) == [part for part in split if part in COMPONENTS] and len(split) == len(COMPONENTS)
    assert sum(split.values()) == counts.total == counts.text + counts.vision + counts.mtp
    assert counts.total == parameter_count(tensor_shapes(config))
    idle = 0
    for tensor, shape in tensor_shapes(config).items():
        if component(tensor) == "routed_experts":
            experts, *expert = shape
            idle += (experts - config.text.num_experts_per_tok) * prod(expert)
    assert counts.active == counts.text - idle
    assert counts.active_without_embedding == counts.active - config.text.vocab_size * config.text.hidden_size


def test_components_of_the_smallest_model_by_hand():
    counts = parameters(load_config("0.8B"))
    hidden, layers, full, heads, keys, values = 1024, 24, 6, 16, 16 * 128, 16 * 128
    mixer = (2 * keys + values) * hidden + 2 * values * hidden  # in_proj_qkv; in_proj_z and out_proj
    mixer += 2 * heads * hidden + (2 * keys + values) * 4 + 2 * heads + 128  # a and b; conv; A_log, dt_bias; norm
    assert counts.deltanet == (layers - full) * mixer == 18 * 10_543_264
    assert counts.attention == full * (2 * 2048 * 1024 + 2 * 512 * 1024 + 2048 * 1024 + 2 * 256)
    assert counts.dense_ffn == layers * 3 * 3584 * 1024
    assert counts.norms == (2 * layers + 1) * hidden
    assert (counts.embedding, counts.head) == (248_320 * hidden, 0)
    assert counts.mtp == 2 * hidden**2 + 3 * hidden + counts.attention // full + counts.dense_ffn // layers + 2 * hidden


def test_the_names_of_the_large_models_say_what_is_active():
    """17B of 397B counts the text without the input table and rounds up; 16.3 and 17.3 are both quoted."""
    counts = parameters(load_config("397B-A17B"))
    assert (counts.active, counts.active_without_embedding) == (17_349_040_896, 16_331_922_176)
    assert counts.read_per_token == counts.active_without_embedding
    tied = parameters(load_config("0.8B"))
    assert tied.read_per_token == tied.active == tied.text


@pytest.mark.parametrize(
    ("name", "text", "vision", "mtp"),
    [
        ("0.8B", 320, 153, 15),
        ("2B", 320, 297, 15),
        ("4B", 426, 297, 15),
        ("9B", 427, 333, 15),
        ("27B", 851, 333, 15),
        ("35B-A3B", 693, 333, 19),
        ("122B-A10B", 831, 333, 19),
        ("397B-A17B", 1038, 333, 19),
    ],
)
def test_number_of_tensors_is_that_of_the_published_index(name, text, vision, mtp):
    """The 397B's index has 1553 MTP tensors: its MTP experts are stored one by one, 17 + 3 x 512."""
    parts = [component(tensor) for tensor in tensor_shapes(load_config(name))]
    assert (parts.count("vision"), parts.count("mtp")) == (vision, mtp)
    assert len(parts) == text + vision + mtp


def test_unfused_experts_are_recognised_and_other_names_refused():
    assert component("mtp.layers.0.mlp.experts.7.up_proj.weight") == "mtp"
    assert component("model.language_model.layers.0.mlp.experts.7.up_proj.weight") == "routed_experts"
    with pytest.raises(InputError, match=r"transformer\.wte\.weight"):
        component("transformer.wte.weight")


# ------------------------------------------------------------------------- names and the table


@pytest.mark.parametrize(
    ("given", "full"),
    [("0.8B", "Qwen3.5-0.8B"), ("Qwen/Qwen3.5-9B", "Qwen3.5-9B"), ("qwen3.5-35b-a3b", "Qwen3.5-35B-A3B")],
)
def test_names_people_use(given, full):
    assert full_name(given) == full
    assert load_config(given) == load_config(full)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("0.9B", "did you mean Qwen3.5-0.8B"),
        ("397B", "did you mean Qwen3.5-397B-A17B?"),
        ("Qwen3.5-35B", "did you mean Qwen3.5-35B-A3B?"),
        ("llama", "choose from Qwen3.5-0.8B, "),
        ("", "choose from Qwen3.5-0.8B, "),
        ("Qwen3-8B", "load_predecessor('Qwen3-8B')"),
    ],
)
def test_unknown_names_are_answered_with_the_near_ones(given, hint):
    with pytest.raises(ConfigError) as error:
        load_config(given)
    assert hint in str(error.value) and "\n" not in str(error.value)


def test_data_files_and_names_agree():
    files = {path.stem for path in data_path("family").glob("*.json")}
    assert files == set(OFFICIAL + PREDECESSORS)
    assert tuple(published()) == OFFICIAL + PREDECESSORS


def test_predecessors_are_not_model_configs():
    for name in PREDECESSORS:
        with pytest.raises(ConfigError, match="`model_type`"):
            ModelConfig.from_dict(raw_config(name))
    with pytest.raises(ConfigError, match="`model_type`"):
        PredecessorConfig.from_dict(raw_config("Qwen3.5-9B"))
    with pytest.raises(ConfigError, match="`moe_intermediate_size` is missing"):
        PredecessorConfig.from_dict(raw_config("Qwen3-30B-A3B") | {"moe_intermediate_size": None})
    with pytest.raises(ConfigError, match="`decoder_sparse_step`"):
        PredecessorConfig.from_dict(raw_config("Qwen3-30B-A3B") | {"decoder_sparse_step": 2})


def test_table_holds_both_generations_in_plain_units():
    table = family(tokens=1000)
    assert [row["model"] for row in table] == [*PREDECESSORS, *OFFICIAL]
    assert len(family(predecessors=False)) == 8
    row = table["0.8B"]
    assert row == table["Qwen/Qwen3.5-0.8B"] == table.rows()[9]
    assert row["parameters"] == row["published_parameters"] == 873_438_784
    assert row["kv_bytes"] == 1000 * row["kv_bytes_per_token"] == 12_288_000
    assert (row["linear_layers"], row["full_layers"], row["released"]) == (18, 6, "2026-03-02")
    with pytest.raises(ConfigError, match=r"Qwen3\.5-0\.8B"):
        table["0.9B"]


def test_a_row_taken_from_the_table_does_not_change_it():
    table = family()
    table["0.8B"]["parameters"] = table.rows()[0]["parameters"] = 0
    assert "0.87" in repr(table) and table["Qwen3-0.6B"]["parameters"] == 596_049_920


def test_text_table_is_aligned_and_captioned():
    lines = repr(family()).splitlines()
    rule = next(n for n, line in enumerate(lines) if set(line) == {"─"})
    assert {len(line) for line in lines[: rule + 18]} == {len(lines[rule])}
    assert "Computed from each model's config.json" in " ".join(lines)
    assert "403.40" in repr(family()) and "nan" not in repr(family())


class Cells(HTMLParser):
    """Counts the cells of each row and keeps the tags that are open."""

    def __init__(self):
        super().__init__()
        self.rows: list[int] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_table_is_complete_and_brings_no_colours_of_its_own():
    html = family()._repr_html_()
    cells = Cells()
    cells.feed(html)
    assert not cells.open and len(cells.rows) == 18 and set(cells.rows) == {12}
    assert html.count('scope="row"') == 17 and html.count('scope="col"') == 12 and "<caption" in html
    assert "background" not in html and "http" not in html and not re.search(r"rgb|(?<!&)#", html)


# ------------------------------------------------------------------------- where the data lie


def test_data_are_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "site" / "qwen35_lab"
    package.mkdir(parents=True)
    monkeypatch.setattr(paths, "__file__", str(package / "paths.py"))
    with pytest.raises(LabError, match="data/family is not installed"):
        data_path("family")
    beside, inside = package.parent / "data" / "family", package / "data" / "family"
    beside.mkdir(parents=True)
    assert data_path("family") == beside
    inside.mkdir(parents=True)
    assert data_path("family") == inside
