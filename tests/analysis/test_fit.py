"""Will it fit: the parts are the family's, the sum is what runs take, and what makes no sense is refused."""

import json
import random
from dataclasses import replace

import pytest
import torch
from peak import measured
from small import DENSE, MOE, small

import qwen35_lab as lab
from qwen35_lab import memory
from qwen35_lab.analysis import DEVICES, article_rows, bytes_held, longest, will_it_fit
from qwen35_lab.analysis.devices import GB
from qwen35_lab.analysis.fit import RUNTIME, TERMS
from qwen35_lab.family import OFFICIAL, load_config, weight_bytes

# ------------------------------------------------------------------------- the parts


@pytest.mark.parametrize("name", OFFICIAL)
def test_weights_and_cache_are_the_familys(name):
    found, held = will_it_fit(name, context=9_000, batch=3, bytes=1e12), bytes_held(name, 9_000, 3)
    weights = sum(found.terms[part] for part in ("text weights", "vision tower", "MTP head"))
    assert weights == weight_bytes(load_config(name))
    assert found.terms["keys and values"] == held.kv and found.terms["DeltaNet states"] == held.state
    assert found.terms["convolutions"] == held.conv_state
    assert list(found.terms) == list(TERMS) and found.total == sum(found.terms.values())


def test_low_bits_change_the_weights_alone():
    wide, four = (will_it_fit("4B", dtype, 5_000, bytes=24e9).terms for dtype in ("bfloat16", "int4"))
    changed = {name for name in TERMS if wide[name] != four[name]}
    assert changed == {"text weights", "MTP head"}


def test_the_second_text_costs_no_weights():
    one, two = (will_it_fit("2B", context=3_000, batch=n, bytes=24e9).terms for n in (1, 2))
    for name in ("keys and values", "DeltaNet states", "convolutions", "room to grow", "activations"):
        assert two[name] == 2 * one[name] > 0, name
    for name in ("text weights", "vision tower", "MTP head", "runtime"):
        assert two[name] == one[name], name


@pytest.mark.parametrize("heads", [0, 1])
def test_experts_on_disk_leave_room_for_those_of_one_token(heads, tmp_path):
    """Against what a model that was loaded so has in memory."""
    qwen = small(MOE, mtp_num_hidden_layers=heads)
    qwen.save(tmp_path / "x")
    text = qwen.config.text
    stored = lab.load(tmp_path / "x", experts="disk", expert_budget=len(text.layer_types) * text.num_experts_per_tok)
    assert stored.experts is not None
    held = sum(p.numel() * p.element_size() for p in stored.model.parameters())
    here, there = (will_it_fit(qwen.config, "float32", experts=where, bytes=1e9) for where in ("memory", "disk"))
    assert there.terms["text weights"] + there.terms["MTP head"] == held + stored.experts.budget * stored.experts.size
    assert {name for name in TERMS if here.terms[name] != there.terms[name]} == {"text weights", "MTP head"} - (
        set() if heads else {"MTP head"}
    )
    assert "its experts on disk" in repr(there) and there.to_dict()["experts"] == "disk"


def test_a_laptop_has_room_for_the_smallest_mixture_with_its_experts_on_disk():
    found = will_it_fit("35B-A3B", device="16 GB of RAM", experts="disk")
    assert found and not will_it_fit("35B-A3B", device="64 GB of RAM")
    assert found.terms["text weights"] < will_it_fit("35B-A3B").terms["text weights"] / 8


def test_pictures_need_room_of_their_own():
    plain, seeing = (will_it_fit("0.8B", context=200, patches=n, bytes=24e9) for n in (0, 4096))
    assert seeing.terms["activations"] > plain.terms["activations"]
    assert all(seeing.terms[name] == plain.terms[name] for name in TERMS if name != "activations")


# ------------------------------------------------------------------------- against what runs take


def random_config(draw: random.Random) -> dict:
    """Small, of either family, in which no part is negligible."""
    raw = dict(draw.choice([DENSE, MOE]))
    raw |= {"hidden_size": draw.choice([48, 96]), "num_hidden_layers": draw.choice([4, 8]), "vocab_size": 300,
            "linear_num_value_heads": draw.choice([2, 4]), "max_position_embeddings": 8192}  # fmt: skip
    return raw | (
        {"moe_intermediate_size": 64} if "num_experts" in raw else {"intermediate_size": draw.choice([96, 400])}
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_takes_what_was_told_or_a_little_less(seed, dtype):
    """Tensors that a generation makes, against cache and activations: never more, and not less than half."""
    draw = random.Random(seed)
    qwen = lab.from_config(random_config(draw), seed, dtype=dtype)
    tokens = draw.choice([100, 700, 2500])
    ids = [n % 300 for n in range(tokens)]
    qwen.generate(ids[:3], 1)
    found = measured(lambda: qwen.generate(ids, 1))
    told = will_it_fit(qwen.config, dtype, tokens, bytes=1e12)
    weights = sum(p.numel() * p.element_size() for p in qwen.model.parameters())
    assert told.terms["text weights"] == weights
    rest = told.total - weights - told.terms["runtime"]
    assert 0.98 * found <= rest <= 2 * found, (found, rest)


# ------------------------------------------------------------------------- devices


def test_a_device_by_name_by_size_and_the_one_that_is_here():
    assert will_it_fit("27B", device="A100 80 GB") and not will_it_fit("27B", device="A100 40 GB")
    assert not will_it_fit("27B", device="2 × RTX 4090"), "as the article has it"
    assert not will_it_fit("9B", device="RTX 4080") and will_it_fit("9B", device="RTX 3090")
    exact = will_it_fit("0.8B", bytes=1e9).total
    assert will_it_fit("0.8B", bytes=exact) and not will_it_fit("0.8B", bytes=exact - 1)


def test_this_machine_is_the_place_if_none_is_named():
    found = will_it_fit("0.8B")
    assert found.device.kind == "cpu" and found.terms["runtime"] == RUNTIME["cpu"]
    assert 0 < found.device.bytes <= memory.total()


def test_every_gpu_has_its_own_runtime():
    two = will_it_fit("0.8B", device="2 × RTX 4090")
    assert two.terms["runtime"] == 2 * RUNTIME["cuda"] and two.device.bytes == 48 * GB


def test_the_longest_context_is_the_last_that_fits():
    contexts = (1_000, 10_000, 200_000)
    assert longest("9B", bytes=24e9, contexts=contexts) == 10_000
    assert longest("9B", bytes=1e9, contexts=contexts) == 0
    assert will_it_fit("9B", context=10_000, bytes=24e9) and not will_it_fit("9B", context=200_000, bytes=24e9)


def test_the_articles_table_is_the_ledgers():
    rows = article_rows()
    assert [row.model for row in rows] == list(OFFICIAL)
    assert rows[3].gb == {"bfloat16": 18.0, "int4": 6.0}
    assert all(device in DEVICES for row in rows for device in row.devices)


# ------------------------------------------------------------------------- words


def test_it_says_what_it_is_and_whether_it_fits():
    found = will_it_fit("9B", context=300_000, device="RTX 3090")
    assert "beyond the 262,144 it was trained for" in repr(found) and "does not fit: RTX 3090, 25.8 GB" in repr(found)
    assert "fits: a device, 24 GB" in repr(will_it_fit("0.8B", bytes=24e9))
    data = json.loads(json.dumps(found.to_dict()))
    assert data["total_bytes"] == found.total and data["fits"] is False and data["terms"]["MTP head"] > 0


def test_a_folder_and_a_config_do_as_well_as_a_name(tmp_path):
    qwen = small()
    qwen.save(tmp_path / "mine")
    assert will_it_fit(tmp_path / "mine", "float32").terms == will_it_fit(qwen.config, "float32").terms
    assert will_it_fit(tmp_path / "mine", "float32").model == "mine"
    text = replace(load_config("0.8B"), vision=None)
    assert will_it_fit(text, bytes=1e10).terms["vision tower"] == 0


@pytest.mark.parametrize(
    "call, error, said",
    [
        (lambda: will_it_fit("5B"), lab.ConfigError, "no shipped config"),
        (lambda: will_it_fit("Qwen3-8B"), lab.ConfigError, "predecessor"),
        (lambda: will_it_fit(3), lab.InputError, "A int is no model"),
        (lambda: will_it_fit("0.8B", "int3"), lab.InputError, "The dtype 'int3' is not known"),
        (lambda: will_it_fit("0.8B", context=0), lab.InputError, "context is 0"),
        (lambda: will_it_fit("0.8B", batch=1.5), lab.InputError, "batch is 1.5"),
        (lambda: will_it_fit("0.8B", device="RTX 9999"), lab.InputError, "There is no device 'RTX 9999'"),
        (lambda: will_it_fit("0.8B", device="cpu", bytes=1e9), lab.InputError, "one of the two"),
        (lambda: will_it_fit("0.8B", bytes=-1), lab.InputError, "above 0"),
        (lambda: will_it_fit("0.8B", bytes=True), lab.InputError, "above 0"),
        (lambda: will_it_fit(small().config, patches=16), lab.InputError, "no vision tower"),
        (lambda: will_it_fit("0.8B", experts="disk"), lab.InputError, "has no routed experts"),
        (lambda: will_it_fit("35B-A3B", experts="gpu"), lab.InputError, "cannot be in 'gpu'"),
        (lambda: will_it_fit("35B-A3B", "fp8", experts="disk"), lab.InputError, "16 bits or more, not in fp8"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_the_default_dtype_of_the_process_does_not_matter():
    before = will_it_fit("0.8B", bytes=1e10).terms
    lab.analysis.fit._skeleton.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        assert will_it_fit("0.8B", bytes=1e10).terms == before
    finally:
        torch.set_default_dtype(torch.float32)
