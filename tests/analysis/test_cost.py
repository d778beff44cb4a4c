"""Analytic costs: the counter finds the same FLOPs, memory holds the same bytes, crossings are where they belong."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from inputs.seeing import seeing
from model.strategies import configs
from small import small

import qwen35_lab as lab
from qwen35_lab.analysis import (
    count_operators,
    crossover,
    layer_bytes,
    layer_cost,
    mixed,
    mixer_cost,
    pass_cost,
    predicted_bytes,
    vision_cost,
    written_out,
)
from qwen35_lab.analysis.cost import MIXES, ends_cost
from qwen35_lab.config import FULL, LINEAR
from qwen35_lab.family import OFFICIAL, load_config, load_predecessor, memory, parameters, tensor_shapes
from qwen35_lab.family.shapes import is_float32
from qwen35_lab.model.attention import GatedAttention
from qwen35_lab.model.deltanet import GatedDeltaNet
from qwen35_lab.model.rope import rotary_angles

LENGTHS = some.one_of(some.integers(1, 20), some.sampled_from([63, 64, 65, 127, 128, 130]))


def counted(model, ids, **how):
    with written_out(model):
        return count_operators(lambda: model(ids, **how), model)


# ------------------------------------------------------------------------- FLOPs


@settings(max_examples=50, deadline=None)
@given(raw=configs(), new=LENGTHS, past=some.integers(0, 9), batch=some.integers(1, 3), logits=some.integers(0, 3))
def test_the_counter_finds_the_same_flops(raw, new, past, batch, logits):
    """Of the whole model, and of every layer's parts; equal, where 1 % is asked for."""
    model = small(raw).model
    cache = model.new_cache()
    if past:
        with torch.no_grad():
            model(torch.zeros(batch, past, dtype=torch.long), cache=cache)
    found = counted(model, torch.zeros(batch, new, dtype=torch.long), cache=cache, logits_to_keep=logits)
    config = small(raw).config
    asked = {"dtype": "float32", "attention": "written out"}
    assert found.flops == pass_cost(config, new, past, batch, logits=logits, **asked).seen
    for n, kind in enumerate(config.text.layer_types):
        assert found.modules[f"layers.{n}.mixer"] == mixer_cost(config, kind, new, past, batch, **asked).seen
        assert found.modules[f"layers.{n}"] == layer_cost(config, kind, new, past, batch, **asked).seen


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("tokens", [1, 100, 2048])
def test_official_shapes_are_counted_alike(name, tokens):
    """On the meta device, where nothing is computed."""
    config = load_config(name)
    text = config.text
    with torch.device("meta"):
        linear, full, x = GatedDeltaNet(text), GatedAttention(text), torch.empty(1, tokens, text.hidden_size)
        rotary = rotary_angles(torch.arange(tokens).expand(3, 1, tokens), text.head_dim, text.rope, torch.float32)
        with written_out(full):
            attention = count_operators(lambda: full(x, rotary, None, None))
        deltanet = count_operators(lambda: linear(x, None, None))
    cost = mixer_cost(name, FULL, tokens, dtype="float32", attention="written out")
    assert attention.flops == cost.seen == cost.flops
    assert deltanet.flops == mixer_cost(name, LINEAR, tokens, dtype="float32").seen


def test_what_arrays_move_is_about_what_operators_move():
    """Approximate by design: within a tenth where texts are long, a fifth where they are one token."""
    for name in ("Qwen3.5-0.8B", "Qwen3.5-27B"):
        text = load_config(name).text
        for tokens, off in ((1, 0.2), (512, 0.1), (2048, 0.1)):
            with torch.device("meta"):
                mixer, x = GatedDeltaNet(text), torch.empty(1, tokens, text.hidden_size)
                found = count_operators(lambda: mixer(x, None, None))  # noqa: B023
            cost = mixer_cost(name, LINEAR, tokens, dtype="float32")
            moved = sum(op.moved for op in cost.operations if op.name != "convolution")  # that has FLOPs
            assert abs(moved / found.moved - 1) < off


@pytest.mark.parametrize("frames, rows, columns", [(1, 4, 6), (2, 2, 8)])
def test_the_tower_is_counted_alike(frames, rows, columns):
    qwen = seeing()
    tower, config = qwen.model.vision, qwen.config
    pixels = config.vision.in_channels * config.vision.temporal_patch_size * config.vision.patch_size**2
    grid = [(frames, rows, columns)]
    found = count_operators(lambda: tower(torch.zeros(frames * rows * columns, pixels), grid))
    cost = vision_cost(config, grid)
    assert found.flops == cost.seen
    pairs = frames * (rows * columns) ** 2
    assert cost.flops - cost.seen == 4 * pairs * config.vision.hidden_size * config.vision.depth
    assert vision_cost(config, grid * 2).flops == 2 * cost.flops


def test_the_causal_half_is_what_a_fused_kernel_skips():
    whole, half = (
        mixer_cost("0.8B", FULL, 1000, attention=form).by_part()["attention"] for form in ("written out", "fused")
    )
    assert whole - half == 4 * (1000 * 1000 - 1000 * 1001 // 2) * 8 * 256
    whole, half = (mixer_cost("0.8B", FULL, 10, 5, attention=form).flops for form in ("written out", "fused"))
    assert whole - half == 4 * (10 * 10 - 10 * 11 // 2) * 8 * 256, "of the new tokens; all of the earlier ones are seen"
    assert mixer_cost("0.8B", FULL, 10).seen < mixer_cost("0.8B", FULL, 10).flops, "the counter does not see it"


# ------------------------------------------------------------------------- bytes


@settings(max_examples=40, deadline=None)
@given(raw=configs(), tokens=some.integers(1, 9), batch=some.integers(1, 3),
       dtype=some.sampled_from(["float32", "bfloat16"]))  # fmt: skip
def test_caches_hold_what_is_predicted_in_every_layer_and_for_every_batch(raw, tokens, batch, dtype):
    qwen = small(raw)
    qwen.model.to(getattr(torch, dtype))
    cache = qwen.model.new_cache()
    with torch.no_grad():
        qwen.model(torch.zeros(batch, tokens, dtype=torch.long), cache=cache)
    assert layer_bytes(cache) == [batch * size for size in predicted_bytes(qwen.config, tokens, dtype)]
    assert cache.nbytes() == memory(qwen.config, tokens, batch, kv_dtype=dtype).cache


@pytest.mark.parametrize("name", [name for name in OFFICIAL if "-A" not in name])
def test_a_dense_step_reads_every_weight_once(name):
    config = load_config(name)
    wide = sum(math.prod(shape) for key, shape in tensor_shapes(config).items() if is_float32(key))
    assert pass_cost(name, 1, 512).weights == 2 * (parameters(config).read_per_token + wide)


@pytest.mark.parametrize("name", [name for name in OFFICIAL if "-A" in name])
def test_a_batch_reads_more_experts_but_never_more_than_there_are(name):
    config = load_config(name)
    one, many, all_ = (pass_cost(name, 1, 512, batch).weights for batch in (1, 16, 100_000))
    wide = 2 * sum(math.prod(shape) for key, shape in tensor_shapes(config).items() if is_float32(key))
    counts = parameters(config)
    assert one == pytest.approx(2 * counts.read_per_token + wide)
    assert one < many < all_ == pytest.approx(2 * (counts.text - counts.embedding) + wide)


def test_a_step_reads_the_cache_that_is_there():
    """Keys and values once, states once and back, and the two inputs that the convolutions keep on using."""
    held, cost = memory(load_config("0.8B"), 1001), pass_cost("0.8B", 1, 1000)
    attention, deltanet = (cost.by_part("cache")[part] for part in ("attention", "deltanet"))
    assert attention == held.kv, "what is there is read, what is new is written"
    assert deltanet == 2 * (held.state + held.conv_state)


def test_fewer_bits_read_fewer_bytes_and_count_the_same_flops():
    wide, half, four = (pass_cost("4B", 1, 100, dtype=dtype) for dtype in ("float32", "bfloat16", "int4"))
    assert wide.flops == half.flops == four.flops
    assert wide.weights > 1.99 * half.weights and half.weights > 3.9 * four.weights
    assert four.cache == half.cache, "the cache stays in bfloat16"


# ------------------------------------------------------------------------- mixes and crossings


@pytest.mark.parametrize("name", OFFICIAL)
def test_all_attention_keeps_four_times_the_keys_and_values(name):
    config = load_config(name)
    assert memory(mixed(config, "all attention"), 5000).kv == 4 * memory(config, 5000).kv
    assert mixed(config, "3 : 1").text.layer_types == config.text.layer_types


def test_mixes_take_turns_and_keep_the_number_of_layers():
    for mix, (linear, full) in MIXES.items():
        kinds = mixed("35B-A3B", mix).text.layer_types
        assert len(kinds) == 40
        assert kinds[: linear + full] == (LINEAR,) * linear + (FULL,) * full
    assert mixed("0.8B", (4, 1), 10).text.layer_types == ((LINEAR,) * 4 + (FULL,)) * 2


def test_a_model_is_its_layers_and_its_ends():
    config = load_config("35B-A3B")
    parts = [layer_cost(config, kind, 70) * config.text.layer_types.count(kind) for kind in (LINEAR, FULL)]
    total = parts[0] + parts[1] + ends_cost(config, 70)
    whole = pass_cost(config, 70)
    assert (whole.flops, whole.traffic, whole.moved) == (total.flops, total.traffic, total.moved)
    assert sum(whole.by_part().values()) == whole.flops


def test_the_crossover_of_a_step_is_about_a_thousand_tokens():
    """By hand for the 0.8B: what attention saves on projections, over 4 · heads · features for each token."""
    found = crossover(*(lambda n, kind=kind: mixer_cost("0.8B", kind, 1, n).flops for kind in (FULL, LINEAR)))
    H, Q, R, values = 1024, 8 * 256, 2 * 256, 16 * 128
    linear = 2 * H * (3 * values + values + 32 + values) + 2 * 3 * values * 4 + 7 * 128 * values
    full = 2 * H * (2 * Q + 2 * R + Q)
    assert found + 1 == math.ceil((linear - full) / (4 * Q))
    assert 900 < found < 1100


def test_a_crossover_is_the_first_place_and_may_not_be_there():
    assert crossover(lambda n: n * n, lambda n: 100 * n) == 100
    assert crossover(lambda n: 5, lambda n: 3) == 1
    assert crossover(lambda n: 1, lambda n: 2) == math.inf


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: pass_cost("0.8B", 0), "new is 0"),
        (lambda: pass_cost("0.8B", 1, -1), "past is -1"),
        (lambda: pass_cost("0.8B", 1.5), "new is 1.5"),
        (lambda: pass_cost("0.8B", 1, dtype="float8"), "dtype 'float8' is not known"),
        (lambda: pass_cost("0.8B", 1, attention="eager"), "'fused' or 'written out'"),
        (lambda: mixer_cost("0.8B", "attention", 1), "no layer of kind 'attention'"),
        (lambda: mixed("0.8B", "2 : 1"), "There is no mix '2 : 1'"),
        (lambda: mixed("0.8B", (0, 0)), "no layers"),
        (lambda: mixed("0.8B", 3), "two numbers of layers"),
        (lambda: mixed("0.8B", (3, -1)), "a number of layers is -1"),
        (lambda: pass_cost(3, 1), "is no config of this family"),
        (lambda: vision_cost(small().config, [(1, 2, 2)]), "no vision tower"),
    ],
)
def test_what_is_no_work_is_refused(call, said):
    with pytest.raises(lab.InputError, match=said):
        call()


def test_a_predecessor_is_refused():
    with pytest.raises(lab.ConfigError, match="predecessor"):
        pass_cost("Qwen3-4B", 1)
    with pytest.raises(lab.InputError, match="no config of this family"):
        pass_cost(load_predecessor("Qwen3-4B"), 1)
